"""What a far server says in its answer, whichever MTA logged it: reply code, enhanced code, the new queue id."""

from __future__ import annotations

from functools import lru_cache

from postwatch.streams.expressions import compiled

SMTP_CODE = compiled(r"([2-5]\d\d)(?:[ -](?:(\d\.\d{1,3}\.\d{1,3})(?=[ \\]|$))?|$)")
"""Reply code and enhanced code (RFC 5321 §4.2, RFC 3463 §2)."""
ENHANCED = compiled(r"(?:\d{3}[ -])?+([245]\.\d{1,3}\.\d{1,3})(?=[ :;]|$)")
"""The enhanced code, with a reply code in front of it or without."""
ADDRESS = r'((?:"(?:[^"\\]++|\\.)*+")?+[^<>"]*+)'
"""An address in angle brackets, without these: its local part may be quoted, and then it may hold anything."""
_NEXT_ID = compiled(r"[0-9A-Za-z.-]{6,64}")
_MOST_OF_ANSWER = 1000
_MAILBOX = compiled(r"[245]\d\d (?:[245]\.\d{1,3}\.\d{1,3} )?<([^<>\"\s@]{1,64}@[^<>\"\s@]{1,255})>(?= |$)")
OWN_NETWORKS = ("127.", "::1", "10.", "192.168.", "fc", "fd", *(f"172.{number}." for number in range(16, 32)))
_BY_BEGINNING = {
    beginning: tuple(network for network in OWN_NETWORKS if network.startswith(beginning))
    for beginning in (network[:2] for network in OWN_NETWORKS)
}
"""Their first two characters tell most other addresses, at a fraction of the cost."""


def reply_codes(answer: str) -> tuple[int, str]:
    """Reply code and enhanced code with which the answer begins; 0 and empty where it begins otherwise."""
    found = SMTP_CODE.match(answer)
    return (int(found[1]), found[2] or "") if found is not None else (0, "")


MOST_OF_CODES = 14
"""Characters that decide: `550 5.123.456` and the one behind it."""
known_codes = lru_cache(maxsize=8192)(reply_codes)
"""`reply_codes` of the first MOST_OF_CODES characters, remembered: few answers begin in more than a handful of ways."""


def codes_of(answer: str) -> tuple[int, str]:
    """As `reply_codes`, remembered."""
    return known_codes(answer[:MOST_OF_CODES])


def is_lmtp(transport: str) -> bool:
    """Whether a transport of that name speaks LMTP, which only the mailboxes' own server does (RFC 2033 §1)."""
    return transport == "cyrusv2" or "lmtp" in transport.lower()


def is_loopback(ip: str) -> bool:
    """Whether it is an address of this machine alone."""
    return ip.startswith("127.") or ip == "::1"


def is_own(ip: str) -> bool:
    """Whether it is an address of this machine or of a private network."""
    networks = _BY_BEGINNING.get(ip[:2])
    return networks is not None and ip.startswith(networks)


def is_near(ip: str) -> bool:
    """Whether the server is here: behind a socket or a pipe (no address), on this machine or in a private network."""
    return not ip or is_own(ip)


def is_saved(answer: str, ip: str) -> bool:
    """Whether a near server answers as Dovecot's LMTP server does; a far one may say what it likes."""
    return answer.endswith(" Saved") and is_near(ip)


def named_mailbox(answer: str, recipient: str, original: str) -> tuple[str, str]:
    """Recipient and original, with the mailbox that the mailboxes' own server names in its answer as the recipient.

    Only for a local transport: a far server may name whom it likes.
    """
    found = _MAILBOX.match(answer)
    if found is None:
        return recipient, original
    named = found[1].lower()
    local, _, domain = named.rpartition("@")
    if named in (recipient, original) or f"{local.partition('+')[0]}@{domain}" == recipient:
        return recipient, original  # with the detail that it was addressed with
    return named, original or recipient


def next_queue_id(answer: str) -> str:
    """The id under which the next hop queued the message; the last one, for a filter quotes its own next hop."""
    for words in ("queued as ", " id="):
        place = answer.rfind(words, 0, _MOST_OF_ANSWER)
        if place >= 0:
            found = _NEXT_ID.match(answer, place + len(words))
            if found is not None:
                return found[0]
    return ""
