"""A web server with Exim, a gateway and an MX with Postfix: their logs, through the real join and engine."""

from __future__ import annotations

import datetime
import string
from collections.abc import Sequence

import pytest
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines

from tests.query.conftest import MINUTE_MS, NOW_MS, Office
from tests.query.hops.test_follow import Fleet, fleet_of
from tests.streams.joining.test_golden import parser_of_all

SERVERS = ("web1", "gateway2", "mx3")
MESSAGES = {"ann@far.example": "sent", "gone@far.example": "bounced", "busy@far.example": "deferred"}
FATES = {"ann@far.example": "delivered", "gone@far.example": "bounced", "busy@far.example": "deferred"}
LAST = {
    "sent": "(250 2.0.0 OK 1732 far.example)",
    "bounced": "(host mx.far.example[192.0.2.7] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
    "deferred": "(host mx.far.example[192.0.2.7] said: 451 4.7.1 try again later (in reply to RCPT TO command))",
}


def at(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(NOW_MS // 1000 - 10 * MINUTE_MS // 1000 + seconds, datetime.UTC)


def exim_id(seconds: int) -> str:
    """Exim's queue id, which tells when the message was received."""
    digits = ""
    while seconds:
        seconds, digit = divmod(seconds, 62)
        digits = (string.digits + string.ascii_uppercase + string.ascii_lowercase)[digit] + digits
    return f"{digits}-00000000001-ABCD"


def logs() -> dict[str, list[str]]:
    """Server → its log of one message to each of the recipients."""
    found: dict[str, list[str]] = {name: [] for name in SERVERS}
    for number, (recipient, end) in enumerate(MESSAGES.items()):
        message_id, begin = f"{number}.1732@web1.example", at(number * 20)
        exim, gateway, mx = exim_id(int(begin.timestamp())), f"A1B2C3D4E{number}", f"B1B2C3D4E{number}"
        web = [
            f"{exim} <= bob@example.org U=bob P=local S=900 id={message_id} for {recipient}",
            f"{exim} => {recipient} R=smarthost T=remote_smtp H=gateway2 [10.1.0.2] X=TLS1.3:TLS_AES_256_GCM_SHA384:256"
            f' C="250 2.0.0 Ok: queued as {gateway}"',
            f"{exim} Completed",
        ]
        found["web1"] += [f"{begin + datetime.timedelta(seconds=place):%F %T} {line}" for place, line in enumerate(web)]
        found["gateway2"] += _postfix(
            "gateway2", gateway, "web1[10.1.0.1]", message_id, recipient, begin, "mx3[10.1.0.3]:25", "sent",
            f"(250 2.0.0 Ok: queued as {mx})",
        )  # fmt: skip
        found["mx3"] += _postfix(
            "mx3", mx, "gateway2[10.1.0.2]", message_id, recipient, begin + datetime.timedelta(seconds=2),
            "mx.far.example[192.0.2.7]:25", end, LAST[end],
        )  # fmt: skip
    return found


def _postfix(
    server: str, queue_id: str, client: str, message_id: str, recipient: str, begin: datetime.datetime,
    relay: str, status: str, answer: str,
) -> list[str]:  # fmt: skip
    dsn = {"sent": "2.0.0", "bounced": "5.1.1", "deferred": "4.7.1"}[status]
    lines = [
        ("smtpd", f"client={client}"),
        ("cleanup", f"message-id=<{message_id}>"),
        ("qmgr", "from=<bob@example.org>, size=990, nrcpt=1 (queue active)"),
        ("smtp", f"to=<{recipient}>, relay={relay}, delay=1, delays=0/0/0.5/0.5, dsn={dsn}, status={status} {answer}"),
        *([] if status == "deferred" else [("qmgr", "removed")]),
    ]
    stamp = f"{begin + datetime.timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}.500000+00:00 {server} postfix/"
    return [f"{stamp}{daemon}[9]: {queue_id}: {words}" for daemon, words in lines]


def rows_of(server: str, lines: Sequence[str]) -> list[Outcome]:
    joiner, rows = Joiner(AccountBook(None)), []
    parsed = parse_lines(parser_of_all(), list(lines), LineCounts())
    assert parsed.unreadable == []
    joiner.add(server, parsed.events)
    rows += joiner.take_dirty()[0]
    for message in joiner.open_messages():
        rows += joiner.pending_rows(message)
    return rows


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Outcome]]:
    return {server: rows_of(server, lines) for server, lines in logs().items()}


def told(fleet: Fleet) -> dict[str, str]:
    """What the sender's report says of each recipient, as the web server handed it in."""
    return {row.recipient: row.status for row in fleet.report("bob@web1").rows}


def test_the_last_log_tells_and_without_any_of_them_nothing_is_delivered(
    office: Office, rows: dict[str, list[Outcome]]
) -> None:
    fleet = fleet_of(office, own_servers=SERVERS)
    pending = dict.fromkeys(MESSAGES, "pending")
    for order in (("web1", "gateway2", "mx3"), ("mx3", "web1", "gateway2")):
        office.client.command("TRUNCATE TABLE deliveries")
        office.client.command("TRUNCATE TABLE delivery_hops")
        for number, server in enumerate(order):
            office.insert(rows[server])
            if "web1" in order[: number + 1]:
                assert told(fleet) == (FATES if number == 2 else pending), (order, number)
    mail = fleet.report("bob@web1")
    assert {status: number for status, number in mail.by_status.items() if number} == {
        "delivered": 1, "bounced": 1, "deferred": 1,
    }  # fmt: skip


@pytest.mark.parametrize("lost", ["gateway2", "mx3"])
def test_a_lost_log_never_reads_as_delivered(office: Office, rows: dict[str, list[Outcome]], lost: str) -> None:
    fleet = fleet_of(office, own_servers=SERVERS)
    for server in SERVERS:
        if server != lost:
            office.insert(rows[server])
    assert told(fleet) == dict.fromkeys(MESSAGES, "pending")
    assert fleet.report("bob@web1", status="accepted").rows == ()
