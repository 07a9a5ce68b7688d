"""The charts of the pages: what they draw, the table beside each, and the library as its source published it."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from postwatch.query.reports.bounces import REPORT as BOUNCES
from postwatch.query.reports.bounces_question import BouncesQuestion
from postwatch.query.reports.failures import COURSE_BIN_MS
from postwatch.query.reports.statistics import REPORT, StatisticsQuestion
from postwatch.query.viewer import Viewer
from postwatch.query.web.charts import charts_of
from postwatch.query.web.rendering import FOLDER
from postwatch.streams.contracts.outcome import Attempt

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row

ROOT = Path(__file__).parents[2]
OWNER = Viewer("owner", domains=frozenset({"example.org"}))


@pytest.mark.parametrize("name", ["uplot.js", "uplot.css"])
def test_the_library_is_the_one_that_the_docs_name(name: str) -> None:
    """Nobody changes it unseen, and its licence is kept beside it."""
    found = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()
    assert f"| `{name}` | `{found}` |" in (ROOT / "docs/dependencies.md").read_text()
    assert "The MIT License" in (FOLDER / "static/uplot-license.txt").read_text()


def _drawn(site: httpx.Client, path: str) -> list[dict[str, Any]]:
    found = re.findall(r'data-chart="([^"]*)"', site.get(path).text)
    return [json.loads(html.unescape(one)) for one in found]


def _fill(office: Office) -> None:
    for days, status in ((0, "delivered"), (0, "bounced"), (2, "deferred"), (2, "bounced"), (9, "rejected")):
        at = NOW_MS - days * DAY_MS - MINUTE_MS
        office.insert([make_row(queue_id=f"Q{days}{status}", queued_at=at, updated_at=at, status=status)])
    office.insert([make_row(account="eva@example.com", queue_id="E", status="bounced")])
    office.beat("web1", age_ms=1000)


@pytest.mark.stack
def test_the_course_of_the_statistics_is_drawn_and_sums_up_to_all(office: Office, open_site: Open) -> None:
    _fill(office)
    answer = office.answer(REPORT, StatisticsQuestion(days=30))
    [chart] = charts_of(answer)
    assert sum(chart.series[0].figures) == answer.total.messages == 6
    assert len(chart.times_ms) in (10, 11)  # with the days between, on which there was nothing
    assert {b - a for a, b in zip(chart.times_ms, chart.times_ms[1:], strict=False)} == {DAY_MS}
    assert [sum(figures) > 0 for _, figures in chart.steps] == [True] * len(chart.steps)
    assert answer.total == office.answer(REPORT, StatisticsQuestion(days=30, by="hour")).total
    site = open_site(office.service)
    [drawn] = _drawn(site, "/statistics?days=30")
    assert drawn["series"][0]["figures"] == list(chart.series[0].figures)
    page = site.get("/statistics?days=30").text
    assert page.count('<th scope="col" class="figure">Messages</th>') == 1  # the table that stays without scripts
    course = site.get("/api/v1/statistics?days=30").json()["course"]
    assert sum(one["messages"] for one in course) == 6
    assert "data-chart" not in site.get("/statistics?days=30&account=nobody@example.org").text


@pytest.mark.stack
def test_a_viewer_s_chart_is_of_his_own_mail(office: Office, open_site: Open) -> None:
    _fill(office)
    [drawn] = _drawn(open_site(office.service, OWNER), "/statistics?days=30")
    assert sum(drawn["series"][0]["figures"]) == 5


@pytest.mark.stack
def test_what_failed_and_was_deferred_is_drawn_by_quarter_of_an_hour(office: Office, open_site: Open) -> None:
    for minutes, status in ((5, "bounced"), (6, "deferred"), (200, "bounced")):
        at = NOW_MS - minutes * MINUTE_MS
        tried = (Attempt(at=at, status=status),)
        office.insert([make_row(queue_id=f"Q{minutes}", queued_at=at, updated_at=at, status=status, attempts=tried)])
    office.insert([make_row(account="eva@example.com", queue_id="E", status="bounced", queued_at=NOW_MS - MINUTE_MS)])
    for viewer, failed in ((OWNER, 2), (None, 3)):
        site = open_site(office.service, viewer) if viewer else open_site(office.service)
        [drawn] = _drawn(site, "/bounces?last=hour")
        assert [one["label"] for one in drawn["series"]] == ["Failed", "Deferred"]
        assert [sum(one["figures"]) for one in drawn["series"]] == [failed, 1]
        assert drawn["step"] * 1000 == COURSE_BIN_MS
    assert charts_of(office.answer(BOUNCES, BouncesQuestion(unusual=True))) == []
