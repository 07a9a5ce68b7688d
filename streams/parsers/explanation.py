"""How a line was read, in words: `postwatch read --explain`. Pure.

What strangers wrote is shown with its control characters escaped, so that it has no effect on a terminal.
"""

from __future__ import annotations

from postwatch.streams.parsers.events import (
    CONTINUED,
    WHOLE,
    Arrival,
    Attempt,
    Event,
    Ignored,
    Parsed,
    Refusal,
    Step,
    Unreadable,
)


def explain(parsed: Parsed) -> str:
    """One line of words: the kind, the queue id, and the facts that were taken from it."""
    if isinstance(parsed, Ignored):
        lost = f"  lines lost={parsed.suppressed_lines}" if parsed.suppressed_lines else ""
        return f"ignored      {parsed.kind}{lost}"
    if isinstance(parsed, Unreadable):
        return f"UNREADABLE   {parsed.reason}"
    if isinstance(parsed, list):
        return "; ".join(map(_explain_event, parsed))
    return _explain_event(parsed)


def _explain_event(event: Event) -> str:
    if isinstance(event, Arrival):
        kind = "arrival" if event.part == WHOLE else f"arrival ({event.part})"
        facts = {
            "from": event.sender,
            "for": " ".join(event.recipients),
            "client": event.client_ip,
            "login": event.authenticated_as,
            "system user": event.system_user,
            "message id": event.message_id,
            "subject": event.subject,
            "parent": event.parent_queue_id,
            "earlier id": event.earlier_queue_id,
        }
    elif isinstance(event, Attempt):
        kind = event.status if event.is_attempt else f"{event.status} (not tried)"
        facts = {
            "to": event.recipient,
            "as submitted": event.original_recipient,
            "by": " ".join(filter(None, (event.remote_host, event.remote_ip))) or event.transport,
            "next id": event.next_queue_id,
            "answer": event.response,
        }
    elif isinstance(event, Refusal):
        kind = event.status
        facts = {
            "from": event.sender,
            "to": event.recipient,
            "client": event.client_ip,
            "login": event.authenticated_as,
            "answer": event.response,
        }
    elif isinstance(event, Step):
        kind = event.kind
        facts = {
            "file": event.file,
            "from": event.sender,
            "for": " ".join(event.recipients),
            "by": event.remote_host,
            "message id": event.message_id,
            "status": event.status,
            "answer": event.answer,
            "words": event.words if event.kind == CONTINUED else "",
        }
    else:
        kind = event.status or "completed"
        facts = {"to": event.recipient}
    words = "".join(f"  {name}={_shown(value)}" for name, value in facts.items() if value)
    return f"{kind:<12} {event.queue_id}{words}"


def _shown(text: str) -> str:
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text[:200])
    return f'"{shown}"' if " " in shown else shown


def shown_line(line: str) -> str:
    """A log line as it may be put on a terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
