"""What a far server's answer says, whichever MTA logged it."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.smtp import next_queue_id, reply_codes


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        ("250 2.0.0 Ok", (250, "2.0.0")),
        ("550-5.1.1 The account does not exist", (550, "5.1.1")),
        ("421", (421, "")),
        ("550 5.1.1", (550, "5.1.1")),
        ("550 5.1.1\\n550 5.1.1 no such user", (550, "5.1.1")),
        ("550 5.1.1.1 a version, no code", (550, "")),
        ("2500 Ok", (0, "")),
        ("650 no such code", (0, "")),
        ("Connection timed out after 250 seconds", (0, "")),
        ("", (0, "")),
    ],
)
def test_an_answer_begins_with_its_codes(answer: str, codes: tuple[int, str]) -> None:
    assert reply_codes(answer) == codes


@pytest.mark.parametrize(
    ("answer", "queue_id"),
    [
        ("250 2.0.0 Ok: queued as 4bXyz0", "4bXyz0"),
        ("250 OK id=1vwyDG-0003aB-1X", "1vwyDG-0003aB-1X"),
        ("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 3C00BB11 queued as 7F00AA", "7F00AA"),
        ("250 queued as (x)", ""),
        ("250 2.0.0 Ok", ""),
        ("x" * 1000 + " queued as 7F00AA", ""),
    ],
)
def test_the_next_hop_may_name_its_queue_id(answer: str, queue_id: str) -> None:
    assert next_queue_id(answer) == queue_id
