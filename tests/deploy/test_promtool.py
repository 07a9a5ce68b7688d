"""Prometheus's own tools, as Debian has them, check the rules and settings, and let each alert fire and not fire."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.mutations.mutation import ROOT

FOLDER = Path(ROOT) / "deploy" / "prometheus"
UNIT_TESTS = Path(__file__).with_name("alerts_test.yml")
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool is installed (Debian: prometheus)"
)
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="no amtool is installed (Debian: prometheus-alertmanager)"
)


def run(folder: Path, *command: str) -> str:
    for path in (*FOLDER.glob("*.yml"), UNIT_TESTS):
        shutil.copy(path, folder)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_the_rules_and_the_scrapes_are_valid(tmp_path: Path) -> None:
    assert f"{len(RULES)} rules found" in run(tmp_path, "promtool", "check", "rules", "alerts.yml")
    assert "is valid prometheus config" in run(tmp_path, "promtool", "check", "config", "prometheus.yml")


@needs_promtool
def test_each_alert_fires_and_does_not_fire_as_told(tmp_path: Path) -> None:
    assert "SUCCESS" in run(tmp_path, "promtool", "test", "rules", UNIT_TESTS.name)


@needs_amtool
def test_the_alert_manager_takes_its_settings(tmp_path: Path) -> None:
    assert "SUCCESS" in run(tmp_path, "amtool", "check-config", "alertmanager.yml")


def test_each_alert_is_told_once_to_fire_and_once_not_to() -> None:
    told: dict[str, set[bool]] = {}
    for group in yaml.safe_load(UNIT_TESTS.read_text())["tests"]:
        for case in group["alert_rule_test"]:
            told.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert told.keys() == {rule["alert"] for rule in RULES}
    assert {name for name, kinds in told.items() if True not in kinds} == set()
    assert {name for name, kinds in told.items() if False not in kinds} == set()


def test_jobs_have_the_names_that_the_alerts_look_for() -> None:
    scrapes = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert {scrape["job_name"] for scrape in scrapes} == {
        f"postwatch-{part}" for part in ("ship", "join", "sink", "serve", "push")
    }
    receivers = {one["name"] for one in yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["receivers"]}
    assert receivers == {
        rule["labels"]["severity"] + ("s" if rule["labels"]["severity"] == "warning" else "") for rule in RULES
    }
