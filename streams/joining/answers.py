"""What a client was told in place of the answer that a refusal's line names: Postfix's filter of its answers. Pure.

smtpd logs the refusal, then the answer as it went into the filter and as it came out. They are tied by the queue id, or
where there is none by the number of the process, by the time, and by the answer's own words, which are the same in the
refusal and in front of the filter. A stranger writes no line of that process, and one answer always becomes the same.

The entry is kept and parked like a message, under `p:`, and makes no rows. Refusals are found in any order; what came
out of the filter is of the answer that its process logged just before, so a place in the stream is kept, as of tries.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.joining.message import Message, Try
from postwatch.streams.parsers.events import FILTERED, Refusal, Step
from postwatch.streams.parsers.smtp import reply_codes

MOST_REFUSALS = 20
MOST_ANSWERS = 50
"""Of an entry, the last ones."""
_LATE_MS = 60_000
"""smtpd makes clients wait before it answers, when they have made too many errors (`smtpd_error_sleep_time`)."""
PASSED_MS = 30_000
"""An entry whose server's log is so much further on, when it would be parked a minute later, is of no use any more."""
_BETWEEN_MS = 1_000
"""Both lines of the filter are written at once; stamps may be in whole seconds."""


def take_refusal(entry: Message, refusal: Refusal) -> list[Refusal]:
    """Keep the refusal; return it with what its client was told, if that came already."""
    entry.completed_at = max(entry.completed_at, refusal.at)
    known = entry.refusals = entry.refusals or []
    line = refusal.line
    for index, one in enumerate(known):
        if one.line == line:
            del known[index]
            break
    known.append(refusal)
    if len(known) > MOST_REFUSALS:
        del known[0]
    return _told(entry, refusal) if entry.tries else []


def take_answer(entry: Message, step: Step, offset: int) -> list[Refusal]:
    """Take a line of the filter; return the refusals whose clients it tells the answer of.

    `offset`: the place of its record in the stream; negative: not known. What was parked may be ahead of it.
    """
    answers = entry.tries = entry.tries or []
    entry.read_until = max(entry.read_until, offset)
    entry.completed_at = max(entry.completed_at, step.at)
    if step.kind == FILTERED:
        if all(one.started.line != step.line for one in answers):
            answers.append(Try(step, []))
            del answers[:-MOST_ANSWERS]
            entry.parked_at = -1  # else it would be known: the stream began anew
        entry.current_try = step.line
        return []
    changed: list[str] = []
    if 0 <= offset <= entry.parked_at:  # the rows that it made may be lost
        changed = [one.started.words for one in answers if any(told.line == step.line for told in one.steps)]
    else:
        current = next((one for one in answers if one.started.line == entry.current_try), None)
        entry.current_try = ""
        if current is not None and 0 <= step.at - current.started.at <= _BETWEEN_MS:
            current.steps[:] = [*(told for told in current.steps if told.line != step.line), step]
            changed = [current.started.words]
    return [told for one in entry.refusals or () if _words(one, changed) for told in _told(entry, one)]


def _told(entry: Message, refusal: Refusal) -> list[Refusal]:
    """The refusal with the answer that came out of the filter; empty: none did, or several."""
    found = [
        one
        for one in entry.tries or ()
        if one.steps and _words(refusal, [one.started.words]) and 0 <= one.started.at - refusal.at <= _LATE_MS
    ]
    first_at = min((one.started.at for one in found), default=0)
    told = {one.steps[-1].words: one.steps[-1] for one in found if one.started.at == first_at}
    if len(told) != 1:
        return []
    [answer] = told.values()
    code, enhanced = reply_codes(answer.words)
    return [
        msgspec.structs.replace(
            refusal,
            smtp_code=code,
            enhanced_code=enhanced,
            response=answer.words,
            told_by=answer.line,
            is_changed=True,
        )
    ]


def _words(refusal: Refusal, answers: list[str]) -> bool:
    """Whether one of the answers is that of the refusal; cleanup's line leaves the reply code out."""
    return any(refusal.response in (answer, answer[4:]) for answer in answers)
