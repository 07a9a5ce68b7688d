"""nullmailer: its messages → steps of its tries. Pure; the head of the line is read by `syslog`.

nullmailer-send tries one message after the other, and only the first line of a try names the message. So each line is
a step of that process, and `joining/tries.py` ties the steps to messages. The far server's answer is written by a child
process. It may have several lines, which are the far server's own from the second on: any line of the log may be one.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import (
    ADDRESSED,
    CONTINUED,
    MOVED,
    NAMED,
    REPLIED,
    STARTED,
    TRIED,
    Ignored,
    Parsed,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.queue_ids import PROCESS_PREFIX
from postwatch.streams.parsers.syslog import Header, process_before
from postwatch.streams.parsers.timestamps import StampReader

_PROCESS = f"{PROCESS_PREFIX}nullmailer"
"""A server has one queue, and one process that sends from it; a child of it writes the answers."""
_STARTED = compiled(r"Starting delivery: host: (\S++) protocol: \S++ file: (\d{10}\.\d{1,10})$")
_BEGINS = "Starting delivery: "
_ADDRESSED = compiled(r"From: <([^<>]*+)> to: (<[^<>]*+>(?:, <[^<>]*+>)*+)$")
_FROM = "From: <"
_NAMED = "message-id:"
_REPLIED = compiled(r"[\w-]++: (?:(Succeeded)|Failed):(?: (.*))?$")
_FAILED = "Sending failed: "
_PERMANENT = frozenset(
    (
        "Fatal error in gethostbyname",
        "Server refused the message",
        "Permanent error in sending the message",
        "Unspecified permanent error",
    )
)
_BROKEN_OFF = (
    "Sending timed out, killing protocol",
    "Sending process crashed or was killed.",
    "Error waiting for the child signal: ",
    "Error catching the child process return value: ",
)
_MOVED = compiled(r"Moving message (\d{10}\.\d{1,10}) into failed$")
_NOTES = compiled(
    r"Rescanning queue\.$|Trigger pulled\.$|Starting delivery, \d++ message\(s\) in queue\.$"
    r"|Delivery complete, \d++ message\(s\) remain\.$|Generating bounce for [\d.]++$"
    r"|Not generating double bounce for [\d.]++$|Warning: On Debian systems, "
)

_NOTE = Ignored("note")


def parse_message(process: str, words: str, at: int, line: str) -> Parsed:
    """What a process of nullmailer says → what it means. Never raises."""
    if _NOTES.match(words):
        return _NOTE
    if words.startswith(_BEGINS):
        return _begin(process, words, at, line)
    if words.startswith(_FROM):
        return _address(process, words, at, line)
    if words[: len(_NAMED)].lower() == _NAMED:
        message_id = words[len(_NAMED) :].strip().removeprefix("<").removesuffix(">")
        return Step(_PROCESS, at, line, NAMED, words, process, message_id=message_id)
    replied = _REPLIED.match(words)
    if replied is not None:
        status = DELIVERED if replied[1] else ""
        return Step(_PROCESS, at, line, REPLIED, words, process, status=status, answer=replied[2] or "")
    moved = _MOVED.match(words)
    if moved is not None:
        return Step(_PROCESS, at, line, MOVED, words, process, file=moved[1])
    status = _find_status(words)
    return Step(_PROCESS, at, line, TRIED if status else CONTINUED, words, process, status=status)


def _begin(process: str, words: str, at: int, line: str) -> Parsed:
    started = _STARTED.match(words)
    if started is None:
        return Unreadable("a delivery whose fields make no sense; nullmailer before version 2 names no recipients")
    return Step(_PROCESS, at, line, STARTED, words, process, file=started[2], remote_host=started[1])


def _address(process: str, words: str, at: int, line: str) -> Parsed:
    addressed = _ADDRESSED.match(words)
    if addressed is None:
        return Unreadable("addresses that hold brackets")
    recipients = tuple(dict.fromkeys(addressed[2][1:-1].lower().split(">, <")))
    return Step(_PROCESS, at, line, ADDRESSED, words, process, sender=addressed[1], recipients=recipients)


def _find_status(words: str) -> str:
    if words == "Sent file.":
        return DELIVERED
    if words.startswith(_FAILED):
        return BOUNCED if words.removeprefix(_FAILED) in _PERMANENT else DEFERRED
    return DEFERRED if words.startswith(_BROKEN_OFF) else ""


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """A line of nullmailer-send or of a process that it started."""
    process = process_before(header.text, header.start)
    return parse_message(process, header.text[header.start :], header.at, line)


FORMAT: LogFormat = LogFormat("nullmailer", programs=("nullmailer", "nullmailer-send"), read_message=read_message)
