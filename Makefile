# Two commands do everything: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
ARGS ?=
SECONDS ?= 1800
BIN := .venv/bin
STAMP := .venv/.installed

# Without its files of compiled modules each process that a test starts compiles all that it imports: a second each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install compile demo test drill chaos soak bench bench-peers bench-fleet bench-growth bench-servers corpora fuzz mutations translations packages compose-secrets fleet-test lint format clean

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --editable '.[dev]'
	mkdir -p .venv/types/postwatch
	for part in producers streams query deploy; do ln -sfn ../../../$$part .venv/types/postwatch/$$part; done
	touch $(STAMP)

# Parsers and joiner as machine code. Needs a C compiler; without it all runs interpreted. A minute.
compile: install
	$(BIN)/python deploy/core_build/compile.py $(ARGS)

demo: install
	$(BIN)/postwatch demo $(ARGS)

# Each process has a broker and an engine of its own. Many tests wait for real parts, so four keep two cores busy; one
# that is done takes half of what another has left.
test: install
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

# A fleet in which something breaks, 20 times, and 20 times nothing: what stands out is right. 20 minutes.
drill: install
	POSTWATCH_DRILL_SEEDS=20 $(BIN)/python -m pytest -n 2 -rA tests/drill $(ARGS)

chaos: install
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(BROKERS),--brokers $(BROKERS))

soak: install
	$(BIN)/python -m tests.chaos.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(if $(PICTURE),--picture $(PICTURE))

# This build, and that of BASELINE in turn with it. One benchmark alone, in detail: python -m tests.benchmarks NAME.
bench: install
	$(BIN)/python -m tests.benchmarks.compare $(if $(BASELINE),--baseline $(BASELINE)) $(if $(PICTURE),--picture $(PICTURE)) $(ARGS)

bench-peers: install
	$(BIN)/python -m tests.benchmarks.peers $(if $(PICTURE),--picture $(PICTURE)) $(ARGS)

bench-fleet: install
	$(BIN)/python -m tests.benchmarks.fleet $(if $(ROWS),--rows $(ROWS)) $(ARGS)

# How the cost of a line grows with servers, partitions, parked messages and workers. An hour; ARGS="--runs 1" for less.
bench-growth: install
	$(BIN)/python -m tests.benchmarks.growth $(if $(PICTURE),--picture $(PICTURE)) $(ARGS)

# 10,000 simulated servers through one join and one sink: memory, lag, pages, doctor. Eight minutes.
bench-servers: install
	$(BIN)/python -m tests.benchmarks.servers $(ARGS)

corpora: install
	$(BIN)/python -m tests.corpora $(CORPORA) $(ARGS)

fuzz: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python atheris==3.0.0
	$(BIN)/python -m tests.fuzz -max_total_time=$(SECONDS) -max_len=4000

mutations: install
	$(BIN)/python -m tests.mutations $(ARGS)

translations: install
	$(BIN)/python -m tests.translations $(NEW)

# The Debian packages of this version, for the Python of this machine, in dist/.
packages: install
	deploy/packages/build dist

# Passwords for docker-compose.yml, in .env; never written over.
compose-secrets:
	deploy/compose/secrets

# What takes too long for every landing: docs/install.md followed in a bare Debian under systemd (needs root and
# debootstrap), three brokers, a secured Kafka, and each part upgraded from FROM (a commit) and back under load.
fleet-test: install
	POSTWATCH_FLEET=1 POSTWATCH_UPGRADE_FROM=$(FROM) $(BIN)/python -m pytest -rA tests/fleet tests/secured_kafka tests/deploy/test_packages.py $(ARGS)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p postwatch
	$(BIN)/mypy tests

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf streams/compiled .venv build dist *.egg-info
