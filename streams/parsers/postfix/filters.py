"""Filters on the same server: Postfix's lines about a filter before the queue, amavisd-new's about itself behind it.

Both lines name the queue id that the message has after the filter. They are read to the last byte, because strangers'
words stand in them. A line that can be read in two ways links nothing.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, DISCARDED, REJECTED
from postwatch.streams.parsers.events import LINK, LOGIN, Arrival, Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.postfix.grammar import TAIL_START, VERDICT, WHOLE_ID
from postwatch.streams.parsers.queue_ids import LOGIN_PREFIX, refusal_id
from postwatch.streams.parsers.smtp import ADDRESS, ENHANCED, next_queue_id, reply_codes
from postwatch.streams.parsers.syslog import process_before

AMAVIS_PROGRAMS = frozenset(("amavis", "amavisd", "amavisd-new"))
PROXY = re.compile(r"(?:NOQUEUE: )?+proxy-(accept|reject): [A-Z-]++: ")
"""Without the client, which the line `NOQUEUE: client=` of the same process names."""
_PROXIED = re.compile(rf"; from=<{ADDRESS}>(?: to=<{ADDRESS}>)?+ proto=\w++(?: helo=<|$)")
"""Sender and recipient. The HELO name may hold anything, the words of a login too."""
_LOGIN = re.compile(r"> sasl_username=<([^<>]*+)>$")
_PASSED = re.compile(
    rf"\([\w-]++\) Passed [A-Z0-9-]++(?: ?\([^()]*+\))?+(?: \{{[\w,]*+\}})?+, (?:[A-Z]++ )*+"
    rf"(?:\[[^\]]*+\](?::\d++)?+ )*+<{ADDRESS}> -> <{ADDRESS}>(?:,<{ADDRESS}>)*+, "
    r"(?:quarantine: [^\s,]++, )?+Queue-ID: (?P<before>\w++), "
    r"(?:(?:Resent-)?+Message-ID: <[^<>\s,]*+>, )*+(?:mail_id: [\w+-]++, )?+Hits: [^\s,]++, size: \d++, "
    r"(?:pt: \d++, )?+queued_as: (?P<behind>[\w/]++)(?=, |$)"
)
"""amavisd-new's `$log_templ` as it comes: the queue id before, those behind with slashes between them."""
_LONGEST_LOGIN = 1000
_QUEUED_AS = ", queued_as: "
_NOTE = Ignored("note")
_FILTERED = Ignored("filter")


def read_proxied(text: str, start: int, at: int, line: str) -> Parsed:
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
    process = process_before(text, start)
    told = _LOGIN.search(text, max(tail.end() - 1, len(text) - _LONGEST_LOGIN)) if process else None
    login = told[1] if told is not None else ""
    client = LOGIN_PREFIX + process if login else ""
    answer = text[opening.end() : place]
    verdict = VERDICT.match(answer)
    if opening[1] == "accept" and verdict is None:
        queue_id = next_queue_id(answer)
        return _queued(queue_id, at, line, login, client) if WHOLE_ID.match(queue_id) else _NOTE
    enhanced, (code, _) = ENHANCED.match(answer), reply_codes(answer)
    return Refusal(
        refusal_id(line),
        at,
        line,
        sender=sender,
        recipient=recipient.lower(),
        authenticated_as=login,
        smtp_code=code,
        enhanced_code=enhanced[1] if enhanced else "",
        response=answer,
        status=REJECTED if verdict is None else BOUNCED if verdict[1] else DISCARDED,
        session_id=client,
    )


def _queued(queue_id: str, at: int, line: str, login: str, client: str) -> Arrival:
    return Arrival(queue_id, at, line, authenticated_as=login, part=LOGIN, session_id=client)


def read_amavis(text: str, start: int, at: int, line: str) -> Parsed:
    """amavisd-new's report of a message: under which ids it gave back what it had under another."""
    found = _PASSED.match(text, start)
    if found is None or text.count(_QUEUED_AS, start) != 1:
        return _FILTERED  # a Message-ID may look like the fields behind it
    before = found["before"]
    behind = [queue_id for queue_id in found["behind"].split("/") if WHOLE_ID.match(queue_id) and queue_id != before]
    if not WHOLE_ID.match(before) or not behind:
        return _FILTERED
    return [Arrival(queue_id, at, line, part=LINK, earlier_queue_id=before) for queue_id in dict.fromkeys(behind)]
