"""Nothing that is served to a viewer holds an address that he may not see."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.query.privacy import HIDDEN, visible_row
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import COLUMNS, Attempt, Outcome

from tests.cpu import least_cpu_seconds
from tests.query.conftest import make_row
from tests.streams.joining.test_golden import LOGS, golden_rows

ANNA = Viewer("anna", mailboxes=frozenset({"anna@bakery.example"}))
BAKERY = Viewer("baker", domains=frozenset({"bakery.example"}))
_WRITTEN_BY_THE_SENDER = ("subject", "message_id")


def _texts(row: Outcome) -> Iterator[str]:
    """Everything of a row that is shown, but what the sender himself wrote into the message."""
    for column in COLUMNS:
        value = getattr(row, column.name)
        if column.name == "attempts":
            yield from (str(part) for one in value for part in one)
        elif column.name not in _WRITTEN_BY_THE_SENDER:
            yield from value if isinstance(value, tuple) else [str(value)]


def _addresses(row: Outcome, known: set[str]) -> set[str]:
    """The addresses in the row's texts, but for those that are known: a hostile one may look like two."""
    found: set[str] = set()
    for text in _texts(row):
        rest = text.lower()
        for address in sorted(filter(None, known), key=len, reverse=True):
            rest = rest.replace(address, " ")
        found.update(re.findall(r"[\w.+=-]+@[\w.-]+\w", rest))
    return found


def _golden() -> list[Outcome]:
    rows = []
    for log in LOGS:
        for known in golden_rows(log):
            known.pop("result", None)
            attempts = tuple(Attempt(**{**one, "at": 0}) for one in known.pop("attempts"))
            fields = {name: value for name, value in known.items() if not name.endswith("_at")}
            rows.append(Outcome(**{**fields, "attempts": attempts, "log_lines": tuple(known["log_lines"])}))
    return rows


GOLDEN = _golden()


@pytest.mark.parametrize("whose", ["mailbox", "domain"])
def test_no_golden_row_shows_a_stranger_s_address(whose: str) -> None:
    seen = 0
    for row in GOLDEN:
        if "@" not in row.account:
            continue
        one = frozenset({row.account if whose == "mailbox" else row.account_domain})
        viewer = Viewer("owner", mailboxes=one) if whose == "mailbox" else Viewer("owner", domains=one)
        shown = visible_row(viewer, row)
        may_see = {row.account, row.sender.lower(), shown.recipient.lower(), shown.original_recipient.lower()}
        assert not {one for one in _addresses(shown, may_see) if not viewer.owns(one)}, shown
        assert not shown.log_lines
        assert not shown.server
        assert row.server not in {shown.server, shown.parent_queue_id}
        seen += 1
    assert seen > 150


def test_an_engineer_sees_all() -> None:
    for row in GOLDEN:
        assert visible_row(ENGINEER, row) == row


def test_where_an_alias_leads_is_the_account_s_own_affair() -> None:
    row = make_row(
        account="bob@shop.example",
        sender="bob@shop.example",
        original_recipient="anna@bakery.example",
        recipient="anna77@mail.example",
        status="bounced",
        reason="mailbox-full",
        response="552 5.2.2 <anna77@mail.example>: mailbox full at mx.mail.example",
        remote_host="mx.mail.example",
        remote_ip="192.0.2.9",
        remote_provider="Mail",
        transport="remote_smtp",
        attempts=(Attempt(1, "bounced", 552, "552 5.2.2 <anna77@mail.example> full", "mx.mail.example", "192.0.2.9"),),
    )
    shown = visible_row(Viewer("bob", mailboxes=frozenset({"bob@shop.example"})), row)
    assert (shown.recipient, shown.original_recipient) == ("anna@bakery.example", "")
    assert (shown.status, shown.reason, shown.smtp_code) == ("bounced", "mailbox-full", 250)
    assert "mail.example" not in repr(shown)
    assert "192.0.2.9" not in repr(shown)
    for owner in (ANNA, BAKERY):
        received = row._replace(direction="received", account="anna@bakery.example", account_domain="bakery.example")
        assert visible_row(owner, received).recipient == "anna77@mail.example"
        assert "anna77@mail.example" in visible_row(owner, received).response


