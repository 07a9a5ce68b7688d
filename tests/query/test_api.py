from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi.routing import APIRoute
from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.query import api as api_module
from postwatch.query.api import api_router
from postwatch.query.download_routes import download_router
from postwatch.query.downloads import Downloads
from postwatch.query.errors import BusyError, NotMigratedError, QueryError, TooLargeError
from postwatch.query.proofs.issuer import ProofIssuer
from postwatch.query.proofs.routes import proof_router
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import DeliveriesShape
from postwatch.query.reports.registry import load_reports
from postwatch.query.reports.servers import ServersShape
from postwatch.query.reports.trace import TraceShape
from postwatch.query.settings import QuerySettings
from postwatch.query.shapes import DeliveryShape, ErrorShape
from postwatch.query.statements import Statement
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.settings import ClickHouseSettings, JoinSettings
from structlog.testing import capture_logs

from tests.query.conftest import NOW_MS, Office, Open, make_row, make_rows, refusing, served
from tests.waiting import PATIENCE, wait_until

DELIVERIES = "/api/v1/accounts/bob@example.org/deliveries"


def test_the_report_as_json(office: Office, open_site: Open) -> None:
    attempt = Attempt(NOW_MS - 9000, "deferred", 451, "451 later", "mx.example.net", "192.0.2.1")
    office.insert([make_row(recipient="Größe@example.net", attempts=(attempt,), log_lines=("a line",))])
    office.beat("web1", age_ms=1000)
    office.beat("web2", age_ms=130_000)
    answer = open_site(office.service).get(DELIVERIES)
    assert answer.status_code == 200
    page = DeliveriesShape.model_validate(answer.json())
    assert (page.account, page.days, page.next_cursor, page.stale_servers) == ("bob@example.org", 30, None, ["web2"])
    (delivery,) = page.deliveries
    assert delivery.recipient == "Größe@example.net"
    assert delivery.queued_at.endswith("Z")
    assert delivery.attempts[0].response == "451 later"
    assert delivery.log_lines == ["a line"]


def test_a_delivery_tells_all_that_its_row_knows() -> None:
    assert set(DeliveryShape.model_fields) == {*Outcome._fields, "id"} - {"version", "is_deleted"}


def test_filters_and_pages(office: Office, open_site: Open) -> None:
    office.insert([*make_rows(5), make_row(recipient="bounced@example.net", status="bounced")])
    site = open_site(office.service)

    def recipients(**asked: str | int) -> list[str]:
        found = DeliveriesShape.model_validate(site.get(DELIVERIES, params=asked).json())
        return [one.recipient for one in found.deliveries]

    assert recipients(status="failed") == ["bounced@example.net"]
    assert recipients(recipient="READER3") == ["reader3@example.net"]
    assert recipients(days=1, limit=2, status="accepted") == ["reader0@example.net", "reader1@example.net"]
    cursor = site.get(DELIVERIES, params={"limit": 2, "status": "accepted"}).json()["next_cursor"]
    assert recipients(limit=2, status="accepted", cursor=cursor) == ["reader2@example.net", "reader3@example.net"]


def test_an_account_may_hold_any_character(office: Office, open_site: Open) -> None:
    row = make_row(account="a/b+c%d?e@example.org")
    office.insert([row])
    answer = open_site(office.service).get("/api/v1/accounts/a%2Fb%2Bc%25d%3Fe@example.org/deliveries")
    assert [one["account"] for one in answer.json()["deliveries"]] == [row.account]


