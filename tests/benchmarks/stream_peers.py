"""One raw topic, joined by Postwatch into the table, and by quixstreams (PyPI) into groups of lines.

quixstreams reads no field, keeps nothing and writes nothing: it tells what Kafka's client and Python cost at least.
It is installed into a temporary environment, and is no dependency of ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

from postwatch.producers.service.kafka_settings import KafkaSettings

from tests.benchmarks.flow import measure_backlog
from tests.benchmarks.processes import Used
from tests.benchmarks.produce import produce
from tests.benchmarks.stack import Stack, fresh_topics
from tests.benchmarks.workload import PLAIN, prepare

POSTWATCH, QUIXSTREAMS = "postwatch join", "quixstreams"
REQUIREMENT = "quixstreams==3.28.1"
_SCRIPT = Path(__file__).with_name("quixstreams_join.py")
_SERVERS, _RECORD_LINES = 500, 20
_MOST_SECONDS = 900.0


def install(folder: Path) -> Path | None:
    """The Python of an environment that has quixstreams; None where it can't be installed, which is told."""
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        print(f"{QUIXSTREAMS} is left out: {REQUIREMENT} can't be installed: {said}", file=sys.stderr)
        return None
    return python


def measure_streams(folder: Path, stack: Stack, lines: int, runs: int) -> dict[str, list[Used]]:
    """Each program so often, in turn, over topics of its own with the same records of 20 lines.

    Counted from its first outcome, or its first record, to the last line; the CPU is that of its own process.
    """
    workload = prepare(folder / "records", PLAIN, lines, servers=_SERVERS, record_lines=_RECORD_LINES)
    python = install(folder / "quixstreams")
    found: dict[str, list[Used]] = {POSTWATCH: []}
    for run in range(runs):
        speed = measure_backlog(stack, workload, _MOST_SECONDS)
        found[POSTWATCH].append(Used(speed.busy_seconds, speed.cpu_seconds["join"], 0))
        if python is None:
            continue
        settings = fresh_topics(stack.kafka.brokers, f"quixstreams{run}.")
        if produce(workload.path, settings):
            raise RuntimeError("records were not taken")
        found.setdefault(QUIXSTREAMS, []).append(_group(python, settings, workload.lines))
    return found


def _group(python: Path, kafka: KafkaSettings, lines: int) -> Used:
    command = [str(python), str(_SCRIPT), kafka.brokers, kafka.raw_topic, str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{QUIXSTREAMS} failed: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["lines"] != lines:
        raise RuntimeError(f"{QUIXSTREAMS} saw {told['lines']} of {lines} lines")
    return Used(told["seconds"], told["cpu_seconds"], 0)
