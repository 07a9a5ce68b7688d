"""What a far server says in its answer, whichever MTA logged it: reply code, enhanced code, the new queue id."""

from __future__ import annotations

import re

SMTP_CODE = re.compile(r"([2-5]\d\d)(?:[ -](?:(\d\.\d{1,3}\.\d{1,3})(?=[ \\]|$))?|$)")
"""Reply code and enhanced code (RFC 5321 §4.2, RFC 3463 §2)."""
ENHANCED = re.compile(r"(?:\d{3}[ -])?+([245]\.\d{1,3}\.\d{1,3})(?=[ :;]|$)")
"""The enhanced code, with a reply code in front of it or without."""
ADDRESS = r'((?:"(?:[^"\\]++|\\.)*+")?+[^<>"]*+)'
"""An address in angle brackets, without these: its local part may be quoted, and then it may hold anything."""
_NEXT_ID = re.compile(r"[0-9A-Za-z.-]{6,64}")
_MOST_OF_ANSWER = 1000


def reply_codes(answer: str) -> tuple[int, str]:
    """Reply code and enhanced code with which the answer begins; 0 and empty where it begins otherwise."""
    found = SMTP_CODE.match(answer)
    return (int(found[1]), found[2] or "") if found is not None else (0, "")


def next_queue_id(answer: str) -> str:
    """The id under which the next hop queued the message; the last one, for a filter quotes its own next hop."""
    for words in ("queued as ", " id="):
        place = answer.rfind(words, 0, _MOST_OF_ANSWER)
        if place >= 0:
            found = _NEXT_ID.match(answer, place + len(words))
            if found is not None:
                return found[0]
    return ""
