"""The Helm chart: Helm takes it, Kubernetes' own schemas take what it makes, and Postwatch takes the settings in it."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import kubernetes_validate
import pytest
import yaml
from postwatch.deploy.commands import migrate
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.settings_page import SECTION_CLASSES
from postwatch.producers.service.settings import load
from postwatch.streams.settings import SinkSettings

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "postwatch"
KUBERNETES = "1.37"
SECURED: dict[str, Any] = {
    "kafka": {
        "brokers": "kafka1.example.net:9093,kafka2.example.net:9093",
        "securityProtocol": "sasl_ssl",
        "saslMechanism": "SCRAM-SHA-512",
        "ca": {"secret": "kafka-ca"},
        "users": {part: {"secret": f"kafka-{part}"} for part in ("join", "sink", "serve", "push", "migrate")},
    },
    "clickhouse": {
        "url": "https://clickhouse.example.net:8443",
        "users": {
            part: {"name": part, "secret": f"clickhouse-{part}"} for part in ("sink", "serve", "push", "migrate")
        },
    },
    "serve": {
        "enabled": True,
        "publicUrl": "https://panel.example.net/postwatch",
        "replicas": 2,
        "state": {"secret": "state"},
        "settings": {"POSTWATCH_ACCESS_IMAP": "imaps://imap.example.net"},
    },
    "push": {"enabled": True},
    "sink": {"keda": {"enabled": True, "authentication": "kafka"}},
    "migrate": {"cluster": "main"},
}
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
# What KEDA's page of the Kafka scaler and of ScaledObject say; its schemas are not among Kubernetes' own.
SCALED_OBJECT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"],
            "properties": {
                "scaleTargetRef": {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]},
                "minReplicaCount": {"type": "integer", "minimum": 1},
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "cooldownPeriod": {"type": "integer"},
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"const": "kafka"},
                            "authenticationRef": {"type": "object", "properties": {"name": _TEXT}},
                            "metadata": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["bootstrapServers", "consumerGroup", "topic", "lagThreshold"],
                                "properties": {
                                    "bootstrapServers": _TEXT,
                                    "consumerGroup": _TEXT,
                                    "topic": _TEXT,
                                    "lagThreshold": {"type": "string", "pattern": "^[1-9][0-9]*$"},
                                    "offsetResetPolicy": {"enum": ["earliest", "latest"]},
                                    "sasl": {"enum": ["plaintext", "scram_sha256", "scram_sha512"]},
                                    "tls": {"enum": ["enable", "disable"]},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


def ask_helm(values: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).with_name("chart_tool.py")), str(CHART)]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def manifests(values: dict[str, Any]) -> list[dict[str, Any]]:
    answer = ask_helm(values)
    assert "error" not in answer, answer["error"]
    texts = [text for path, text in answer["rendered"].items() if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


@pytest.fixture(scope="module")
def secured() -> list[dict[str, Any]]:
    return manifests(SECURED)


def workloads(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Part → its pod's template."""
    kinds = ("Deployment", "StatefulSet", "Job")
    return {
        each["metadata"]["labels"]["app.kubernetes.io/component"]: each["spec"]["template"]
        for each in made
        if each["kind"] in kinds
    }


