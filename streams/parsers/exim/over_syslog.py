"""Exim's log through syslog: its entries, some in pieces, behind syslog's head."""

from __future__ import annotations

from postwatch.streams.parsers.events import Parsed
from postwatch.streams.parsers.exim.main_log import STAMP, EximMainParser
from postwatch.streams.parsers.exim.pieces import COUNT, read_piece, with_stamp
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """Exim may put its own stamp behind syslog's, and counts the pieces of a long entry: the join makes it whole."""
    count = COUNT.match(header.text, header.start)
    if count is not None:
        return read_piece(header, count, line, stamps)
    text = header.text[header.start :]
    return EximMainParser(stamps).parse(text if STAMP.match(text) else with_stamp(text, header.at))


FORMAT: LogFormat = LogFormat("exim-syslog", programs=("exim", "exim4", "exim5"), read_message=read_message)
