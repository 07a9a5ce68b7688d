"""Calls as public clients send them, at a real server over the real engine."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Attempt

from tests.query.conftest import MINUTE_MS, NOW_MS, Office, Open, make_row

SENT_AT = NOW_MS - 60 * MINUTE_MS
ROWS = [
    make_row(account="anna@bakery.example", queue_id="1tA-1", recipient="bob@far.example", queued_at=SENT_AT),
    make_row(
        account="anna@bakery.example",
        queue_id="1tA-2",
        recipient="carl@far.example",
        queued_at=SENT_AT + MINUTE_MS,
        updated_at=SENT_AT + 9 * MINUTE_MS,
        status="delivered",
        attempts=(
            Attempt(SENT_AT + 2 * MINUTE_MS, "deferred", 451, "451 try later", "mx1.far.example", "192.0.2.1"),
            Attempt(SENT_AT + 9 * MINUTE_MS, "delivered", 250, "250 OK", "mx2.far.example", "192.0.2.2"),
        ),
    ),
    make_row(
        account="boss@bakery.example",
        queue_id="1tA-3",
        recipient="dora@far.example",
        queued_at=SENT_AT + 2 * MINUTE_MS,
        status="bounced",
        response="550 no such user",
    ),
    make_row(
        account="eva@shop.example", queue_id="1tA-4", recipient="finn@far.example", queued_at=SENT_AT, status="pending"
    ),
]
ALL = {"success": "1", "defer": "1", "failure": "1", "inprogress": "1"}


@pytest.fixture
def site(office: Office, open_site: Open) -> httpx.Client:
    office.insert(ROWS)
    return open_site(office.service)


def records(client: httpx.Client, **parameters: str) -> list[dict[str, Any]]:
    answer = client.get("/json-api/emailtrack_search", params={"api.version": "1", **parameters})
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["result"] == 1, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["records"]
    return found


def test_a_record_is_an_attempt(site: httpx.Client) -> None:
    found = records(site, **ALL)
    assert [(one["type"], one["msgid"], one["actionunixtime"]) for one in found if one["msgid"] == "1tA-2"] == [
        ("defer", "1tA-2", (SENT_AT + 2 * MINUTE_MS) // 1000),
        ("success", "1tA-2", (SENT_AT + 9 * MINUTE_MS) // 1000),
    ]
    assert {one["type"] for one in found} == {"success", "defer", "failure", "inprogress"}


def test_without_a_flag_only_failures_are_found(site: httpx.Client) -> None:
    assert [one["msgid"] for one in records(site)] == ["1tA-3"]


def test_the_statistics_count_the_records(site: httpx.Client) -> None:
    answer = site.get("/json-api/emailtrack_stats", params={"api.version": "1"}).json()
    [total] = answer["data"]["records"]
    assert total["SENDCOUNT"] == 4
    by_type = [one["type"] for one in records(site, **ALL)]
    assert total["SUCCESSCOUNT"] == by_type.count("success") == 2
    assert total["DEFERCOUNT"] == by_type.count("defer") == 1
    assert total["FAILCOUNT"] == by_type.count("failure") == 1
    users = site.get("/json-api/emailtrack_user_stats", params={"api.version": "1"}).json()["data"]["records"]
    assert [(one["USER"], one["SENDCOUNT"]) for one in users] == [("bakery.example", 3), ("shop.example", 1)]


def test_cpanel_api_2_is_about_one_user(site: httpx.Client) -> None:
    called = {"cpanel_jsonapi_apiversion": "2", "cpanel_jsonapi_module": "EmailTrack", "cpanel_jsonapi_func": "search"}
    answer = site.get("/json-api/cpanel", params={**called, **ALL, "cpanel_jsonapi_user": "shop.example"}).json()
    assert [one["msgid"] for one in answer["cpanelresult"]["data"]] == ["1tA-4"]
    assert answer["cpanelresult"]["event"] == {"result": 1}
    unnamed = site.get("/json-api/cpanel", params={**called, **ALL}).json()
    assert unnamed["cpanelresult"]["event"]["result"] == 0
    assert "cpanel_jsonapi_user is missing" in unnamed["cpanelresult"]["error"]


def test_a_viewer_gets_his_own_mail(office: Office, open_site: Open) -> None:
    office.insert(ROWS)
    viewer = Viewer("shop", domains=frozenset({"shop.example"}))
    assert {one["msgid"] for one in records(open_site(office.service, viewer), **ALL)} == {"1tA-4"}
    assert len(records(open_site(office.service, ENGINEER), **ALL)) == 5
