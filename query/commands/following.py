"""`--follow`: a report that is asked again and again, and prints each row that it has not printed before.

A row that changes is printed again. What is remembered is bounded, and it is said where more came than one answer
holds.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.query.errors import TooLargeError
from postwatch.query.files import file_texts
from postwatch.query.filters import MAX_PAGE_ROWS
from postwatch.query.live.arrivals import OVERLAP_MS
from postwatch.query.report_service import ReportService
from postwatch.query.reports.registry import AnyReport
from postwatch.query.viewer import ENGINEER
from rich.console import Console

EVERY_SECONDS = 2.0
LOOK_BACK_MS = 10 * 60 * 1000
"""What happened since then is asked for by its time; what is inserted later, by when it was inserted."""
_MARGIN_MS = 2 * 60 * 1000
"""Times are asked for by the minute."""
INSERTS_ARE_KEPT_MS = 60 * 60 * 1000
"""So long it is known what was inserted when."""
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
    asked, looked_at = question, 0.0
    is_first, is_away = True, False
    while True:
        began = time.monotonic()
        window_ms = int((began - looked_at) * 1000) + OVERLAP_MS
        try:
            answer = service.answer(ENGINEER, report, question)
            before_ms = service.now_ms() - LOOK_BACK_MS + _MARGIN_MS
            late = () if is_first else _late(service, report, asked, window_ms, before_ms)
        except (UnavailableError, TooLargeError) as error:
            if not is_away:
                print(f"{error}; still trying", file=sys.stderr)
            is_away = True
        else:
            if not is_first and window_ms > INSERTS_ARE_KEPT_MS:
                print("the last look was an hour ago: what came late since then is left out", file=sys.stderr)
            is_away, looked_at = False, began
            new = [[row for row in rows if printed.is_new(report.key_of(row))] for rows in (answer.rows, late)]
            if not is_first and any(len(some) >= MAX_PAGE_ROWS for some in new):
                print(f"more than {MAX_PAGE_ROWS} came at once: some are left out", file=sys.stderr)
            _print(report, replace(answer, rows=tuple(row for some in new[::-1] for row in some[::-1])), form, is_first)
            is_first = False
            question = report.newer(question, service.now_ms() - LOOK_BACK_MS)
        pause(EVERY_SECONDS)


def _late(service: ReportService, report: AnyReport, question: Any, window_ms: int, before_ms: int) -> Sequence[Any]:
    """Rows that were inserted within the window, of events before that time."""
    try:
        late = service.late(ENGINEER, report, question, window_ms, before_ms)
    except TooLargeError as error:
        print(f"{error}; what came late is left out", file=sys.stderr)
        return ()
    return late.rows if late else ()


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
