"""docker-compose.yml is what Compose understands, and says only what Postwatch understands."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from postwatch.deploy.cli import COMMANDS
from postwatch.deploy.settings_page import SECTION_CLASSES
from postwatch.producers.service.settings import PREFIX, load
from postwatch.query.access.site import Site
from postwatch.query.guards import listen_address

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
        assert re.search(r":\d+\.\d", image), image


def test_servers_and_parts_that_last_are_watched_and_started_again() -> None:
    for name, service in SERVICES.items():
        if name not in ("migrate", "simulate"):
            assert service["restart"] == "unless-stopped", name
            assert "test" in service["healthcheck"], name


@pytest.mark.parametrize("name", ["join", "sink", "ship", "serve"])
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
    assert {name for name in used if not name.startswith("/")} == set(COMPOSE["volumes"])
