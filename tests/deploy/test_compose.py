"""docker-compose.yml is what Compose understands, and says only what Postwatch understands."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from postwatch.deploy.cli import COMMANDS
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.settings_page import SECTION_CLASSES
from postwatch.producers.service.health import HANGS_AFTER_SECONDS, Health, serve_metrics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import PREFIX, load
from postwatch.query.access.site import Site
from postwatch.query.guards import listen_address
from postwatch.streams.exposition import expose

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
CHECKER = Path(sys.executable).with_name("check-jsonschema")


def words(service: dict[str, Any]) -> list[str]:
    """The words behind `postwatch` in what a service runs."""
    if "entrypoint" in service:
        script = re.sub(r"\$\$\([^)]*\)", "made-by-the-shell", service["entrypoint"][-1])
        return script.partition("postwatch ")[2].split()
    return list(service["command"])


def test_it_keeps_to_the_compose_specification(tmp_path: Path) -> None:
    def check(path: Path) -> subprocess.CompletedProcess[str]:
        command = [str(CHECKER), "--builtin-schema", "vendor.compose-spec", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = check(COMPOSE_FILE)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE_FILE.read_text(encoding="utf-8").replace("healthcheck:", "heathcheck:", 1))
    assert check(broken).returncode == 1


def test_compose_itself_takes_it() -> None:
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("docker compose is not installed here; its specification's schema was checked instead")
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--profile", "sample", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_known_command_with_options_it_has(name: str) -> None:
    command, *options = words(OURS[name])
    module = importlib.import_module(f"postwatch.{COMMANDS[command].module}")
    parser = argparse.ArgumentParser()
    module.configure(parser)
    parser.parse_args(options)


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_only_settings_that_exist_with_values_that_fit(name: str) -> None:
    environment = {key: _filled_in(value) for key, value in OURS[name].get("environment", {}).items()}
    for variable in [key for key in environment if key.endswith("_PASSWORD_FILE")]:
        secret = environment.pop(variable).removeprefix("/run/secrets/")
        assert secret in OURS[name]["secrets"]
        environment[variable.removesuffix("_FILE")] = secret
    sections = {section.SECTION: section for section in SECTION_CLASSES}
    for variable in environment:
        assert variable.startswith(PREFIX), variable
    for section in {variable.removeprefix(PREFIX).partition("_")[0].lower() for variable in environment}:
        load(sections[section], environment)


def _filled_in(value: str) -> str:
    """`${NAME:-default}` → default, as it is where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_images_are_pinned_and_ours_has_our_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"postwatch:{version}"}
    docker_file = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    images += re.findall(r"^FROM (\S+)", docker_file, re.MULTILINE)
    for image in images:
        assert re.search(r":v?\d+\.\d", image), image


def test_servers_and_parts_that_last_are_watched_and_started_again() -> None:
    for name, service in SERVICES.items():
        assert "mem_limit" in service, name
        if name not in ("migrate", "simulate", "kafka-users"):
            assert service["restart"] == "unless-stopped", name
            assert "test" in service["healthcheck"], name


@pytest.mark.parametrize("name", ["join", "sink", "ship", "serve", "push"])
def test_the_health_that_is_asked_for_is_where_it_is_served(name: str) -> None:
    address = next(value for key, value in OURS[name]["environment"].items() if key.endswith(("_ADDRESS", "_LISTEN")))
    port = address.rpartition(":")[2]
    assert f"http://127.0.0.1:{port}/" in " ".join(OURS[name]["healthcheck"]["test"])


def test_the_page_is_served_to_this_machine_alone() -> None:
    serve = OURS["serve"]
    assert serve["network_mode"] == "host"
    assert listen_address(serve["environment"]["POSTWATCH_QUERY_LISTEN"], Site(), has_log_in=False)[0] == "127.0.0.1"
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(_filled_in(port).startswith("127.0.0.1:") for port in published)


def test_every_volume_is_declared_and_used() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == set(COMPOSE["volumes"])
    for name in used:
        if name.startswith("."):
            assert (ROOT / name).exists(), name


def test_what_a_worker_keeps_is_in_a_named_volume() -> None:
    assert OURS["push"]["volumes"] == OURS["serve"]["volumes"]  # webhooks stand in the state of the pages
    for name in ("join", "serve", "ship"):
        assert [each for each in OURS[name]["volumes"] if each.endswith(":/var/lib/postwatch")], name