def test_trace_and_servers_as_json(office: Office, open_site: Open) -> None:
    office.insert([make_row(message_id="m1@example.org")])
    office.beat("web1", age_ms=1000, last_line_ms=0)
    site = open_site(office.service)
    trace = TraceShape.model_validate(site.get("/api/v1/trace", params={"id": "<m1@example.org>"}).json())
    assert [one.message_id for one in trace.deliveries] == ["m1@example.org"]
    assert site.get("/api/v1/trace", params={"id": "unknown"}).json()["deliveries"] == []
    (server,) = ServersShape.model_validate(site.get("/api/v1/servers").json()).servers
    assert (server.server, server.is_stale, server.last_line_at) == ("web1", False, None)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (f"{DELIVERIES}?days=abc", "days 'abc' is not a whole number"),
        (f"{DELIVERIES}?bounces=maybe", "bounces 'maybe' is not true or false"),
        (f"{DELIVERIES}?days=0", "days"),
        (f"{DELIVERIES}?days=31", "kept for 30 days"),
        (f"{DELIVERIES}?limit=1001", "limit"),
        (f"{DELIVERIES}?status=lost", "status"),
        (f"{DELIVERIES}?cursor=made-up", "cursor"),
        (f"{DELIVERIES}?recipient=%00", "recipient"),
        ("/api/v1/accounts/@/deliveries", "account"),
        ("/api/v1/accounts/%20/deliveries", "account"),
        ("/api/v1/trace", "id is missing"),
        ("/api/v1/trace?id=%3C%3E", "id"),
    ],
)
def test_a_wrong_question_is_told_so_in_the_one_shape(empty_site: httpx.Client, path: str, word: str) -> None:
    answer = empty_site.get(path)
    assert answer.status_code == 422
    error = ErrorShape.model_validate(answer.json()).error
    assert error.code == "invalid"
    assert word in error.message


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (UnavailableError, 503, "unavailable", "Reports are not available at the moment"),
        (NotMigratedError, 503, "not_migrated", "Reports are not available at the moment"),
        (BusyError, 503, "busy", "Too many reports"),
        (TooLargeError, 504, "too_large", "Ask for fewer days"),
        (QueryError, 502, "query_refused", "Tell your provider"),
        (PostwatchError, 500, "internal", "Tell your provider"),
    ],
)
def test_a_failure_has_its_own_status_and_words(
    open_site: Open, error: type[PostwatchError], status: int, code: str, words: str
) -> None:
    """The mailbox owner reads a plain sentence; the setting and the remedy are in the log and in /health."""
    told = "NewConnectionError at http://10.0.0.7:8123; start it, or set POSTWATCH_CLICKHOUSE_URL"
    site = open_site(refusing(error(told)))
    for path in (DELIVERIES, "/api/v1/trace?id=x", "/api/v1/servers"):
        with capture_logs() as logged:
            answer = site.get(path)
        assert answer.status_code == status
        assert answer.json()["error"]["code"] == code
        assert words in answer.json()["error"]["message"]
        assert not re.search("POSTWATCH|Error|10.0.0.7", answer.json()["error"]["message"])
        assert ("Retry-After" in answer.headers) == (status == 503)
        is_logged_by_the_reader = code in ("unavailable", "not_migrated")
        assert [one["error"] for one in logged] == ([] if is_logged_by_the_reader else [told])
    health = site.get("/health")
    assert health.status_code == 503
    assert health.json() == {"healthy": False, "complaints": {"clickhouse": told}}


def test_a_bug_tells_strangers_nothing(open_site: Open) -> None:
    answer = open_site(refusing(RuntimeError("secret words"))).get(DELIVERIES)
    assert answer.status_code == 500
    assert ErrorShape.model_validate(answer.json()).error.code == "internal"
    assert "secret" not in answer.text
    assert "content-security-policy" in answer.headers


def test_unknown_paths_and_methods(empty_site: httpx.Client) -> None:
    assert empty_site.get("/api/v1/nothing").json()["error"]["code"] == "not_found"
    answer = empty_site.post(DELIVERIES)
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET, HEAD"
    page = empty_site.get("/nothing<b>")
    assert page.status_code == 404
    assert "<b>" not in page.text
    assert page.headers["content-type"].startswith("text/html")


def test_every_endpoint_is_in_the_openapi_document(empty_site: httpx.Client) -> None:
    document = empty_site.get("/api/v1/openapi.json").json()
    service, reports = refusing(RuntimeError()), load_reports().values()
    routes = [
        *api_router(service, reports).routes,
        *download_router(Downloads(service, 1), reports).routes,
        *proof_router(service, ProofIssuer()).routes,
    ]
    served = {
        route.path.replace(":path", "") for route in routes if isinstance(route, APIRoute) and route.include_in_schema
    }
    assert set(document["paths"]) == served
    assert len(served) == len(load_reports()) + 3 + 4 + 2  # files of an account and of the search; a proof and keys
    for path, methods in document["paths"].items():
        answers = methods["get"]["responses"]
        if path.startswith("/api/") and path != "/api/v1/reasons":  # which asks nobody
            for status in ("422", "502", "503", "504"):
                assert answers[status]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorShape")
            for parameter in methods["get"].get("parameters", []):
                assert parameter["description"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_many_who_ask_for_the_health_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "HEALTH_SECONDS", 60.0)
    asked: list[Statement] = []
    is_let = threading.Event()

    def read(statement: Statement) -> list[tuple[object, ...]]:
        asked.append(statement)
        assert is_let.wait(PATIENCE)
        return []

    service = ReportService(read, QuerySettings(), ClickHouseSettings(), JoinSettings())
    with served(service) as site, ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(site.get, "/health") for _ in range(8)]
        wait_until(lambda: asked, "one asks")
        is_let.set()
        assert [answer.result().status_code for answer in answers] == [200] * 8
        assert site.get("/health").json()["healthy"]
    assert len(asked) == 1


def test_health_and_metrics(empty_site: httpx.Client) -> None:
    assert empty_site.get("/health").json() == {"healthy": True, "complaints": {}}
    empty_site.get("/health", headers={"Host": "postwatch.example"})
    text = empty_site.get("/metrics").text
    for name in (
        "postwatch_query_statements_total",
        "postwatch_query_statement_seconds_bucket",
        "postwatch_http_requests_total",
        "postwatch_http_refused_requests_total",
    ):
        assert name in text