def test_the_recipient_does_not_see_the_login_of_a_local_sender() -> None:
    row = make_row(
        account="anna@bakery.example",
        direction="received",
        sender="info@shop.example",
        recipient="anna@bakery.example",
        authenticated_as="shopuser",
        auth_method="dovecot_login",
        client_ip="192.0.2.50",
        client_host="dsl-50.example",
    )
    shown = visible_row(ANNA, row)
    assert (shown.authenticated_as, shown.auth_method, shown.client_ip, shown.client_host) == ("", "", "", "")
    inbound = visible_row(ANNA, row._replace(authenticated_as="", auth_method=""))
    assert inbound.client_ip == "192.0.2.50"


def test_a_server_that_hands_mail_to_itself_is_not_named() -> None:
    one = Attempt(1, "delivered", 250, "250 saved", "web1", "")
    row = make_row(
        account="anna@bakery.example", remote_host="Web1", attempts=(one, one._replace(remote_host="mx.far"))
    )
    shown = visible_row(ANNA, row)
    assert (shown.remote_host, [each.remote_host for each in shown.attempts]) == ("", ["", "mx.far"])
    assert visible_row(ANNA, row._replace(server="web2")).remote_host == "Web1"


HIDDEN_FORMS = [
    "<carl@far.example>: user unknown",
    "carl@far.example... User unknown",
    '"carl smith"@far.example is unknown',
    "rcpt=carl@far.example, bob@shop.example",
    "carl@[192.0.2.1] refused",
    "carl%40far.example",
    "SRS0=ab=cd=far.example=carl@bakery.test",
    "to=<carl@far.example>,relay",
    "CARL@FAR.EXAMPLE.",
    "carl+tag@far.example!",
    "delivery to /home/carl/mail/far.example/carl failed",
]


@pytest.mark.parametrize("text", HIDDEN_FORMS)
def test_other_addresses_in_a_reply_are_hidden(text: str) -> None:
    row = make_row(account="anna@bakery.example", sender="anna@bakery.example", response=f"550 {text}")
    shown = visible_row(ANNA, row).response
    assert "carl" not in shown.lower()
    assert shown.startswith("550 ")


def test_own_addresses_and_other_words_stay() -> None:
    row = make_row(
        account="anna@bakery.example",
        sender="anna@bakery.example",
        recipient="Bob@Shop.example",
        response="550 5.1.1 <bob@shop.example>: Rejected; from anna@bakery.example, not eve@x.example",
    )
    assert visible_row(ANNA, row).response == (
        "550 5.1.1 <bob@shop.example>: Rejected; from anna@bakery.example, not " + HIDDEN
    )
    assert "boss@bakery.example" in visible_row(BAKERY, row._replace(response="no boss@bakery.example")).response


@pytest.mark.parametrize(
    "hostile", ["a" * 65_536, '"' * 65_536, "a@" * 32_768, "%40" * 20_000, '"a' * 30_000, "a " * 30_000]
)
def test_a_hostile_reply_costs_its_length_once(hostile: str) -> None:
    def cost(text: str) -> float:
        row = make_row(account="anna@bakery.example", response=text)
        return least_cpu_seconds(lambda: visible_row(ANNA, row))

    assert cost(hostile) < 30 * cost(hostile[: len(hostile) // 8]) + 0.01


@settings(max_examples=300, deadline=None)
@given(before=st.text(max_size=40), after=st.text(max_size=40))
def test_no_surrounding_shows_an_address(before: str, after: str) -> None:
    row = make_row(account="anna@bakery.example", response=f"{before} <carlos77@far.example> {after}")
    assert "carlos77@far" not in visible_row(ANNA, row).response


def test_our_own_server_is_not_named_as_the_remote_one() -> None:
    attempts = (Attempt(1, "deferred", 452, "452 full", "web1", ""), Attempt(2, "delivered", 250, "", "mx.far", ""))
    row = make_row(account="anna@bakery.example", server="web1", remote_host="web1", attempts=attempts)
    shown = visible_row(ANNA, row)
    assert "web1" not in repr(shown)
    assert shown.attempts[1].remote_host == "mx.far"