def test_helm_takes_it_with_and_without_passwords() -> None:
    for values in ({}, SECURED):
        assert [each for each in ask_helm(values)["lint"]["messages"] if each["severity"] > 1] == []
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_kubernetes_takes_what_it_makes(secured: list[dict[str, Any]]) -> None:
    for manifest in [*manifests({}), *secured]:
        if manifest["kind"] == "ScaledObject":
            jsonschema.validate(manifest, SCALED_OBJECT)
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    broken = deepcopy(next(each for each in secured if each["kind"] == "StatefulSet"))
    broken["spec"]["podManagementPolicies"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_each_part_is_what_it_has_to_be(secured: list[dict[str, Any]]) -> None:
    kinds = {(each["kind"], each["metadata"]["name"]) for each in secured}
    assert kinds >= {
        ("StatefulSet", "demo-join"),
        ("Deployment", "demo-sink"),
        ("Deployment", "demo-serve"),
        ("Deployment", "demo-push"),
        ("Job", "demo-migrate"),
        ("ScaledObject", "demo-sink"),
        *(("PodDisruptionBudget", f"demo-{part}") for part in ("join", "sink", "serve", "push")),
        *(("NetworkPolicy", f"demo-{part}") for part in ("join", "sink", "serve", "push", "migrate")),
    }
    without = {(each["kind"], each["metadata"]["name"]) for each in manifests({})}
    assert ("ScaledObject", "demo-sink") not in without
    assert not {name for _, name in without} & {"demo-serve", "demo-push"}
    [job] = [each for each in secured if each["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    for each in secured:
        if each["kind"] == "Deployment":
            assert each["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_pod_has_no_rights_and_no_variables_of_the_cluster(secured: list[dict[str, Any]]) -> None:
    for part, template in workloads(secured).items():
        pod = template["spec"]
        assert pod["enableServiceLinks"] is pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"], part


def test_no_probe_asks_whether_kafka_or_clickhouse_is_there(secured: list[dict[str, Any]]) -> None:
    for part in ("join", "sink", "push"):
        [container] = workloads(secured)[part]["spec"]["containers"]
        paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
        assert paths == {"startupProbe": "/alive", "livenessProbe": "/alive", "readinessProbe": "/ready"}


@pytest.mark.parametrize("values", [{}, SECURED], ids=["plain", "secured"])
def test_its_settings_exist_and_fit_and_secrets_are_files_that_are_mounted(values: dict[str, Any]) -> None:
    sections = {section.SECTION: section for section in SECTION_CLASSES}
    for part, template in workloads(manifests(values)).items():
        [container] = template["spec"]["containers"]
        assert container["args"][0] == part
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert len(environment) == len(container["env"])
        mounted = {
            f"/run/secrets/postwatch/{item['path']}"
            for volume in template["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"]["items"]
        }
        files = {name: value for name, value in environment.items() if value.startswith("/run/secrets/")}
        assert set(files.values()) == mounted
        for name in files:
            del environment[name]
            if name.endswith("_SSL_CA_FILE"):
                environment[name] = __file__
            else:
                environment[name.removesuffix("_FILE")] = "secret"
        for section in {name.split("_")[1].lower() for name in environment}:
            load(sections[section], environment)
    [container] = workloads(manifests(values))["migrate"]["spec"]["containers"]
    parser = argparse.ArgumentParser()
    migrate.configure(parser)
    parser.parse_args(container["args"][1:])


def test_keda_looks_at_the_group_of_the_sink(secured: list[dict[str, Any]]) -> None:
    [scaled] = [each for each in secured if each["kind"] == "ScaledObject"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == SinkSettings().group
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
    [sink] = [each for each in secured if (each["kind"], each["metadata"]["name"]) == ("Deployment", "demo-sink")]
    assert "replicas" not in sink["spec"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kafka.brokers", "kafka://kafka:9092"),
        ("kafka.users.sink.secret", ""),
        ("kafka.saslMechanism", ""),
        ("serve.publicUrl", ""),
        ("serve.state.secret", ""),
        ("sink.settings", {"POSTWATCH SINK": "x"}),
        ("sink.replica", 3),
        ("sink.keda.least", 0),
    ],
)
def test_values_that_can_not_work_are_refused_by_name(path: str, value: Any) -> None:
    values = deepcopy(SECURED)
    place = values
    *folders, last = path.split(".")
    for folder in folders:
        place = place.setdefault(folder, {})
    place[last] = value
    error = ask_helm(values)["error"]
    names = [*value] if isinstance(value, dict) else [folders[0]]
    assert all(re.search(rf"\b{name}\b", error) for name in names), error


def test_the_probe_of_the_pages_is_answered_without_clickhouse_and_without_a_log_in(
    secured: list[dict[str, Any]], tmp_path: Path
) -> None:
    [container] = workloads(secured)["serve"]["spec"]["containers"]
    port = choose_port()
    environ = {
        **os.environ,
        "POSTWATCH_CLICKHOUSE_URL": f"http://127.0.0.1:{choose_port()}",
        "POSTWATCH_QUERY_LISTEN": f"127.0.0.1:{port}",
        "POSTWATCH_ACCESS_PUBLIC_URL": SECURED["serve"]["publicUrl"],
        "POSTWATCH_ACCESS_IMAP": "imaps://127.0.0.1:1",
        "POSTWATCH_ACCESS_STATE": str(tmp_path / "access.sqlite"),
    }
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("postwatch")), "serve"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            asked = container[probe]["httpGet"]
            headers = {each["name"]: each["value"] for each in asked["httpHeaders"]}
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}{asked['path']}", headers=headers)
            except httpx.TransportError:
                return False
            assert answer.status_code == 200, answer.text
        return True

    try:
        wait_until(answers, "the pages answer")
    finally:
        process.kill()
        process.wait()
