"""Entries that Exim's syslog cut in pieces are read as the whole entry, whatever stands between the pieces."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.failures import Failure
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.stored_message import decode_stored, encode_stored
from postwatch.streams.parsers.events import LAST_PIECE, PIECE, Arrival, Unreadable
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines

from tests.streams.joining.test_golden import parser_of_all, rows_of

ID = "1xVPu4-00000A-00"
RECIPIENTS = [f"reader{number}.of.the.letter@far{number}.example" for number in range(40)]
ARRIVAL = (
    f"2026-11-23 09:00:00 {ID} <= anna@bakery.example U=bakery P=local S=70 "
    f'T="[2/3] for boss@victim.example" for {" ".join(RECIPIENTS)}'
)
FAILURE = (
    f"2026-11-23 09:00:01 {ID} ** {RECIPIENTS[0]} R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.7]: SMTP error "
    f"from remote mail server after RCPT TO:<{RECIPIENTS[0]}>: 550 5.7.1 {'refused by the policy ' * 40}"
    "=> boss@victim.example"
)
REFUSAL = (
    "2026-11-23 09:00:02 1xVPu6-00000B-01 H=mail.spam.example [192.0.2.66]:4021 F=<win@spam.example> rejected after "
    f"DATA: scored {'BAD_WORDS=1.1, ' * 70}no thanks\nEnvelope-from: <win@spam.example>\n"
    "Envelope-to: <bert@bakery.example>\nP Received: from mail.spam.example\n\tby mx2\n"
    f"F From: {'x' * 900}\n  Subject: [1/1] 2026-11-23 09:00:03 {ID} => boss@victim.example R=a T=b"
)


def cut(entry: str, process: int, *, piece_bytes: int = 870, stamp: str = "Nov 23 09:00:02") -> list[str]:
    """As Exim cuts it: behind so many bytes, and at newlines."""
    pieces: list[tuple[bytes, str]] = []
    for line in entry.encode().split(b"\n"):
        cuts = [line[start : start + piece_bytes] for start in range(0, len(line), piece_bytes)]
        pieces += [(piece, "/") for piece in cuts[:-1]] + [(piece, "\\") for piece in cuts[-1:]]
    marks = [mark for _, mark in pieces[:-1]] + ["/"]
    head = f"{stamp} mx2 exim[{process}]: "
    if len(pieces) == 1:
        return [head + entry]
    return [
        decode_lines(f"{head}[{number}{mark}{len(pieces)}] ".encode() + piece)[0]
        for number, (mark, (piece, _)) in enumerate(zip(marks, pieces, strict=True), 1)
    ]


def failures_of(lines: Sequence[str]) -> list[Failure]:
    joiner = Joiner(AccountBook(None))
    joiner.add("mx2", parse_lines(parser_of_all(), lines, LineCounts()).events)
    return joiner.take_failures()


def whole(entry: str) -> list[str]:
    """The entry as it would stand in Exim's own file."""
    return [f"Nov 23 09:00:02 mx2 exim[1]: {entry.partition(chr(10))[0].replace(' ', ' ', 1)}"]


def without_lines(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in ("log_lines", "version")} for row in rows]


@pytest.mark.parametrize("entries", [[ARRIVAL], [ARRIVAL, FAILURE], [REFUSAL]], ids=["arrival", "failure", "refusal"])
@settings(deadline=None, max_examples=40)
@given(piece_bytes=st.sampled_from([870, 40, 97, 500, 868]), data=st.data())
def test_an_entry_in_pieces_is_the_entry(entries: list[str], piece_bytes: int, data: st.DataObject) -> None:
    expected = rows_of([[line for entry in entries for line in whole(entry)]])
    assert expected
    lines = [line for entry in entries for line in cut(entry, 700, piece_bytes=piece_bytes)]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(lines) - 1))))
    blocks = [lines[start:end] for start, end in pairwise([0, *cuts, len(lines)])]
    assert without_lines(rows_of(blocks)) == without_lines(expected)
    assert failures_of(lines) == []


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_processes_may_write_between_the_pieces_of_each_other(seed: int) -> None:
    chooser = random.Random(seed)
    queues = [
        cut(ARRIVAL, 700) + cut(FAILURE, 700),
        cut(REFUSAL, 701) + cut(REFUSAL.replace("-00000B-", "-00000C-"), 701),
        [f"Nov 23 09:00:02 mx2 dovecot: imap-login: Login: user=<a{n}@bakery.example>, method=PLAIN" for n in range(9)],
        [f"Nov 23 09:00:02 mx2 exim[703]: [{number}/2] no message at all" for number in (1, 2)],
    ]
    expected = rows_of(queues)
    lines: list[str] = []
    while any(queues):
        lines.append(chooser.choice([queue for queue in queues if queue]).pop(0))
    assert rows_of([lines]) == expected
    assert failures_of(lines) == []


