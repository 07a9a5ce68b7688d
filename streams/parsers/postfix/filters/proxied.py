"""Postfix's lines about a filter before the queue: whose message it let pass, refused or threw away.

They are read to the last byte, because strangers' words stand in them. A line that can be read in two ways is not
guessed.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import BOUNCED, DISCARDED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import ANSWERED, LOGIN, Arrival, Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.postfix.grammar import PASSAGE, REJECTED_PASSAGE, TAIL_START, VERDICT, WHOLE_ID
from postwatch.streams.parsers.queue_ids import (
    LOGIN_PREFIX,
    PASSAGE_PREFIX,
    amavis_passage,
    answers_of,
    clamsmtp_passage,
    refusal_id,
)
from postwatch.streams.parsers.smtp import ADDRESS, ENHANCED, next_queue_id, reply_codes
from postwatch.streams.parsers.syslog import process_before

PROXY = compiled(r"(?:NOQUEUE: )?+proxy-(accept|reject): [A-Z-]++: ")
"""Without the client, which the line `NOQUEUE: client=` of the same process names."""
_PROXIED = compiled(rf"; from=<{ADDRESS}>(?: to=<{ADDRESS}>)?+ proto=\w++(?: helo=<|$)")
"""Sender and recipient. The HELO name may hold anything, the words of a login too."""
_LOGIN = compiled(r"> sasl_username=<([^<>]*+)>$")
_LONGEST_LOGIN = 1000
_OWN_ID = compiled(r"[245]\d\d (?:\d\.\d\.\d )?+(?:Ok, discarded|Ok|Reject|Bounce), id=(\d++(?:-\d++)++)")
"""amavisd-new's own id in its answer."""
_CLAMSMTP = compiled(r"(?:250 Virus Detected; Discarded Email|550 Virus Detected; Content Rejected)$")
_NOTE = Ignored("note")


def read_proxied(text: str, start: int, at: int, line: str, process: str = "") -> Parsed:
    """What a filter before the queue answered: whose message it queued, or whose it refused or threw away."""
    opening = PROXY.match(text, start)
    if opening is None:
        return _NOTE
    is_closed = text.endswith(">")
    tails = [
        tail
        for place in TAIL_START.finditer(text, opening.end())
        if (tail := _PROXIED.match(text, place.start())) and (is_closed or tail.end() == len(text))
    ]
    if len(tails) != 1:
        return Unreadable("a filter's answer that can be read in two ways") if tails else _NOTE
    tail = tails[0]
    sender, recipient = tail.groups("")
    place = tail.start()
    process = process or process_before(text, start)
    told = _LOGIN.search(text, max(tail.end() - 1, len(text) - _LONGEST_LOGIN)) if process else None
    login = told[1] if told is not None else ""
    session = LOGIN_PREFIX + process if process else ""
    answer = text[opening.end() : place]
    verdict = VERDICT.match(answer)
    if opening[1] == "accept" and verdict is None:
        passage = PASSAGE.match(answer)
        if passage is not None:
            return _answered(passage[1], at, line, sender, (), login, session)
        queue_id = next_queue_id(answer)
        return _queued(queue_id, at, line, login, session if login else "") if WHOLE_ID.match(queue_id) else _NOTE
    enhanced, (code, _) = ENHANCED.match(answer), reply_codes(answer)
    refusal = Refusal(
        refusal_id(line),
        at,
        line,
        sender=sender,
        recipient=recipient.lower(),
        authenticated_as=login,
        smtp_code=code,
        enhanced_code=enhanced[1] if enhanced else "",
        response=answer,
        status=REJECTED if verdict is None else BOUNCED if verdict["bounce"] else DISCARDED,
        session_id=session,
        passage_id=_passage_of(answer, sender, recipient),
        answers_id=answers_of("", process) if verdict is None else "",
    )
    passage = REJECTED_PASSAGE.match(answer)
    if passage is None:
        return refusal
    return [refusal, _answered(passage[1], at, line, sender, (refusal.recipient,), login, session)]


def _passage_of(answer: str, sender: str, recipient: str) -> str:
    """Where the filter's own lines name the other recipients; Postfix names the first one."""
    own_id = _OWN_ID.match(answer)
    if own_id is not None:
        return amavis_passage(own_id[1])
    return clamsmtp_passage(sender, recipient) if _CLAMSMTP.match(answer) else ""


def _answered(
    passage: str, at: int, line: str, sender: str, refused: tuple[str, ...], login: str, session: str
) -> Arrival:
    """The filter's own lines tell what it did, for each recipient; this line tells from whom the message was."""
    return Arrival(
        PASSAGE_PREFIX + passage,
        at,
        line,
        sender=sender,
        recipients=refused,
        authenticated_as=login,
        part=ANSWERED,
        session_id=session,
    )


def _queued(queue_id: str, at: int, line: str, login: str, client: str) -> Arrival:
    return Arrival(queue_id, at, line, authenticated_as=login, part=LOGIN, session_id=client)
