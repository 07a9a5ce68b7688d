"""Exim's log through syslog: its entries, some in pieces, behind syslog's head."""

from __future__ import annotations

import datetime
import re

from postwatch.streams.parsers.events import Ignored, Parsed
from postwatch.streams.parsers.exim.main_log import STAMP, EximMainParser
from postwatch.streams.parsers.log_format import LogFormat
from postwatch.streams.parsers.syslog import Header
from postwatch.streams.parsers.timestamps import StampReader

_PIECE = re.compile(r"\[(\d++)(?:(\\)|/)\d++\] ")
_CONTINUED = Ignored("continued")


def read_message(header: Header, line: str, stamps: StampReader) -> Parsed:
    """Exim may put its own stamp behind syslog's, and counts the pieces of a long entry, `[1\\2] ` to `[2/2] `."""
    text = header.text[header.start :]
    piece = _PIECE.match(text)
    if piece is not None:
        if piece[1] != "1":
            return _CONTINUED
        text = text[piece.end() :]
    if not STAMP.match(text):
        moment = datetime.datetime.fromtimestamp(header.at / 1000, datetime.UTC)
        text = f"{moment:%Y-%m-%d %H:%M:%S} +0000 {text}"
    parser = EximMainParser(stamps)
    return parser.parse_cut(text) if piece is not None and piece[2] else parser.parse(text)


FORMAT = LogFormat("exim-syslog", programs=("exim", "exim4", "exim5"), read_message=read_message)
