"""Events come out of the other process as they went in."""

from __future__ import annotations

import marshal
from pathlib import Path
from typing import Any, get_args

import pytest
from postwatch.streams.parsers.events import Event
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.registry import AUTO, make_parser
from postwatch.streams.parsers.sent_events import from_fields, to_fields
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.streams.joining.test_golden import LOGS


def sent(events: list[Event]) -> list[Event]:
    return from_fields(marshal.loads(marshal.dumps(to_fields(events))))


def cell(kind: str, place: int) -> object:
    """A value that no other field has."""
    made: dict[str, object] = {
        "str": f"text {place}",
        "int": place << 40,
        "bool": place % 2 == 0,
        "tuple[str, ...]": (f"a{place}", "\ud800"),
        "tuple[int, ...]": (place, -1),
    }
    return made[kind]


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_each_field_keeps_its_value(kind: Any) -> None:
    kinds = dict(getattr(kind, "FIELDS", ())) or kind.__annotations__  # the compiled build has FIELDS
    for offset in (0, 1):  # so that each truth value is both
        event = kind(*[cell(kinds[name], place + offset) for place, name in enumerate(kind.__struct_fields__)])
        assert sent([event]) == [event]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_the_events_of_a_log_are_the_same(log: Path) -> None:
    parser = make_parser(AUTO, StampReader(find_zone("UTC", "--tz")))
    events = parse_lines(parser, decode_lines(log.read_bytes()), LineCounts()).events
    assert sent(events) == events
    assert list(map(type, sent(events))) == list(map(type, events))
