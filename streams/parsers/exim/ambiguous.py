"""The ambiguous-line fallback: Exim lines in which a stranger's word has blanks or quotes.

Each place where that word may end is tried from the left, and the rest of the line must then fit the grammar to its
last byte, quoted strings and addresses included. A line that is still ambiguous is not guessed at. Tries are bounded,
so that no line costs more than a few milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Arrival, Parsed, Unreadable
from postwatch.streams.parsers.exim.grammar import (
    CONNECTION,
    IP,
    QUOTED,
    SESSION,
    whole_addresses,
)

_MOST_TRIES = 32
_ONE_ADDRESS = r"(?:\"(?:[^\"\\]++|\\.)*+\"@[^\s\"@]++|[^\s\"@]++@[^\s\"@]++)"
_BARE = r"(?!for )[\w.+-]++"
"""A recipient without a domain, as a trusted program may submit it."""
_SENDER = compiled(rf"({QUOTED}@\S+|[^\s\"]\S*)(?: R=(\S+))?( H=)?")
_BRACKETED_IP = compiled(rf"\[({IP})\](?::\w++)?+(?=[ :]|$)")
_SESSION = compiled(CONNECTION + SESSION + r"(?=( id\*?=)| T=\"| from <| for |$)")
_QUOTED_ID = compiled(rf"{QUOTED}@[^\s\"]++")
_PROTOCOL = compiled(r"(?:^| )P=\S")
_SIZE = compiled(r" S=\d")
_SPACED_USER = compiled(r" U=(\w++(?: \w++)+)(?= (?:Ci|P)=)")
_MESSAGE_ID_END = compiled(r" T=\"| from <| for |$")
_TAIL = compiled(
    rf"(?: T=({QUOTED}))?(?: from <(?:{QUOTED}@)?[^>\"]*>)?"
    rf"(?: for ({_ONE_ADDRESS}(?: {_ONE_ADDRESS})*+|{_BARE}(?: {_BARE})*+))?$"
)
_EACH_ADDRESS = compiled(rf"{_ONE_ADDRESS}|[^\s\"@]++")
_ADDRESS_END = compiled(r"(?= F=<| Q=| SRS=<| P=<| R=| T=| routing defer| delivery defer| defer| ?: )")
_UNUSUAL_ADDRESS = compiled(rf"({QUOTED}@\S+|.*?)(?: \(([^()]*+)\))?(?: <((?:{QUOTED})?[^\s\"<>]*)>)?", re.DOTALL)
_QUOTED_ADDRESS = compiled(rf" <({QUOTED}@[^\s\"<>]++)>")
_QUOTED_PAIR = compiled(r"\\(?![0-7]{3})(.)")
_ESCAPE = compiled(r"\\([0-7]{3}|.)")
_OCTAL_ALONE = compiled(r"[^\\]*+(?:\\[0-3][0-7]{2}[^\\]*+)*+", re.DOTALL)
_ESCAPED = {f"{code:03o}": chr(code & 0xFF) for code in range(0o1000)} | {"n": "\n", "t": "\t", "r": "\r", "x": "\\x"}
"""Exim escapes no byte as `\\x`: that is a byte which was no text when the line was decoded."""


def unquote(text: str) -> str:
    """Take off the quotes, and what was escaped inside them."""
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
    return unescape(text) if "\\" in text else text


def plain_local(local: str) -> str:
    """A quoted local part as Exim shows it elsewhere: without quotes; what can't be printed stays an escape."""
    if len(local) > 1 and local[0] == '"' and local[-1] == '"':
        local = local[1:-1]
    return _QUOTED_PAIR.sub(r"\1", local) if "\\" in local else local


def unescape(text: str) -> str:
    """Undo Exim's backslashes; octal escapes are the bytes of UTF-8 text."""
    if _OCTAL_ALONE.fullmatch(text) is not None:  # as nearly always, and five times as fast
        try:
            return text.encode("latin-1").decode("unicode_escape").encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
    plain = _ESCAPE.sub(_unescape, text)
    try:
        return plain.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return plain


def _unescape(found: re.Match[str]) -> str:
    escaped = found[1]
    return _ESCAPED.get(escaped, escaped)


def arrival(line: str, start: int, at: int, queue_id: str) -> Parsed:
    """An arrival whose sender, HELO name, Message-ID or recipients hold blanks or quotes.

    Exim logs the address in the Message-ID header, so one with a blank is a quoted local part; any other is the last
    resort.
    """
    found = _read_arrival(line, start, at, queue_id, True) or _read_arrival(line, start, at, queue_id, False)
    return found or Unreadable("an arrival whose fields make no sense")


