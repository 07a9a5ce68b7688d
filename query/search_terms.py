"""What people type into the search box, and what it is taken for: a queue id, an address, a domain, and so on.

Invariant: the words of a term are bounded and safe to bind. Nothing is taken for good: `candidates` lists every reading
of a text, the likeliest first, and whoever asks may name the one that he means.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from postwatch.query.errors import FilterError
from postwatch.query.filters import clean_text
from postwatch.query.translation import N_

QUEUE_ID = "queue-id"
MESSAGE_ID = "message-id"
ADDRESS = "address"
DOMAIN = "domain"
IP = "ip"
HOST = "host"
WORDS = "words"
KINDS: tuple[str, ...] = (QUEUE_ID, MESSAGE_ID, ADDRESS, DOMAIN, IP, HOST, WORDS)
"""What a text may be taken for."""
NAMES = {
    QUEUE_ID: N_("a queue ID"),
    MESSAGE_ID: N_("a Message-ID"),
    ADDRESS: N_("an address"),
    DOMAIN: N_("a domain"),
    IP: N_("an IP address"),
    HOST: N_("a host"),
    WORDS: N_("words of an answer or a subject"),
}
MAX_WORDS = 10
_QUEUE_ID = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9._:-]{4,63}")
"""Every mail server's ids: letters and digits, at least one of them a digit."""
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9])?", re.IGNORECASE)
_DOMAIN = re.compile(r"[^\s@<>()\[\],;:\\\"/]+\.(?!\d+$)[^\s@<>()\[\],;:\\\"/.]{2,}")
"""No top level is a number."""
_LIKE_A_MESSAGE_ID = re.compile(r"[^@]*(\d[^@]*){6}@|[^@]{20,}@[^@]*\d|[^@]*[$!/][^@]*@")
"""Many digits, or a long word before the @: people have no such names."""
_TOKEN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
"""What the index of the answers calls a word: ClickHouse's splitByNonAlpha."""


@dataclass(frozen=True, slots=True)
class Term:
    """A text, and what it is taken for."""

    kind: str
    """One of KINDS."""
    text: str
    """Without the brackets around an id or an address; a domain, a host and an IP address in lower case."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words that are looked for, each in lower case."""
        return tuple(dict.fromkeys(self.text.lower().split()))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The same as the index knows them; none: the text has no letter and no digit."""
        return tuple(dict.fromkeys(token for word in self.words for token in _TOKEN.findall(word)))

    @property
    def forms(self) -> tuple[str, ...]:
        """An IP address as it was written, and as it is written shortest."""
        return tuple(dict.fromkeys((self.text, _shortest(self.text) or self.text)))


def candidates(text: str, kind: str = "") -> tuple[Term, ...]:
    """What a text may be, the likeliest first; of the kind alone where one is told. Empty text: nothing.

    Raises FilterError for a text that can't be searched for, or not as this kind.
    """
    wanted = clean_text(text, "q")
    if not wanted:
        return ()
    if kind and kind not in KINDS:
        raise FilterError("%(text)s is not a valid kind: use %(choices)s", text=repr(kind), choices=", ".join(KINDS))
    kinds = (kind,) if kind else _likely(wanted)
    return tuple(_term(one, wanted) for one in kinds)


def _likely(text: str) -> tuple[str, ...]:
    bare = _bare(text)
    if _shortest(_without_ip_marks(bare)):
        return (IP,)
    if any(character.isspace() for character in bare):
        return (WORDS,)
    local, at, domain = bare.rpartition("@")
    if at and local and domain:
        return (MESSAGE_ID, ADDRESS) if _LIKE_A_MESSAGE_ID.match(bare) else (ADDRESS, MESSAGE_ID)
    if at and domain:
        return (DOMAIN,)
    if _DOMAIN.fullmatch(bare.rstrip(".")):
        return (DOMAIN, HOST, WORDS)
    if _QUEUE_ID.fullmatch(bare):
        return (QUEUE_ID, HOST, WORDS)
    return (WORDS, HOST) if _HOST.fullmatch(bare) else (WORDS,)


def _term(kind: str, text: str) -> Term:
    if kind == WORDS:
        term = Term(kind, text)
        if len(term.words) > MAX_WORDS:
            raise FilterError("q has %(count)s words, and %(most)s are allowed", count=len(term.words), most=MAX_WORDS)
        if not term.tokens:
            raise FilterError("q %(text)s has no letter and no digit to search for", text=repr(text))
        return term
    bare = _bare(text)
    if kind == IP:
        bare = _without_ip_marks(bare).lower()
        if not _shortest(bare):
            raise FilterError("%(text)s is not an IP address", text=repr(text))
    elif kind in (DOMAIN, HOST):
        bare = bare.removeprefix("@").rstrip(".")
        bare = ascii_lower(bare)
    return Term(kind, bare)


def ascii_lower(text: str) -> str:
    """As ClickHouse's `lower` does, which leaves all but ASCII as it is."""
    return text.lower() if text.isascii() else "".join(one.lower() if one.isascii() else one for one in text)


def _bare(text: str) -> str:
    return text[1:-1].strip() if text[0] == "<" and text[-1] == ">" else text


def _without_ip_marks(text: str) -> str:
    """`[192.0.2.1]` and `[IPv6:2001:db8::1]` are how mail servers write them (RFC 5321 §4.1.3)."""
    bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    return bare[5:] if bare[:5].lower() == "ipv6:" else bare


def _shortest(text: str) -> str:
    """An IP address in its shortest form; empty: it is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
