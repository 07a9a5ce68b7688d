"""Truth against table: every kind of difference is told."""

from __future__ import annotations

from postwatch.deploy.simulator.truth import TruthRow
from postwatch.deploy.simulator.verdict import compare


def row(recipient: str, status: str = "delivered", queue_id: str = "1vNBqy-0000000AAAA-2cDe") -> TruthRow:
    return TruthRow("mail1", queue_id, "m@x", "a@ours", "sent", "a@ours", recipient, "", status)


def test_the_same_rows_in_any_order_are_right() -> None:
    refusal = row("nobody@ours", "rejected", queue_id="")
    verdict = compare([row("a"), refusal, row("b")], [row("b"), row("a"), refusal._replace(queue_id="r:0123")])
    assert verdict.is_right
    assert (verdict.right, verdict.lines()) == (3, [])


def test_each_difference_is_told_once() -> None:
    verdict = compare([row("a"), row("b"), row("c", "bounced")], [row("a"), row("c", "pending"), row("d")])
    assert not verdict.is_right
    assert verdict.right == 1
    assert verdict.missing == [row("b")]
    assert verdict.wrong == [(row("c", "bounced"), "pending")]
    assert verdict.unexpected == [row("d")]
    assert verdict.lines()[1] == ("wrong: mail1 1vNBqy-0000000AAAA-2cDe sent a@ours → c: pending instead of bounced")


def test_a_row_that_is_there_twice_is_one_too_many() -> None:
    assert compare([row("a")], [row("a"), row("a")]).unexpected == [row("a")]


def test_many_differences_are_counted() -> None:
    lines = compare([row(f"r{number}") for number in range(25)], []).lines(most=10)
    assert len(lines) == 11
    assert lines[-1] == "missing: 15 more"
