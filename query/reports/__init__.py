"""The reports: each is one module of this folder, listed here under the name of its command.

A new report is a module with a `REPORT` (see report.py for what it says) and a line in `LISTED`. Its command, help, API
route and page, and its output as a table, JSON and CSV come from that. This module imports nothing of the others:
`postwatch --help` reads it where the packages of the query side are not installed.
"""

from __future__ import annotations

from typing import NamedTuple


class Listing(NamedTuple):
    module: str
    """In this folder."""
    summary: str
    """The command's line in `postwatch --help`."""


LISTED = {
    "report": Listing("account", "find out what happened to an account's mail"),
    "trace": Listing("trace", "show one message with its attempts and log lines"),
    "search": Listing("search", "find mail of the whole fleet by an id, an address, a domain, a host or words"),
    "queue": Listing("queue", "show what waits in the queues now, for how long, and why"),
    "stats": Listing("statistics", "count what was sent or received, and what became of it"),
    "story": Listing("delivery", "tell what happened to one delivery, found by its id"),
    "bounces": Listing("bounces", "show who bounces, where and since when; what stands out first"),
    "dead-letters": Listing("dead_letters", "show the lines and rows that could not be used, and why"),
    "server": Listing("server", "show one mail server: lines, lag, formats, losses, clock and dead letters"),
    "servers": Listing("servers", "show the last heartbeat of every mail server"),
}
