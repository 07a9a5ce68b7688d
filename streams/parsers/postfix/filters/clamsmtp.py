"""clamsmtp: which recipients a message had in which it found a virus.

Its answer names neither an id nor a recipient, and its line no queue id. Before the queue, Postfix's line about the
answer names the sender and the first recipient; so the two are tied by these, and by the time.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, Attempt, Ignored, Parsed
from postwatch.streams.parsers.queue_ids import clamsmtp_passage

_FOUND = compiled(
    r"\d++: from=(?P<sender>[^\s,<>\"]*+), (?P<recipients>(?:to=[^\s,<>\"]++, )++)(?P<words>status=VIRUS:\S*+)$"
)
_FILTERED = Ignored("filter")


def read_clamsmtp(text: str, start: int, at: int, line: str) -> Parsed:
    """The recipients of a message with a virus; all else that it says is of no interest."""
    found = _FOUND.match(text, start)
    if found is None:
        return _FILTERED
    recipients = [one.removeprefix("to=") for one in found["recipients"].lower().removesuffix(", ").split(", ")]
    passage = clamsmtp_passage(found["sender"], recipients[0])
    return [
        Attempt(passage, at, line, DISCARDED, recipient=recipient, response=found["words"], handover=JUDGED)
        for recipient in dict.fromkeys(recipients)
    ]
