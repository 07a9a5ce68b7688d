"""What Postfix puts on hold before it has a queue id: whose message that is, and whose it is not."""

from __future__ import annotations

import json

import pytest
from postwatch.streams.parsers.syslog import process_in

from tests.streams.joining.test_golden import rows_of

CLIENT = "mail.shop.example[192.0.2.5]"
WAITS = (
    f"NOQUEUE: hold: RCPT from {CLIENT}: <bob@bakery.example>: Recipient address triggers HOLD action; "
    "from=<a@shop.example> to=<bob@bakery.example> proto=ESMTP helo=<mail.shop.example>"
)
REFUSED = (
    f"NOQUEUE: reject: RCPT from {CLIENT}: 550 5.1.1 <bob@bakery.example>: Recipient address rejected: no; "
    "from=<a@shop.example> to=<bob@bakery.example> proto=ESMTP helo=<mail.shop.example>"
)


def said(second: int, words: str, process: int = 7) -> str:
    return f"Nov 23 09:00:{second:02} mx postfix/smtpd[{process}]: {words}"


def taken(second: int, process: int = 7, client: str = CLIENT) -> str:
    return said(second, f"4A1B2C3D4E: client={client}", process)


def held(lines: list[str]) -> list[tuple[str, str, str]]:
    return [
        (row["queue_id"], row["recipient"], row["status"]) for row in rows_of([lines]) if row["status"] != "rejected"
    ]


def test_the_message_that_the_process_takes_next_is_on_hold() -> None:
    expected = [("4A1B2C3D4E", "bob@bakery.example", "deferred")]
    lines = [said(1, WAITS), taken(1), said(2, "disconnect from x")]
    assert held(lines) == held([*lines, *lines]) == held([said(1, WAITS), taken(2)]) == expected
    [row] = rows_of([lines])
    assert (row["account"], row["sender"], row["client_ip"]) == ("bob@bakery.example", "a@shop.example", "192.0.2.5")
    assert row["log_lines"] == [lines[1], lines[0]] or row["log_lines"] == lines[:2]


@pytest.mark.parametrize(
    "lines",
    [
        [said(1, WAITS), taken(1, process=8)],
        [said(1, WAITS), taken(1, client="mail.shop.example[192.0.2.6]")],
        [said(1, WAITS), taken(3)],
        [taken(0), said(1, WAITS)],
        [said(1, WAITS), said(1, REFUSED), taken(1)],
        [said(1, WAITS), said(1, WAITS.replace("from=<a@", "from=<b@")), taken(1)],
    ],
    ids=["another process", "another client", "too late", "before it", "refused after all", "two senders"],
)
def test_no_other_message_is_on_hold(lines: list[str]) -> None:
    assert held(lines) == []


def test_the_process_is_told_in_every_head() -> None:
    words = "4A1B2C3D4E: client=x[192.0.2.1]"
    journal = json.dumps({"__REALTIME_TIMESTAMP": "1", "SYSLOG_IDENTIFIER": "a", "_PID": "77", "MESSAGE": words})
    for head in ("Nov 23 09:00:01 mx postfix/smtpd[77]: ", "<22>1 2026-11-03T17:27:12Z mx postfix/smtpd 77 - - "):
        assert process_in(head + words, "4A1B2C3D4E: client=") == "77"
    assert process_in(journal, "4A1B2C3D4E: client=") == "77"
    assert process_in(words, "4A1B2C3D4E: client=") == process_in("{", "x") == ""
