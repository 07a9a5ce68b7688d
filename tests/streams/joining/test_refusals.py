"""What Sendmail refused: the arrival's line of the same queue id comes behind it, and tells whose it was."""

from __future__ import annotations

from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner

from tests.streams.joining.test_golden import SERVER, parser_of_all, rows_of

ID = "5ALA0Aac002003"
LOGIN = "AUTH=server, relay=pc.bakery.example [192.0.2.77], authid=anna@bakery.example, mech=PLAIN, bits=0"
UNKNOWN = f"{ID}: <ghost@bakery.example>... User unknown"
NONE_TAKEN = (
    f"{ID}: from=<ann@bakery.example>, size=0, class=0, nrcpts=0, proto=ESMTPSA, daemon=MTA, "
    "relay=pc.bakery.example [192.0.2.77]"
)
ONE_TAKEN = NONE_TAKEN.replace("nrcpts=0", "nrcpts=1").replace("size=0", "size=900")
SENT = f"{ID}: to=<bob@bakery.example>, delay=00:00:01, mailer=local, pri=30900, dsn=2.0.0, stat=Sent"


def lines(*words: str) -> list[str]:
    return [f"Nov 21 10:00:1{second} mx sm-mta[2003]: {each}" for second, each in enumerate(words)]


def test_the_arrival_behind_a_refusal_tells_sender_client_and_login() -> None:
    refused = lines(LOGIN, UNKNOWN, NONE_TAKEN)
    [row] = rows_of([refused])
    assert (row["account"], row["direction"], row["sender"]) == ("anna@bakery.example", "sent", "ann@bakery.example")
    assert (row["client_ip"], row["authenticated_as"]) == ("192.0.2.77", "anna@bakery.example")
    assert (row["recipient"], row["status"], row["smtp_code"]) == ("ghost@bakery.example", "rejected", 550)
    assert row["log_lines"] == refused[1:]
    assert rows_of([[line] for line in refused]) == rows_of([refused, refused]) == [row]
    assert rows_of([refused[:2], refused[1:]]) == [row]


def test_a_refusal_beside_a_recipient_that_was_taken_is_told_too() -> None:
    told = {
        (row["account"], row["recipient"]): (row["status"], row["client_ip"])
        for row in rows_of([lines(LOGIN, UNKNOWN, ONE_TAKEN, SENT)])
    }
    assert told[("anna@bakery.example", "ghost@bakery.example")] == ("rejected", "192.0.2.77")
    assert told[("anna@bakery.example", "bob@bakery.example")] == ("delivered", "192.0.2.77")
    assert ("ghost@bakery.example", "ghost@bakery.example") not in told


def test_a_refusal_without_an_arrival_is_its_recipients() -> None:
    [row] = rows_of([lines(UNKNOWN)])
    assert (row["account"], row["sender"], row["client_ip"]) == ("ghost@bakery.example", "", "")
    [row] = rows_of([lines(UNKNOWN, NONE_TAKEN.replace(ID, "5ALA0Aad002003"))])
    assert (row["account"], row["client_ip"]) == ("ghost@bakery.example", "")


def test_a_message_of_which_nothing_was_taken_is_done() -> None:
    joiner = Joiner(AccountBook(None))
    parser = parser_of_all()
    for line in lines(UNKNOWN, NONE_TAKEN.replace("ESMTPSA", "ESMTP")):
        parsed = parser.parse(line)
        joiner.add(SERVER, parsed if isinstance(parsed, list) else [parsed])  # type: ignore[list-item]
        joiner.take_dirty()
    assert list(joiner.open_messages()) == []
