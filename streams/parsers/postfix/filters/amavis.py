"""amavisd-new's report of a message that it gave back to Postfix, behind the queue.

It names the queue ids before and behind the filter. The line is read to the last byte, because strangers' words stand
in it. A line that can be read in two ways links nothing.
"""

from __future__ import annotations

import re

from postwatch.streams.parsers.events import LINK, Arrival, Ignored, Parsed
from postwatch.streams.parsers.postfix.grammar import WHOLE_ID
from postwatch.streams.parsers.smtp import ADDRESS

_PASSED = re.compile(
    rf"\([\w-]++\) Passed [A-Z0-9-]++(?: ?\([^()]*+\))?+(?: \{{[\w,]*+\}})?+, (?:[A-Z]++ )*+"
    rf"(?:\[[^\]]*+\](?::\d++)?+ )*+<{ADDRESS}> -> <{ADDRESS}>(?:,<{ADDRESS}>)*+, "
    r"(?:quarantine: [^\s,]++, )?+Queue-ID: (?P<before>\w++), "
    r"(?:(?:Resent-)?+Message-ID: <[^<>\s,]*+>, )*+(?:mail_id: [\w+-]++, )?+Hits: [^\s,]++, size: \d++, "
    r"(?:pt: \d++, )?+queued_as: (?P<behind>[\w/]++)(?=, |$)"
)
"""amavisd-new's `$log_templ` as it comes: the queue id before, those behind with slashes between them."""
_QUEUED_AS = ", queued_as: "
_FILTERED = Ignored("filter")


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
