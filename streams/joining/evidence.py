"""The log lines that a row is made of, in their order: the arrival, the attempts, the filter's lines, the end."""

from __future__ import annotations

from collections.abc import Sequence

from postwatch.streams.joining.message import Message, arrival_lines, envelope_key, has_usual_parts
from postwatch.streams.joining.status import terminal_event_of
from postwatch.streams.parsers.events import Arrival, Attempt


def _envelope_lines(parts: dict[str, Arrival], recipient: str, attempts: list[Attempt]) -> list[str]:
    """The line that tells of this recipient as submitted, where the log has one for each."""
    original = attempts[-1].original_recipient if attempts else ""
    found = parts.get(envelope_key(recipient)) or (parts.get(envelope_key(original)) if original else None)
    return [found.line] if found is not None else []


def _lines_of(attempts: Sequence[Attempt]) -> list[str]:
    """Their lines, and those of the filter that told what became of the recipient."""
    return [*[one.line for one in attempts], *[one.told_by for one in attempts if one.told_by]]


def evidence_of(message: Message, recipient: str, attempts: list[Attempt]) -> tuple[str, ...]:
    """Of one recipient: `attempts` are his."""
    parts = message.parts
    if (
        parts is not None
        and len(attempts) == 1
        and message.terminal_event is None
        and message.identity is None
        and message.cancelled_recipients is None
        and message.lineage is None
    ):  # as nearly always, and quicker
        last = attempts[0]
        if not last.told_by and has_usual_parts(parts):
            return (*[part.line for part in parts.values()], last.line)
    lines = arrival_lines(message)
    if parts is not None and len(parts) > len(lines) - (message.identity is not None):
        lines += [line for line in _envelope_lines(parts, recipient, attempts) if line not in lines]
    if message.lineage is not None:
        lines = [*message.lineage.lines, *_lines_of(message.handed_over(recipient) or ()), *lines]
    lines += _lines_of(attempts)
    ending = terminal_event_of(message, recipient, attempts[-1] if attempts else None)
    if ending is not None:
        lines.append(ending.line)
    return tuple(lines)
