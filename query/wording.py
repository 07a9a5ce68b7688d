"""How values are written for people, in the terminal and on the page: strangers' text, times, spans, sizes.

No text that comes from a log is shown before it has passed through `visible`: strangers write subjects, addresses and
responses, and a terminal obeys what it prints.
"""

from __future__ import annotations

import re
import unicodedata

from postwatch.query.translation import gettext, language, ngettext
from postwatch.query.zones import shown_moment

_CONTINUED = re.compile(r"[245]\d\d-")
_LINE_BREAK = re.compile(r"\r?\n|(?:\\r)?\\n")


def visible(text: str) -> str:
    """Text whose control, formatting and line-breaking characters stand as escapes: ESC as \\x1b, a right-to-left
    override as \\u202e. Blanks, letters and symbols of every script stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escape(character) for character in text)


def reply_lines(text: str) -> list[str]:
    """A server's reply as lines, each made `visible`. In logs a line break may be written as a backslash and an n."""
    return [visible(line) for one in _LINE_BREAK.split(text) for line in _joined_lines(one) if line] or [""]


def _joined_lines(text: str) -> list[str]:
    """Postfix logs the lines of a reply with a blank between them: '550-5.1.1 one 550 5.1.1 two'."""
    if not _CONTINUED.match(text):
        return [text]
    return re.split(rf" (?={text[:3]}[- ])", text)


def _is_harmless(character: str) -> bool:
    # C*: controls, formats (bidirectional overrides among them), surrogates, private and unassigned; Zl, Zp: lines.
    category = unicodedata.category(character)
    return category[0] != "C" and category not in ("Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def utc_time(at_ms: int) -> str:
    """'2026-11-23 13:42:18', in UTC; on a page in its time zone and language."""
    return language().time(shown_moment(at_ms))


def time_span(span_ms: int) -> str:
    """How long, as one number: 'under 1 s', '1.5 s', '12 s', '3 min', '5 h', '2 days'."""
    seconds = span_ms / 1000
    if seconds < 1:
        return gettext("under 1 s")
    if seconds < 10:
        return gettext("%(number)s s", number=language().number(seconds, 1))
    if seconds < 120:
        return gettext("%(number)s s", number=round(seconds))
    if seconds < 7200:
        return gettext("%(number)s min", number=round(seconds / 60))
    if seconds < 172_800:
        return gettext("%(number)s h", number=round(seconds / 3600))
    return days(round(seconds / 86_400))


def days(number: int) -> str:
    return ngettext("%(num)s day", "%(num)s days", number)


def byte_size(size_bytes: int) -> str:
    """'812 B', '12.3 KB', '4.0 MB'. The units are the same in every language of ours."""
    size = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{language().number(size, 0 if unit == 'B' else 1)} {unit}"
        size /= 1000
    return f"{language().number(size, 1)} GB"


def count(number: int, noun: str) -> str:
    """For the terminal; pages use ngettext."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def decimal(number: float) -> str:
    """A number with one digit behind the mark, in the reader's language."""
    return language().number(number, 1)