def _read_arrival(line: str, start: int, at: int, queue_id: str, is_strict: bool) -> Arrival | Unreadable | None:
    opening = _SENDER.match(line, start)
    if opening is not None:
        sender, parent, has_host = opening.groups()
        for name, ip, end in hosts(line, opening.end()) if has_host else [("", "", opening.end())]:
            spaced = None if has_host else _SPACED_USER.match(line, end)
            session = _SESSION.match(line, spaced.end() if spaced else end)
            if session is None:
                continue
            user, method, login, size, named = session.groups()
            if spaced:
                user = spaced[1]
            for message_id, tail in _message_ids(line, session.end(), named):
                if " " in message_id and not _QUOTED_ID.fullmatch(message_id):
                    if is_strict:
                        continue
                    if _holds_session(message_id):
                        return Unreadable("an arrival that can be read in two ways")
                subject, listed = tail.groups()
                return Arrival(
                    queue_id,
                    at,
                    line,
                    sender="" if sender == "<>" else sender,
                    recipients=whole_addresses(line, tuple(_EACH_ADDRESS.findall(listed.lower()))) if listed else (),
                    client_host=name,
                    client_ip=ip,
                    system_user=user if user and not ip else "",
                    auth_method=method or "",
                    authenticated_as=login or "",
                    size_bytes=int(size) if size and size.isdigit() else 0,
                    message_id=message_id,
                    subject=unquote(subject) if subject else "",
                    parent_queue_id=parent or "",
                )
    return None


def _holds_session(text: str) -> bool:
    protocol = _PROTOCOL.search(text)
    return protocol is not None and _SIZE.search(text, protocol.end()) is not None


def bounded(places: Iterable[re.Match[str]]) -> Iterator[re.Match[str]]:
    for number, place in enumerate(places):
        if number == _MOST_TRIES:
            return
        yield place


def hosts(line: str, start: int) -> Iterator[tuple[str, str, int]]:
    """Each reading of `H=name (helo) [address]`: the verified name, the address, where the next field begins."""
    for place in bounded(_BRACKETED_IP.finditer(line, start)):
        before = line[start : place.start()].rstrip(" ")
        if before and not before.startswith("(") and "(" in before and not before.endswith(")"):
            continue
        name = before.partition(" (")[0]
        yield ("" if name.startswith("(") or " " in name else name), place[1], place.end()


def _message_ids(line: str, start: int, named: str | None) -> Iterator[tuple[str, re.Match[str]]]:
    """Each reading of ` id=…` with the rest of the line that fits behind it."""
    if not named:
        tail = _TAIL.match(line, start)
        if tail:
            yield "", tail
        return
    begin = start + len(named)
    for place in bounded(_MESSAGE_ID_END.finditer(line, begin)):
        tail = _TAIL.match(line, place.start())
        if tail:
            yield line[begin : place.start()], tail


def addressed(line: str, start: int, tail: re.Pattern[str]) -> tuple[str, ...] | None:
    """Final and original address, then the groups of `tail`, for a line whose addresses or fields are unusual."""
    for place in bounded(_ADDRESS_END.finditer(line, start)):
        rest = tail.match(line, place.start())
        if rest is None:
            continue
        address = _UNUSUAL_ADDRESS.fullmatch(line[start : place.start()].strip(" "))
        if address is None or not address[1]:
            continue
        final, parents, original = address.groups("")
        if parents:
            final = _beside_parents(final, parents, original)
        if not _plausible(final, original):
            continue
        if not is_repeated(line, start, place.start()):
            return final, original, *rest.groups("")
        if original or "@" in final:
            return None
    return None


def _beside_parents(final: str, parents: str, original: str) -> str:
    """The final address of `final (parent, its parent) <original>`: a bare local part has the domain of its parent."""
    local, _, domain = original.rpartition("@")
    if original[:1] == '"':
        plain, shown = plain_local(local.lower()), f"{final} ({parents})"
        if shown.lower() in (plain, f"{plain}@{domain.lower()}"):
            return shown  # a stranger's local part that looks like both
    _, at_sign, domain = parents.partition(", ")[0].rpartition("@")
    if not at_sign or "@" in final or not domain.strip() or final[:1] in ("|", "/", ">", ":", '"') or " " in final:
        return final
    return f"{final}@{domain}"


def is_repeated(line: str, start: int, behind: int) -> bool:
    """Whether an address that ends later than `behind` fits as well: a quoted local part that looks like fields.

    Exim shows it without quotes and then, in angle brackets, with them: `a R=x@far <"a R=x"@far> R=…`.
    """
    for number, place in enumerate(_QUOTED_ADDRESS.finditer(line, start)):
        if number == _MOST_TRIES:
            return True
        local, _, domain = place[1].rpartition("@")
        if (
            place.end() > behind
            and line[start : place.start()].strip(" ").lower() == f"{plain_local(local)}@{domain}".lower()
        ):
            return True
    return False


def _plausible(final: str, original: str) -> bool:
    """An address with blanks must be the quoted one beside it, a quoted one itself, or a pipe, file or reply."""
    if " " not in final or final[0] in '|/>"' or final.startswith("save "):
        return True
    local, _, domain = original.lower().rpartition("@")
    plain = plain_local(local)
    return final.lower() in (plain, f"{plain}@{domain}")
