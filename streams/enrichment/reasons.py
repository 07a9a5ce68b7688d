"""Why a message did not arrive, in one word: from the enhanced code (RFC 3463), then from the far server's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.enrichment.providers import PROVIDERS, find_provider

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

_POLICY = ".7."
"""The subject "security or policy" of RFC 3463 (section 3.8), where neither detail nor words tell more."""
_MOST_CHARACTERS = 1000
"""Of a reply; its beginning tells."""
_MOST_CACHED = 4096
"""Replies, which strangers write: 4 MB of them at most. Hosts as many."""
_TELLING = (
    ("unknown-user", "spam"),
    ("connection", "recipient address rejected"),
    ("routing", "host or domain name not found"),
)
"""A code's reason that gives way where the words hold this."""

_BY_WORDS = tuple(
    (reason, re.compile(words, re.IGNORECASE))
    for reason, words in (
        ("greylisted", r"gr[ea]y-?list"),
        (
            "rate-limit",
            r"rate.?limit|too many (?!hops|received)|exceeded the (?:max|rate)|throttl|try again later due to volume|"
            r"unusual rate|receiving mail (?:too quickly|at a rate)|has exceeded the max|messages per hour",
        ),
        ("authentication", r"\bspf\b|\bdkim\b|\bdmarc\b|\barc\b fail|unauthenticated"),
        (
            "reputation",
            r"spamhaus|spamcop|barracudacentral|blacklist|blocklist|black list|block list|\brbl\b|\bdnsbl\b|reputation|"
            r"listed (?:at|in|by|on)|blocked using|banned sending|ipcheck\.proofpoint|\[tss?\d|user complaints|"
            r"\bIP=\S+ - |poor sender|bad sending ip|csi\.cloudmark",
        ),
        ("spam", r"spam|virus|infected|malware|unsolicited|phish|suspicio"),
        (
            "mailbox-full",
            r"over ?quota|quota (?:is )?exceeded|exceeded (?:its |his |the )?quota|mailbox (?:is )?full|"
            r"exceeded .*storage|out of storage|storage quota|disk quota",
        ),
        (
            "relay-denied",
            r"relay(?:ing)? (?:not permitted|denied|access denied|not allowed)|unable to relay|not a gateway",
        ),
        (
            "unknown-user",
            r"user unknown|unknown user|no such (?:user|mailbox|recipient|person|address)|does not exist|doesn't exist|"
            r"mailbox (?:not found|unavailable)|recipient (?:not found|unknown)|invalid recipient|unknown recipient|"
            r"no mailbox here|recipientnotfound|account (?:is )?(?:disabled|inactive)|"
            r"user (?:is )?(?:inactive|disabled)|user doesn't have|address rejected: (?:undeliverable|access denied)",
        ),
        ("size", r"message (?:size|too (?:big|large))|exceeds .*size|size limit"),
        ("tls", r"\btls\b|certificate|starttls"),
        (
            "dns",
            r"host lookup|\bdns\b|domain not found|domain name not found|no mx|lowest numbered mx|"
            r"mx .*(?:invalid|not found)|name service error|reverse|ptr record|unresolvable",
        ),
        ("connection", r"connection (?:refused|timed out|reset|closed|lost)|no route to host|timed? ?out|unreachable"),
        ("routing", r"unrouteable|alias|mailing list|too many (?:hops|received)|mail loop|loops back"),
        (
            "policy",
            r"policy|policies|not allowed|access denied|rejected|blocked|prohibited|refused|not accepted|^on hold",
        ),
    )
)


class ReasonBook:
    """Finds reasons and providers; what a provider's engineers added goes before what is built in."""

    def __init__(
        self,
        words: Sequence[tuple[str, str]] = (),
        codes: Mapping[str, str] = BY_CODE,
        providers: Mapping[str, str] = PROVIDERS,
    ) -> None:
        """`words`: what a reply holds, in lower case, and its reason; `codes` and `providers`: the whole tables."""
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
        if self._words:
            lowered = response.lower()
            for words, reason in self._words:
                if words in lowered:
                    return reason
        found = self._codes.get(enhanced_code[2:]) if status != DISCARDED else None
        if found == "unknown-user" and enhanced_code[0] == "4":
            found = None  # who is unknown stays so; what comes later is something else
        if found and not any(found == reason and words in response.lower() for reason, words in _TELLING):
            return found
        for reason, expression in _BY_WORDS:
            if expression.search(response):
                return reason
        if status == DISCARDED:
            return ""
        return "policy" if enhanced_code[1:4] == _POLICY else "other"

    def _find_provider(self, remote_host: str) -> str:
        return find_provider(remote_host, self._providers)


BUILT_IN = ReasonBook()
