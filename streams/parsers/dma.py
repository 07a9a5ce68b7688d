"""DragonFly Mail Agent (dma): its messages → events. Pure; the head of the line is read by `syslog`.

dma makes one queue file with an id of its own for each recipient: `c800f.55907ef8cf60`. The part before the dot is the
id of the submission. Another submission may have it within the same second, so the whole id is the key, and the
submission is read as a session. A line about a failure names no recipient, and one about a success no far server.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import (
    CLIENT,
    QUEUE,
    UNNAMED_SERVER,
    Arrival,
    Attempt,
    Ignored,
    LifecycleEvent,
    Parsed,
    Unreadable,
)
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.queue_ids import SESSION_PREFIX
from postwatch.streams.parsers.smtp import reply_codes
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

_SUBMISSION = compiled(r"new mail from user=(\S++) uid=\d++ envelope_from=<(.*)>$")
_QUEUED = compiled(r"mail to=<(.*)> queued as ([0-9a-f]++\.[0-9a-f]++)$")
_TRYING = compiled(r"(?:<.*> )?trying delivery$")
_DELIVERED = compiled(r"(?:<(.*)> )?delivery successful$")
_GIVEN_UP = compiled(r"delivery failed, bouncing as [0-9a-f]++$|can not bounce a bounce message, discarding$")
_FAILED = compiled(
    r"(?:remote|local) delivery (?:to (?P<host>\S++) \[(?P<ip>[0-9A-Fa-f.:]++)\] )?(?P<word>failed|deferred)"
    r"(?:: (?P<late_host>\S++) \[(?P<late_ip>[0-9A-Fa-f.:]++)\] failed)?(?: after [A-Z a-z]++)?(?:: (?P<words>.*))?$"
)
"""Far server, its address, what came of it, the words."""
_NO_CONNECTION = compiled(r"(?:connect to|socket for) (\S++) \[([0-9A-Fa-f.:]++)\] failed: .*$")
_PROCESS = compiled(r"\[([0-9a-f]++(?:\.[0-9a-f]++)?)\]: ")
_LINE_END = "#012"
"""How syslog writes the end of a line within an answer."""
_LOCAL = "local"

_NOTE = Ignored("note")


def parse_message(queue_id: str, words: str, at: int, line: str) -> Parsed:
    """What dma says of a submission or of a queue file, by its id → what it means. Never raises."""
    base, dot, _ = queue_id.partition(".")
    session = SESSION_PREFIX + base
    if not dot:
        return _submission(session, base, words, at, line)
    if _TRYING.match(words):
        return LifecycleEvent(session, at, line, closes=True)  # all its recipients are queued by now
    delivered = _DELIVERED.match(words)
    if delivered is not None:
        attempt = _attempt(queue_id, at, line, DELIVERED, delivered[1] or "")
        return [attempt, LifecycleEvent(queue_id, at, line, closes=True)]
    if _GIVEN_UP.match(words):  # where no server refused it, it was tried for too long
        return LifecycleEvent(queue_id, at, line, EXPIRED, closes=True)
    failed = _FAILED.match(words)
    if failed is not None:
        status = BOUNCED if failed["word"] == "failed" else DEFERRED
        host, ip = failed["host"] or failed["late_host"] or "", failed["ip"] or failed["late_ip"] or ""
        return _attempt(queue_id, at, line, status, "", host, ip, failed["words"] or words)
    refused = _NO_CONNECTION.match(words)
    if refused is not None:
        return _attempt(queue_id, at, line, DEFERRED, "", refused[1], refused[2], words)
    return _NOTE


def _submission(session: str, base: str, words: str, at: int, line: str) -> Parsed:
    opened = _SUBMISSION.match(words)
    if opened is not None:
        return Arrival(session, at, line, sender=opened[2], system_user=opened[1], part=CLIENT)
    queued = _QUEUED.match(words)
    if queued is not None:
        recipient, queue_id = queued.groups()
        if not queue_id.startswith(f"{base}."):
            return Unreadable("a recipient queued under another submission's id")
        return Arrival(
            queue_id,
            at,
            line,
            recipients=(recipient.lower(),),
            part=QUEUE,
            session_id=session,
        )
    if words.startswith(("new mail from ", "mail to=")):
        return Unreadable("a submission whose fields make no sense")
    return _NOTE


def _attempt(
    queue_id: str, at: int, line: str, status: str, recipient: str, host: str = "", ip: str = "", words: str = ""
) -> Attempt:
    """An address without a domain is a mailbox of the server; dma takes its own name off."""
    code, enhanced = reply_codes(words)
    is_local = "@" not in recipient if recipient else words.startswith("local ")
    return Attempt(
        queue_id,
        at,
        line,
        status,
        recipient=recipient.lower(),
        smtp_code=code,
        enhanced_code=enhanced,
        response=words.replace(_LINE_END, "\\n"),
        remote_host="" if host == ip else host,
        remote_ip=ip,
        transport=_LOCAL if is_local else UNNAMED_SERVER,
    )


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """A line of dma, whose process number in the head is the id."""
    found = _PROCESS.match(header.text, header.start)
    if found is None:
        return _NOTE
    return parse_message(found[1], header.text[found.end() :], header.at, line)


FORMAT: LogFormat = LogFormat("dma", programs=("dma",), read_message=read_message)