def test_our_parts_write_to_their_volumes_and_tmp_alone_and_have_no_rights() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_no_password_has_a_default_and_one_command_makes_all_of_them(tmp_path: Path) -> None:
    made = tmp_path / ".env"

    def make() -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "deploy/compose/secrets"), str(made)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert make().returncode == 0
    assert made.stat().st_mode & 0o777 == 0o600
    text = made.read_text()
    passwords = dict(re.findall(r"^(\w+)=([0-9a-f]{48})$", text, re.MULTILINE))
    assert len(set(passwords.values())) == 4
    declared = {secret["environment"] for secret in COMPOSE["secrets"].values()}
    asked = set(re.findall(r"\$\{(\w+_PASSWORD)", COMPOSE_FILE.read_text(encoding="utf-8")))
    assert declared | asked == set(passwords)
    assert ":-" not in "".join(re.findall(r"\$\{\w+_PASSWORD[^}]*", COMPOSE_FILE.read_text(encoding="utf-8")))
    assert make().returncode != 0
    assert made.read_text() == text


def test_each_service_is_shown_the_secrets_that_it_reads_alone() -> None:
    for name, service in SERVICES.items():
        read = {text for text in _texts(service) for text in re.findall(r"/run/secrets/([\w-]+)", text)}
        for script in [each for each in service.get("volumes", []) if each.startswith("./deploy/compose/")]:
            text = (ROOT / script.partition(":")[0]).read_text(encoding="utf-8")
            read |= set(re.findall(r"/run/secrets/([\w-]+)", text))
        assert read == set(service.get("secrets", [])), name


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    return [text for each in value for text in _texts(each)] if isinstance(value, list) else [str(value)]


def test_shippers_elsewhere_are_asked_for_a_password_and_may_write_lines_alone() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert "EXTERNAL:SASL_PLAINTEXT" in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    assert environment["KAFKA_SUPER_USERS"] == "User:ANONYMOUS"
    script = (ROOT / "deploy/compose/kafka-users").read_text(encoding="utf-8")
    assert re.findall(r"--operation (\w+)", script) == ["Write", "Describe"]
    assert re.findall(r"--topic (\S+)", script) == [KafkaSettings().raw_topic]


def test_what_grafana_is_told_is_what_its_data_sources_ask_for() -> None:
    asked = set()
    for path in (ROOT / "deploy/grafana/provisioning").rglob("*.yml"):
        asked |= set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")))
    told = {name for name in SERVICES["grafana"]["environment"] if name.startswith("GRAFANA_")}
    assert told == asked
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/postwatch.yml").read_text())
    paths = {each.split(":")[1] for each in SERVICES["grafana"]["volumes"]}
    assert {each["options"]["path"] for each in provider["providers"]} <= paths


def test_the_image_is_a_user_s_and_says_whether_its_part_is_alive() -> None:
    text = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    [asked] = re.findall(r"^ +CMD (\[.*\])$", text, re.MULTILINE)
    python, *words = json.loads(asked)
    assert python == "python"

    def check(**environ: str) -> int:
        return subprocess.run([sys.executable, *words], env={**os.environ, **environ}, check=False).returncode

    now = 0.0
    health = Health(lambda: now)
    server = serve_metrics("127.0.0.1:0", "POSTWATCH_SINK_METRICS_ADDRESS", health, expose)
    assert server is not None
    nobody = {
        f"POSTWATCH_{part}_METRICS_ADDRESS": f"0.0.0.0:{choose_port()}" for part in ("SHIP", "JOIN", "SINK", "PUSH")
    }
    nobody["POSTWATCH_QUERY_LISTEN"] = f"0.0.0.0:{choose_port()}"
    health.complain("kafka", "away")
    sink = {**nobody, "POSTWATCH_SINK_METRICS_ADDRESS": f"0.0.0.0:{server.server_address[1]}"}
    assert check(**sink) == 0
    now += HANGS_AFTER_SECONDS
    assert check(**sink) == 1
    assert check(**nobody) == 1
    server.shutdown()
    server.server_close()


def test_prometheus_asks_each_part_where_it_answers() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    for job in scraped:
        [found] = job["dns_sd_configs"]
        [name] = found["names"]
        address = f"0.0.0.0:{found['port']}"
        assert OURS[name]["environment"][f"POSTWATCH_{name.upper()}_METRICS_ADDRESS"] == address