@pytest.mark.parametrize("entry", [ARRIVAL, FAILURE, REFUSAL], ids=["arrival", "failure", "refusal"])
def test_of_an_entry_that_lacks_a_piece_nothing_is_made_and_its_pieces_are_dead_letters(entry: str) -> None:
    lines = cut(entry, 700)
    ends = next(
        number for number, line in enumerate(lines) if line.split("[", 2)[2][1] == "\\" or number == len(lines) - 1
    )
    for missing in range(ends + 1):
        left = lines[:missing] + lines[missing + 1 :]
        later = cut(ARRIVAL.replace("00000A", "00000Z"), 700, stamp="Nov 23 09:30:00")
        assert {row["queue_id"] for row in rows_of([[*left, *later]])} == {ID.replace("00000A", "00000Z")}
        told = failures_of([*left, *later])
        assert {failure.reason for failure in told} == {"an entry of which a piece is missing"}
        assert [line for failure in told for line in failure.lines][: max(missing, 1)] == left[: max(missing, 1)]


def test_two_entries_with_the_same_end_are_two() -> None:
    one = cut(FAILURE, 700)
    other = [one[0].replace("** reader0.", "** reader9.", 1), *one[1:]]
    rows = rows_of([[*cut(ARRIVAL, 699), *one, *other]])
    assert {row["recipient"] for row in rows if row["status"] == "bounced"} == {
        RECIPIENTS[0],
        RECIPIENTS[0].replace("reader0.", "reader9."),
    }


def test_a_piece_that_is_read_again_does_not_continue_a_later_entry() -> None:
    """What was parked is ahead of the records that come again after a crash: the end of one entry, then another."""
    first, second = cut(FAILURE, 700), cut(FAILURE.replace("reader0.", "reader9.").replace("policy", "rules"), 700)
    parser = parser_of_all()
    events = parse_lines(parser, [*first, *second], LineCounts()).events
    joiner = Joiner(AccountBook(None))
    joiner.add("mx2", events[:1], 0)
    joiner.add("mx2", events[1:3], 1)
    joiner.take_dirty()
    (process,) = (message for message in joiner.open_messages() if message.queue_id == "x:exim[700]")
    parked = encode_stored(process)
    again = Joiner(
        AccountBook(None), lambda _, queue_id: decode_stored(parked).message if queue_id[:2] == "x:" else None
    )
    again.add("mx2", events[1:3], 1)
    again.add("mx2", events[3:], 2)
    assert again.take_failures() == []
    rows = again.take_dirty()[0]
    assert {row.recipient: row.response[-60:] for row in rows} == {
        RECIPIENTS[0]: FAILURE[-60:],
        RECIPIENTS[9].replace("far9", "far0"): FAILURE.replace("policy", "rules")[-60:],
    }


def test_a_process_that_goes_on_much_later_is_another_one() -> None:
    lines = cut(ARRIVAL, 700)
    late = cut(ARRIVAL, 700, stamp="Nov 23 11:00:00")
    assert rows_of([[lines[0], *late[1:]]]) == []
    assert len(failures_of([lines[0], *late[1:]])) == len(late) - 1


def test_what_journald_takes_from_the_end_of_a_piece_is_put_back() -> None:
    entry = FAILURE[:869] + " " + FAILURE[869:].replace(" ", "", 1)
    lines = cut(entry, 700)
    assert lines[0].endswith(" ")
    assert rows_of([[lines[0].rstrip(), *lines[1:]]])[0]["response"] == rows_of([lines])[0]["response"]


def test_a_character_that_was_cut_is_whole_again() -> None:
    entry = ARRIVAL.replace('T="', 'T="' + "ä" * 600)
    assert rows_of([cut(entry, 700)])[0]["subject"] == "ä" * 600 + "[2/3] for boss@victim.example"


def test_the_stamp_of_the_entry_counts_in_the_zone_of_the_log() -> None:
    for entry in (ARRIVAL, ARRIVAL.replace("09:00:00", "09:00:00.250 +0000"), ARRIVAL.partition("00 ")[2]):
        rows = rows_of([cut(entry, 700, stamp="Nov 23 09:00:00")])
        assert {row["queued_at"] for row in rows} == {"2026-11-23T09:00:00.000Z"}


@pytest.mark.parametrize("count", ["[0/3]", "[4/3]", "[1/0]"])
def test_a_count_that_makes_no_sense_is_a_dead_letter(count: str) -> None:
    parsed = parser_of_all().parse(f"Nov 23 09:00:02 mx2 exim[700]: {count} 2026-11-23 09:00:00 {ID} Completed")
    assert parsed == Unreadable("a piece of an entry that counts itself wrong")


def test_a_line_of_too_many_pieces_is_given_up() -> None:
    lines = [f"Nov 23 09:00:02 mx2 exim[700]: [{number}/9999] x" for number in range(1, 9999)]
    lines[0] = lines[0].replace(" x", f" 2026-11-23 09:00:00 {ID} => x")
    joiner = Joiner(AccountBook(None))
    joiner.add("mx2", parse_lines(parser_of_all(), lines, LineCounts()).events)
    assert sum(len(failure.lines) for failure in joiner.take_failures()) == 9998
    assert all(len(message.parts or {}) <= 400 for message in joiner.open_messages())


def test_each_piece_is_an_event_of_its_process() -> None:
    first, last = (parser_of_all().parse(line) for line in (cut(FAILURE, 7)[0], cut(FAILURE, 7)[-1]))
    assert isinstance(first, Arrival)
    assert isinstance(last, Arrival)
    assert (first.queue_id, first.part, first.size_bytes) == ("x:exim[7]", PIECE, 1)
    assert (last.queue_id, last.part) == ("x:exim[7]", LAST_PIECE)
