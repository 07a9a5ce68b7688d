"""Log files as rows, turn by turn: the joiner over what parsing gives, without Kafka and with bounded memory.

Invariant: what the turns say together does not depend on how the files are cut into blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from postwatch.streams.commands.laid_aside import LaidAside
from postwatch.streams.commands.parsing import Block, FileEnd
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import ReasonBook
from postwatch.streams.joining.failures import Failure, unfinished_entry
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, add_counts
from postwatch.streams.parsers.registry import WRAPPED
from postwatch.streams.parsers.suppressed import SUPPRESSED

_SHOWN_UNREADABLE = 5
_MESSAGES_A_TURN = 500
_NOT_OF_MAIL = ("no-stamp", "other-program", WRAPPED, "other", "headers", "continued", "repeated", SUPPRESSED)
"""Kinds of ignored lines that any file may hold, whatever its format."""


class Turn(NamedTuple):
    """What a block or the end of a file brought."""

    rows: list[Outcome]
    told: list[str]
    """Lines for standard error."""


class LogRows:
    """Take the turns of all files once."""

    def __init__(self, server: str, accounts: AccountBook, reasons: ReasonBook) -> None:
        self.counts = LineCounts()
        """Of the files that were read to their end."""
        self._server = server
        self._aside = LaidAside()
        self._joiner = Joiner(accounts, self._aside.find, reasons=reasons)
        self._failed: list[Failure] = []
        self._shown = 0

    def turns(self, parsed: Iterator[Block | FileEnd]) -> Iterator[Turn]:
        """Join all there is, then tell what is still open."""
        for one in parsed:
            if isinstance(one, Block):
                yield self._join(one)
            else:
                yield Turn([], self._end_file(one))
        still_open = iter(list(self._joiner.open_messages()))
        while some := list(islice(still_open, _MESSAGES_A_TURN)):
            yield Turn([row for message in some for row in self._joiner.pending_rows(message)], [])

    def _join(self, block: Block) -> Turn:
        told = []
        for reason, line in block.unreadable[: _SHOWN_UNREADABLE - self._shown]:
            self._shown += 1
            told.append(f"unreadable ({reason}): {line!a}")
        joiner = self._joiner
        joiner.add(self._server, block.events)
        rows, changed = joiner.take_dirty()
        rows += self._aside.tidy(joiner, changed)
        self._failed += joiner.take_failures()
        return Turn(rows, told)

    def _end_file(self, file: FileEnd) -> list[str]:
        told = [said for failure in self._failed for said in _failure_said(failure, file.counts)]
        self._failed.clear()
        warning = no_mail_said(file.name, file.counts)
        if warning:
            told.append(warning)
        for message in list(self._joiner.open_messages()):
            unfinished = unfinished_entry(message)
            if unfinished is not None:
                told += _failure_said(unfinished, file.counts)
                self._joiner.forget(message)
        add_counts(self.counts, file.counts)
        return told


def no_mail_said(name: str, counts: LineCounts) -> str:
    """What to say where nothing in a file looks like a mail log; else empty."""
    if sum(counts.ignored[kind] for kind in _NOT_OF_MAIL) < counts.lines:
        return ""
    if counts.lines:
        return f"{name} does not look like a mail log: none of its {counts.lines} lines is about a message"
    return f"{name} is empty"


def _failure_said(failure: Failure, counts: LineCounts) -> list[str]:
    """A message on which Postwatch failed, or an entry in pieces, whose lines were counted as events before."""
    if failure.error is not None:
        return [f"postwatch failed on message {failure.queue_id}: {failure.error!r}"]
    counts.events -= len(failure.lines)
    counts.unreadable[failure.reason] += len(failure.lines)
    return [f"unreadable ({failure.reason}): {line[:500]!a}" for line in failure.lines]
