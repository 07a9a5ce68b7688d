"""The statements of cPanel's functions: nothing that a script sends gets into their text."""

from __future__ import annotations

import re

from postwatch.query.cpanel import attempt_rows, fleet_statistics, statistics
from postwatch.query.cpanel.attempt_rows import Sought
from postwatch.query.cpanel.scopes import UserScope, Window
from postwatch.query.cpanel.shaping import Match
from postwatch.query.cpanel.statistics_call import StatisticsCall
from postwatch.query.reports.report import Tables
from postwatch.query.statements import Row, Statement
from postwatch.query.viewer import ENGINEER, Viewer

HOSTILE = "x'; DROP TABLE deliveries; -- \\ {database:Identifier} %s"


def _unread(_statement: Statement) -> list[Row]:
    return []


def _every_statement(word: str) -> list[Statement]:
    scope = UserScope((word,), word, f"anna@{word}")
    window = Window(1, 2, 0)
    matches = (Match("sender", "contains", word), Match("recipient", "eq", word), Match("message", "contains", word))
    anna = Viewer(word, mailboxes=frozenset({f"anna@{word}"}), domains=frozenset({word}))
    found: list[Statement] = []
    for viewer in (ENGINEER, anna):
        for types in (frozenset({"failure"}), frozenset({"success", "defer", "failure", "inprogress"})):
            for some in (matches, matches[1:]):
                sought = Sought(viewer, "mail", window, types, scope, some)
                found += [attempt_rows.reach(sought, 5), attempt_rows.rows_within(sought, 5)]
        tables = Tables(_unread, "mail", 30, 50, 5, 10**12, viewer)
        for kind in ("", "remote", "local", "remote-or-faildefer"):
            call = StatisticsCall(1, 2, kind, word, scope)
            found += [
                statistics.sent_counts(tables, call),
                statistics.total_counts(tables, call),
                statistics.received_counts(tables, call),
            ]
        found += [
            fleet_statistics.sent_messages(tables, call),
            fleet_statistics.sent_events(tables, call, is_cut=False),
            fleet_statistics.sent_events(tables, call, is_cut=True),
            fleet_statistics.total_messages(tables, call),
            fleet_statistics.total_events(tables, call),
            fleet_statistics.outside_messages(tables, call),
            fleet_statistics.outside_events(tables, call),
        ]
    return found


def test_no_word_of_a_call_gets_into_the_text_of_a_statement() -> None:
    for hostile, tame in zip(_every_statement(HOSTILE), _every_statement("tame"), strict=True):
        assert hostile.sql == tame.sql


def test_every_parameter_is_given_and_none_is_left_over() -> None:
    for statement in _every_statement("tame"):
        assert set(re.findall(r"\{(\w+):", statement.sql)) == statement.parameters.keys(), statement.sql


def test_what_bounds_a_piece_is_read_without_final() -> None:
    sought = Sought(ENGINEER, "mail", Window(1, 2, 0), frozenset({"failure"}), None, ())
    assert "FINAL" not in attempt_rows.reach(sought, 5).sql
    assert attempt_rows.rows_within(sought, 5).sql.count("FINAL") == 1
