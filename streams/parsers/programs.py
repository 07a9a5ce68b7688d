"""Programs, services and transports by their names: which answer by themselves, and which are the mailbox. Pure.

The names are an administrator's or a mailbox owner's, never a stranger's: they stand in aliases and configurations.
"""

from __future__ import annotations

from functools import lru_cache

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import ASIDE, REPLY

_REPLIES = r"(?i:auto[-_]?(?:respon|repl|answer)|vacation|out[-_]?of[-_]?office|gnarwl)"
_REPLY_SERVICE = compiled(rf"{_REPLIES}|address_reply")
"""`address_reply` is the transport of Exim's filters that answers."""
_REPLY_PROGRAM = compiled(rf"{_REPLIES}[^/]*+$")
_MAILBOX_PROGRAM = compiled(r"(?:^|/)(?:procmail|maildrop|dovecot-lda|deliver|sieve-?filter|fdm)$")
"""What Postfix's `mailbox_command` and people's `.forward` run to store a message."""
_PROGRAM = compiled(
    r"[|\"' ]*+(?:IFS=' ' *+&& *+)?+"
    r"(?:(?:exec|(?:[^\s\"'/]*+/)*+(?:env|perl|php|python|ruby|sh|bash)[0-9.]*+) ++(?:-\S++ ++)*+)*+"
    r"([^\s\"']++)"
)
"""The program that a command runs, behind `exec` or its interpreter."""


@lru_cache(maxsize=1024)
def is_reply_service(name: str) -> bool:
    """Whether a transport or a service of that name answers the sender instead of delivering."""
    return _REPLY_SERVICE.search(name) is not None


def what_runs(command: str) -> str:
    """REPLY for a command that answers by itself, empty for one that stores into the mailbox, else ASIDE."""
    found = _PROGRAM.match(command)
    if found is None:
        return ASIDE
    if _REPLY_PROGRAM.search(found[1]):
        return REPLY
    return "" if _MAILBOX_PROGRAM.search(found[1]) else ASIDE
