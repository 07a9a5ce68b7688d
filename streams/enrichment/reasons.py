"""Why a message did not arrive, in one word: from the remote server's words, then from the enhanced code (RFC 3463).

Words go first, because many servers send a code of another class or subject than they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.enrichment.providers import PROVIDERS, find_provider
from postwatch.streams.enrichment.reply_words import BY_WORDS, ECHOED, GENERIC, LINKS
from postwatch.streams.expressions import compiled

BY_CODE = {
    "1.0": "unknown-user",
    "1.1": "unknown-user",
    "1.2": "routing",
    "1.3": "unknown-user",
    "1.4": "unknown-user",
    "1.6": "unknown-user",
    "1.8": "dns",
    "1.10": "unknown-user",
    "2.1": "unknown-user",
    "2.2": "mailbox-full",
    "2.3": "size",
    "2.4": "routing",
    "2.121": "rate-limit",
    "2.122": "rate-limit",
    "3.2": "connection",
    "3.4": "size",
    "3.5": "routing",
    "4.1": "connection",
    "4.2": "connection",
    "4.3": "dns",
    "4.4": "routing",
    "4.5": "rate-limit",
    "4.6": "routing",
    "4.7": "expired",
    "5.3": "rate-limit",
    "7.8": "own-login",
    "7.10": "tls",
    "7.11": "tls",
    "7.13": "unknown-user",
    "7.17": "unknown-user",
    "7.18": "unknown-user",
    "7.20": "authentication",
    "7.21": "authentication",
    "7.22": "authentication",
    "7.23": "authentication",
    "7.24": "authentication",
    "7.25": "dns",
    "7.26": "authentication",
    "7.27": "dns",
    "7.28": "rate-limit",
    "7.29": "authentication",
    "7.30": "tls",
    "7.509": "authentication",
    "7.511": "reputation",
    "7.515": "authentication",
    "7.606": "reputation",
    "7.705": "rate-limit",
    "7.708": "reputation",
}
"""Subject and detail of an enhanced code, where they tell enough (RFC 3463, 5248, 7372, 7505, 8617, 8689, and what
Microsoft numbers from 500 on); 7.1 and the like need the words."""

NO_CODES: Mapping[str, str] = MappingProxyType({})
_OWN_LOGIN = "own-login"
_POLICY = ".7."
"""The subject "security or policy" of RFC 3463 (section 3.8), where neither detail nor words tell more."""
_MOST_CHARACTERS = 1000
"""Of a reply; its beginning tells."""
_MOST_CACHED = 4096
"""Replies, which strangers write: 8 MB of them at most, as they came and without what they quote. Hosts as many."""
_CODE_IN_REPLY = compiled(r"(?<![\d.])#?[45]\.(\d{1,3}\.\d{1,3})(?![\d.])")
_MOST_BEFORE_CODE = 60


class ReasonBook:
    """Finds reasons and providers; what a provider's engineers added goes before what is built in."""

    def __init__(
        self,
        words: Sequence[tuple[str, str]] = (),
        codes: Mapping[str, str] = NO_CODES,
        providers: Mapping[str, str] = PROVIDERS,
    ) -> None:
        """`words`: what a reply holds, in lower case, and its reason; `codes`: those of the engineers; `providers`: the
        whole table."""
        self._words = tuple(words)
        self._codes = codes
        self._providers = providers
        self._find_reason = lru_cache(maxsize=_MOST_CACHED)(self._judge)
        self.find_provider = lru_cache(maxsize=_MOST_CACHED)(self._find_provider)

    def find_reason(self, status: str, enhanced_code: str, response: str) -> str:
        """One of `outcome.REASONS`, or the empty text where there is no trouble, or none that a discard tells."""
        return self._find_reason(status, enhanced_code, response[:_MOST_CHARACTERS])

    def _judge(self, status: str, enhanced_code: str, response: str) -> str:
        if status == EXPIRED:
            return "expired"
        if status not in (BOUNCED, DEFERRED, REJECTED, DISCARDED):
            return ""
        lowered = response.lower()
        for words, reason in self._words:
            if words in lowered:
                return reason
        if status != DISCARDED and (reason := self._codes.get(enhanced_code[2:], "")):
            return reason
        reason = _find_by_words(lowered, status)
        if reason:
            return reason
        is_refused = GENERIC.search(lowered) is not None
        if status == DISCARDED:
            return "policy" if is_refused else ""
        reason = _find_by_code(enhanced_code, lowered)
        if reason and not (is_refused and reason == "connection"):  # who refuses has answered
            return reason
        return "policy" if is_refused or enhanced_code[1:4] == _POLICY else "other"

    def _find_provider(self, remote_host: str) -> str:
        return find_provider(remote_host, self._providers)


def _find_by_words(lowered: str, status: str) -> str:
    said = ECHOED.sub(" ", lowered) if "@" in lowered or "<" in lowered else lowered
    reason = _find_in_words(said)
    if reason == _OWN_LOGIN and status not in (BOUNCED, DEFERRED):
        return "policy"  # only another server can refuse our login; where we refuse a client, it is his
    return reason


@lru_cache(maxsize=_MOST_CACHED)
def _find_in_words(said: str) -> str:
    """A reply without what it only quotes, which is often all that tells it from others; then with its links, which
    name the subject where nothing else does."""
    plain = LINKS.sub(" ", said) if "www." in said or "://" in said else said
    for text in (plain, said) if plain != said else (plain,):
        for reason, expression in BY_WORDS:
            if expression.search(text):
                return reason
    return ""


def _find_by_code(enhanced_code: str, lowered: str) -> str:
    """By the code of the row; where this tells nothing, by the one that the reply begins with."""
    code = enhanced_code
    if enhanced_code[1:] in ("", ".0.0"):
        found = _CODE_IN_REPLY.search(lowered, 0, _MOST_BEFORE_CODE)
        code = found[0].removeprefix("#") if found else code
    reason = BY_CODE.get(code[2:], "")
    if reason == "unknown-user" and code[0] == "4":
        return ""  # who is unknown stays so; what comes later is something else
    return reason


BUILT_IN = ReasonBook()
