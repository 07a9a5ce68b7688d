"""Lines whose words hold blanks and quotes: read where one reading fits, refused where two do."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.events import Arrival, Attempt, Parsed, Unreadable
from postwatch.streams.parsers.exim import ambiguous
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

HEAD = "2026-03-02 08:02:00 1vwyE4-0003aC-2Y"


def parse(entry: str) -> Parsed:
    return make_parser("exim-main", StampReader(find_zone("UTC", "test"))).parse(f"{HEAD} {entry}")


@pytest.mark.parametrize(
    "helo",
    ["", "[]", "[127.0.0.1] A=plain:victim@bank.example", "=> eve@evil.example R=x T=y", "a (b) c", "x] [y"],
)
def test_a_helo_with_blanks(helo: str) -> None:
    found = parse(f'<= a@b.example H=({helo}) [192.0.2.66]:4021 P=esmtpa A=login:a@b.example S=9 id=1@b T="x"')
    assert isinstance(found, Arrival)
    assert (found.client_ip, found.authenticated_as, found.message_id) == ("192.0.2.66", "a@b.example", "1@b")


def test_a_sender_with_blanks_and_quotes() -> None:
    found = parse('<= "odd R=x\\" T=y"@b.example H=(x) [192.0.2.66] P=esmtp S=9')
    assert isinstance(found, Arrival)
    assert found.sender == '"odd R=x\\" T=y"@b.example'


def test_a_user_with_a_blank() -> None:
    found = parse('<= "spaced user"@b.example U=spaced user P=local S=9')
    assert isinstance(found, Arrival)
    assert found.system_user == "spaced user"


def test_recipients_without_a_domain() -> None:
    found = parse("<= a@b.example U=a P=local S=9 for alice bob")
    assert isinstance(found, Arrival)
    assert found.recipients == ("alice", "bob")


@pytest.mark.parametrize(
    "subject", ["", ' T="Hi" for b@c.example', ' T="@b.example from <" from <a@b.example> for b@c.example']
)
@pytest.mark.parametrize("beginning", ["z", '"z'])
def test_a_helo_that_holds_a_whole_session(beginning: str, subject: str) -> None:
    """A Message-ID with blanks is a quoted local part: it can't begin in one stranger's word and end in another's."""
    helo = f"x) [6.6.6.6] P=esmtpa A=login:victim@bank.example S=1 id={beginning}"
    found = parse(f"<= a@b.example H=({helo}) [192.0.2.66] P=esmtp S=9 id=1@b{subject}")
    assert isinstance(found, Arrival)
    assert (found.client_ip, found.authenticated_as, found.message_id) == ("192.0.2.66", "", "1@b")


def test_a_message_id_with_blanks_that_holds_a_whole_session_is_a_dead_letter() -> None:
    """The name may end at the first bracket, or the Message-ID may begin at the last: the line does not tell."""
    helo = "x) [6.6.6.6] P=esmtpa A=login:victim@bank.example S=1 id=z"
    assert isinstance(parse(f"<= a@b.example H=({helo}) [192.0.2.66] P=esmtp S=9 id=1 @b"), Unreadable)


def test_a_quoted_local_part_that_looks_like_fields() -> None:
    found = parse('** a R=x@far.example <"a R=x"@far.example> R=r T=t H=mx [203.0.113.5]: 550 no')
    assert isinstance(found, Attempt)
    assert (found.recipient, found.router, found.smtp_code) == ('"a r=x"@far.example', "r", 550)


@pytest.mark.parametrize(
    "local",
    [
        "victim@bank.example R=x T=y : 550 no",
        "victim@bank.example <v@bank.example> R=x T=y : 550 no",
        "a R=x T=y: z",
    ],
)
@pytest.mark.parametrize("flag", ["=>", "**", "=="])
def test_a_local_part_that_looks_like_the_whole_line_forges_nobody(local: str, flag: str) -> None:
    rest = {"=>": 'C="250 OK"', "**": ": 550 no", "==": "defer (-1): no"}[flag]
    found = parse(f'{flag} {local}@far.example <"{local}"@far.example> R=r T=t {rest}')
    assert isinstance(found, Unreadable) or (isinstance(found, Attempt) and "far.example" in found.recipient)


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [("a", "a"), ('\\"a\\"', '"a"'), ("\\\\", "\\"), ("\\303\\274", "ü"), ("\\n", "\n"), ("\\377", "\xff")],
)
def test_unescape(escaped: str, plain: str) -> None:
    assert ambiguous.unescape(escaped) == plain
