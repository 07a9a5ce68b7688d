"""A real Prometheus, as Debian has it, that scrapes parts on this machine and answers PromQL."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port

from tests.waiting import PATIENCE

PROGRAM = "prometheus"
RATE_INTERVAL_SCRAPES = 4
"""Grafana's `$__rate_interval`: four scrapes at least."""


class Scraped(NamedTuple):
    """A part, and the name that its figures have."""

    job: str
    instance: str
    port: int


class Samples(NamedTuple):
    """One series of an answer."""

    labels: Mapping[str, str]
    values: Sequence[tuple[float, float]]
    """Seconds since the epoch, and the value; one of an instant."""


class Prometheus(Part):
    """Started with what it scrapes."""

    def __init__(self, folder: Path, scraped: Sequence[Scraped] = (), scrape_seconds: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(PROGRAM, folder / "prometheus.log")
        self.scrape_seconds = scrape_seconds
        self._folder = folder
        self._port = choose_port()
        self._address = f"http://{LOOPBACK}:{self._port}"
        (folder / "prometheus.yml").write_text(json.dumps(_settings(scraped, scrape_seconds)))  # JSON is YAML

    def command(self) -> Sequence[str]:
        return [
            shutil.which(PROGRAM) or PROGRAM,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
        ]

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._address}/-/ready", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    def expand(self, expression: str) -> str:
        """With Grafana's interval."""
        return expression.replace("$__rate_interval", f"{RATE_INTERVAL_SCRAPES * self.scrape_seconds}s")

    def now(self, expression: str) -> list[Samples]:
        """Raises AssertionError with Prometheus's words."""
        found = self._ask("query", {"query": self.expand(expression)})
        return [Samples(one["metric"], [(float(one["value"][0]), float(one["value"][1]))]) for one in found]

    def between(self, expression: str, since: float, until: float) -> list[Samples]:
        """Seconds since the epoch. Raises AssertionError with Prometheus's words."""
        asked = {"query": self.expand(expression), "start": since, "end": until, "step": self.scrape_seconds}
        found = self._ask("query_range", asked)
        return [Samples(one["metric"], [(float(at), float(word)) for at, word in one["values"]]) for one in found]

    def _ask(self, path: str, asked: Mapping[str, Any]) -> list[Any]:
        answer = httpx.get(f"{self._address}/api/v1/{path}", params=asked, timeout=PATIENCE).json()
        assert answer["status"] == "success", f"{asked['query']}: {answer.get('error')}"
        result: list[Any] = answer["data"]["result"]
        return result


def _settings(scraped: Sequence[Scraped], scrape_seconds: int) -> dict[str, object]:
    jobs = sorted({one.job for one in scraped})
    return {
        "global": {"scrape_interval": f"{scrape_seconds}s"},
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": [f"{LOOPBACK}:{one.port}"], "labels": {"instance": one.instance}}
                    for one in scraped
                    if one.job == job
                ],
            }
            for job in jobs
        ],
    }
