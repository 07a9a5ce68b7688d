"""`--follow`: a report that is asked again and again, and prints each row that it has not printed before.

A row that changes is printed again. What is remembered is bounded, and it is said where more came than one answer
holds.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any

from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.query.errors import TooLargeError
from postwatch.query.files import file_texts
from postwatch.query.filters import MAX_PAGE_ROWS
from postwatch.query.report_service import ReportService
from postwatch.query.reports.registry import AnyReport
from postwatch.query.viewer import ENGINEER
from rich.console import Console

EVERY_SECONDS = 2.0
LOOK_BACK_MS = 10 * 60 * 1000
"""What arrives later than so long after its event is not printed."""
MOST_KEYS = 50_000
FORMATS = ("table", "csv", "ndjson")


class Printed:
    """The keys of what was printed last, at most MOST_KEYS."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def is_new(self, key: Hashable) -> bool:
        if key in self._keys:
            self._keys.move_to_end(key)
            return False
        self._keys[key] = None
        if len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)
        return True


def follow(
    service: ReportService,
    report: AnyReport,
    question: Any,
    form: str,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Runs until it is interrupted. While a server is away it waits, and says so once."""
    if form not in FORMATS:
        raise BadInputError(f"--follow prints {', '.join(FORMATS)}, and no {form}")
    for name in ("until", "cursor"):
        if getattr(question, name, ""):
            raise BadInputError(f"--follow has no end: leave out --{name}")
    printed = Printed()
    is_first, is_away = True, False
    while True:
        try:
            answer = service.answer(ENGINEER, report, question)
        except (UnavailableError, TooLargeError) as error:
            if not is_away:
                print(f"{error}; still trying", file=sys.stderr)
            is_away = True
        else:
            is_away = False
            new = [row for row in answer.rows if printed.is_new(report.key_of(row))]
            if not is_first and len(new) == len(answer.rows) >= MAX_PAGE_ROWS:
                print(f"more than {MAX_PAGE_ROWS} came at once: some are left out", file=sys.stderr)
            _print(report, replace(answer, rows=tuple(reversed(new))), form, is_first)
            is_first = False
            question = report.newer(question, service.now_ms() - LOOK_BACK_MS)
        pause(EVERY_SECONDS)


def _print(report: AnyReport, answer: Any, form: str, is_first: bool) -> None:
    if form == "table":
        console = Console(highlight=False)
        for row in answer.rows:
            console.print(report.line(row, console.width), overflow="fold")
    elif form == "csv":
        sys.stdout.write(report.csv(answer, is_first))
    else:
        _write(text for text, _ in file_texts(report, iter((answer,)), form))
    sys.stdout.flush()


def _write(texts: Iterable[str]) -> None:
    for text in texts:
        sys.stdout.write(text)
