from __future__ import annotations

import re
from dataclasses import replace

import pytest
from postwatch.query import statements
from postwatch.query.filters import Mailbox, SystemUser
from postwatch.query.orders import Position
from postwatch.query.reports import (
    account_window,
    delivery,
    queue_statements,
    search_window,
    server_states,
    sorted_rows,
    trace,
    whole_rows,
)
from postwatch.query.reports.account_question import AccountFilters, AccountQuestion, read_question
from postwatch.query.reports.account_window import Window
from postwatch.query.reports.bounces_question import BouncesFilters
from postwatch.query.reports.failure_statements import FailureStatements
from postwatch.query.reports.report import DAY_MS
from postwatch.query.reports.search_question import SearchFilters
from postwatch.query.reports.search_window import SearchWindow
from postwatch.query.row_id import RowPlace
from postwatch.query.row_keys import ids_of_nobody_else
from postwatch.query.search_terms import KINDS, Term
from postwatch.query.standing_out.groups import Place
from postwatch.query.statements import QUEUE_IDS, MessageKey, Span, Statement
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import Outcome

HOSTILE = "x'; DROP TABLE deliveries; -- \\ {database:Identifier} %s"


def _filters(account: str = "bob@example.org", status: str = "") -> AccountFilters:
    return read_question(AccountQuestion(account, status=status), 30, 50, ids_of_nobody_else)


def _window(wanted: AccountFilters, viewer: Viewer = ENGINEER) -> Window:
    return Window(viewer, "mail", wanted, since_ms=0, open_ms=5)


def _search_statements(word: str, viewer: Viewer) -> list[Statement]:
    wanted = SearchFilters((), 30, 50, word, word, (word,), word, word, 1, 2, 3, 4, Position("event", 5, 6))
    terms = [Term(kind, word) for kind in KINDS]
    windows = [SearchWindow(viewer, "mail", wanted, term, since_ms=0, open_ms=5) for term in (None, *terms)]
    return [
        made(window, Span(1, 2), 100)
        for window in windows
        for made in (
            search_window.newest_bound,
            search_window.newest_keys,
            search_window.newest_rows,
            _rows_of_keys,
            _newest_whole,
            _last_versions,
        )
    ]


def _rows_of_keys(window: SearchWindow, span: Span, rows: int) -> Statement:
    word = window.viewer.name
    return search_window.newest_rows(window, span, rows, [MessageKey(word, word, 3, word)])


def _newest_whole(window: SearchWindow, span: Span, rows: int) -> Statement:
    return whole_rows.newest_whole(window, span.until_ms, rows)


def _last_versions(window: SearchWindow, span: Span, rows: int) -> Statement:
    word = window.viewer.name
    return whole_rows.last_versions(window, [MessageKey(word, word, 3, word)])


def _trace_statements(viewer: Viewer, wanted: str, word: str) -> list[Statement]:
    key = MessageKey(word, word, 3, word)
    return [
        made
        for lookup in trace.lookups(viewer, wanted)
        for made in (
            trace.trace_keys(viewer, "mail", wanted, lookup, 100),
            trace.trace_rows(viewer, "mail", lookup, [key], 100),
        )
    ]


def _queue_statements(word: str, viewer: Viewer) -> list[Statement]:
    groups = queue_statements.GROUPS
    window = queue_statements.QueueWindow(viewer, "mail", tuple((group, word) for group in groups), 0, 5)
    counts = [queue_statements.queue_groups(window, group, 100) for group in ("", *groups)]
    return [*counts, queue_statements.oldest_waiting(window, Position("sent", 5, 6, True, 0), 100)]


