"""The filters beside Postfix, each read by a module of its own: what they say of a message that they were given.

Invariant: a filter's line is known by the program that syslog names, and by the id with which the line begins. What a
stranger wrote (addresses, a Message-ID, a subject) ties no message to another and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from postwatch.streams.parsers.events import Parsed
from postwatch.streams.parsers.postfix.filters.amavis import read_amavis
from postwatch.streams.parsers.postfix.filters.clamsmtp import read_clamsmtp
from postwatch.streams.parsers.postfix.filters.dovecot import read_dovecot
from postwatch.streams.parsers.postfix.filters.mailscanner import read_mailscanner
from postwatch.streams.parsers.postfix.filters.proxmox import read_proxmox
from postwatch.streams.parsers.postfix.filters.rspamd import read_rspamd

ReadFilter = Callable[[str, int, int, str], Parsed]
"""Text, start of the program's words, time, line."""

FILTERS: dict[str, ReadFilter] = {
    "amavis": read_amavis,
    "amavisd": read_amavis,
    "amavisd-new": read_amavis,
    "pmg-smtp-filter": read_proxmox,
    "MailScanner": read_mailscanner,
    "rspamd": read_rspamd,
    "dovecot": read_dovecot,
    "clamsmtpd": read_clamsmtp,
}
"""By the program's name, as syslog has it."""