def _every_statement(word: str) -> list[Statement]:
    filters = AccountFilters(Mailbox(f"{word}@{word}", word), 30, 50, word, (word,), after=Position("event", 5, 6))
    user = AccountFilters(SystemUser(word, (word,)), 30, 50, by="sent")
    sorted_filters = replace(filters, text=word, by="host", after=Position("host", 5, 6, key=word))
    anna = Viewer(
        word, mailboxes=frozenset({f"anna@{word}"}), domains=frozenset({word}), system_users=frozenset({word})
    )
    return [
        account_window.newest_bound(_window(filters), Span(1, 2), 100),
        account_window.newest_rows(_window(filters), Span(1, 2), 100),
        server_states.newest_heartbeats(ENGINEER, "mail", 1, 100),
        server_states.newest_heartbeats(ENGINEER, "mail", 1, 1, word),
        account_window.server_names(ENGINEER, "mail", 1),
        account_window.newest_rows(_window(user), Span(1), 100),
        account_window.newest_rows(_window(filters, anna), Span(1, 2), 100),
        *_trace_statements(ENGINEER, word, word),
        *_trace_statements(anna, f"{word}@{word}", word),
        account_window.row_counts(_window(filters, anna)),
        account_window.overview(_window(filters, anna), 1000),
        sorted_rows.sorted_keys(_window(sorted_filters, anna), word, 7),
        sorted_rows.key_of_row(_window(sorted_filters, anna), Position("recipient", 5, 6)),
        sorted_rows.rows_of(_window(sorted_filters, anna), [(1, 2, word)]),
        delivery.row_at(ENGINEER, "mail", RowPlace(1, 2), 3),
        delivery.row_at(anna, "mail", RowPlace(1, 2), 3),
        delivery.message_rows(anna, "mail", RowPlace(1, 2), 3, 100),
        *_queue_statements(word, ENGINEER),
        *_queue_statements(word, anna),
        *_search_statements(word, ENGINEER),
        *_search_statements(word, anna),
        *_failure_statements(ENGINEER, word),
        *_failure_statements(anna, word),
    ]


def _failure_statements(viewer: Viewer, word: str) -> list[Statement]:
    place = Place(("provider", "account"), (word, word))
    wanted = BouncesFilters(("reason", "account"), DAY_MS, 2 * DAY_MS, (word,), place, 50)
    failures = FailureStatements(viewer, "mail", wanted)
    return [
        failures.mail(),
        failures.counts([place]),
        failures.rows(("reason",), place),
        failures.bins(place, 1),
        failures.course(1, 2),
        failures.newest(place, 20),
        failures.deliveries([(word, word, 1, 2)]),
    ]


def test_no_word_of_a_question_gets_into_the_text_of_a_query() -> None:
    for hostile, tame in zip(_every_statement(HOSTILE), _every_statement("tame"), strict=True):
        assert hostile.sql == tame.sql
        assert hostile.sql.replace("＠", "@").isascii()  # which privacy.py takes for an at sign


def test_every_parameter_of_a_query_is_given_and_none_is_left_over() -> None:
    for statement in _every_statement("tame"):
        assert set(re.findall(r"\{(\w+):", statement.sql)) == statement.parameters.keys()


def test_final_stands_only_where_rows_are_shown() -> None:
    bound, rows, *_ = (statement.sql for statement in _every_statement("tame"))
    keys, traced, *_ = (statement.sql for statement in _trace_statements(ENGINEER, "tame", "tame"))
    heartbeats = server_states.newest_heartbeats(ENGINEER, "mail", 1, 100).sql
    assert "FINAL" not in bound
    assert "FINAL" not in keys
    assert rows.count("FINAL") == traced.count("FINAL") == heartbeats.count("FINAL") == 1


def test_every_field_of_an_outcome_is_read() -> None:
    for name in Outcome._fields:
        assert name in statements.ROW_COLUMNS
    assert " AS " not in statements.ROW_COLUMNS


def test_a_result_and_a_finer_status_are_told_apart() -> None:
    for word, statuses in (
        ("pending", ["pending", "deferred"]),
        ("in-progress", ["pending"]),
        ("bounced", ["bounced"]),
    ):
        statement = account_window.newest_rows(_window(_filters(status=word)), Span(0), 10)
        assert " AND status IN {statuses:Array(String)} " in statement.sql
        assert statement.parameters["statuses"] == statuses


def test_what_is_not_asked_is_no_condition() -> None:
    statement = account_window.newest_rows(_window(_filters()), Span(7), 10)
    assert statement.parameters == {
        "database": "mail",
        "rows": 10,
        "domain": "example.org",
        "account": "bob@example.org",
        "since_ms": 7,
        "queued_since_ms": 2,
    }


def test_a_domain_is_asked_without_an_account() -> None:
    assert "account" not in account_window.newest_rows(_window(_filters("@example.org")), Span(0), 10).parameters


def test_only_what_can_hold_the_word_is_searched_for_a_trace() -> None:
    by_queue_id, by_message_id = trace.lookups(ENGINEER, "1tABCD-0000000001-ABCD")
    [either] = trace.lookups(ENGINEER, "bob@example.org")
    assert [QUEUE_IDS in condition for condition in by_queue_id.by_index] == [True]
    assert [condition.split()[0] for condition in by_message_id.by_index] == ["message_id"]
    assert ["recipient IN" in condition for condition in either.by_index] == [False, True]
    assert not any(QUEUE_IDS in condition for condition in either.by_index)


ANNA = Viewer("anna", mailboxes=frozenset({"anna@bakery.example"}), domains=frozenset({"cakes.example"}))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM {database:Identifier}.deliveries",
        "SELECT 1 FROM {database:Identifier}.deliveries FINAL WHERE queued_at > 1",
        "SELECT 1 FROM {database:Identifier}.deliveries WHERE {viewer} AND account IN"
        " (SELECT account FROM {database:Identifier}.deliveries WHERE 1)",
        "SELECT 1 FROM {database:Identifier}.servers",
        "SELECT 1 FROM {database:Identifier}.deliveries PREWHERE queue_id = 'x' WHERE queued_at > 1",
        "SELECT 1 FROM {database:Identifier}.deliveries PREWHERE queue_id = 'x' UNION ALL"
        " SELECT 1 FROM {database:Identifier}.delivery_hops WHERE {viewer}",
    ],
)
def test_no_statement_can_be_built_without_its_viewer(sql: str) -> None:
    with pytest.raises(ValueError, match=r"begins with|may not read"):
        Statement(ANNA, sql, {})


def test_a_viewer_without_any_account_sees_nothing() -> None:
    sql = "SELECT 1 FROM {database:Identifier}.deliveries WHERE {viewer} AND 1"
    assert Statement(Viewer("nobody"), sql, {}).sql == "SELECT 1 FROM {database:Identifier}.deliveries WHERE (0) AND 1"
    assert "account IN {viewer_mailboxes:Array(String)}" in Statement(ANNA, sql, {}).sql
    assert Statement(ENGINEER, sql, {}).sql.endswith(" WHERE 1 AND 1")
    narrowed = sql.replace(" WHERE", " PREWHERE queue_id = 'x' WHERE")
    assert Statement(Viewer("nobody"), narrowed, {}).sql.endswith(" PREWHERE queue_id = 'x' WHERE (0) AND 1")


def test_the_viewer_s_names_are_parameters() -> None:
    parameters = Statement(ANNA, "SELECT 1 FROM {database:Identifier}.deliveries WHERE {viewer}", {}).parameters
    assert parameters == {
        "viewer_mailboxes": ["anna@bakery.example"],
        "viewer_mailbox_domains": ["bakery.example"],
        "viewer_domains": ["cakes.example"],
    }


@pytest.mark.parametrize("table", [statements.STATES, statements.EVENTS, statements.DELIVERIES])
@pytest.mark.parametrize("final", ["", " FINAL"])
def test_no_table_of_accounts_is_read_without_the_viewer(table: str, final: str) -> None:
    anna = Viewer("anna", mailboxes=frozenset({"anna@example.org"}))
    for where in ("", " WHERE 1", " WHERE account = 'anna' AND {viewer}", " PREWHERE {viewer}"):
        with pytest.raises(ValueError, match=r"begins with \{viewer\}"):
            Statement(anna, f"SELECT count() FROM {table}{final}{where}", {})
    sql = Statement(anna, f"SELECT count() FROM {table}{final} WHERE {{viewer}}", {}).sql
    assert "account IN {viewer_mailboxes:Array(String)}" in sql


@pytest.mark.parametrize("view", ["deliveries_now", "events"])
def test_no_statement_reads_a_view_of_dashboards(view: str) -> None:
    with pytest.raises(ValueError, match="views are for dashboards"):
        Statement(ENGINEER, f"SELECT count() FROM {{database:Identifier}}.{view} WHERE {{viewer}}", {})
