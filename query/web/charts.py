"""What the charts of a page show: figures in the order of time, drawn by a script, and told by a table without one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass

from postwatch.query.reports.bounces_question import BouncesFilters
from postwatch.query.reports.failures import COURSE_BIN_MS, Failures
from postwatch.query.reports.report import DAY_MS
from postwatch.query.reports.statistics import Statistics
from postwatch.query.translation import gettext

HOUR_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    label: str
    kind: str
    """Its colour, by the name that the style sheet has for it."""
    figures: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    step_ms: int
    times_ms: tuple[int, ...]
    """Where each step begins, oldest first."""
    series: tuple[Series, ...]

    @property
    def points(self) -> str:
        """For the script."""
        series = [{"label": one.label, "kind": one.kind, "figures": one.figures} for one in self.series]
        return json.dumps(
            {"times": [at // 1000 for at in self.times_ms], "step": self.step_ms // 1000, "series": series}
        )

    @property
    def steps(self) -> list[tuple[int, tuple[int, ...]]]:
        """Each step with its figures, newest first; those with nothing are left out."""
        steps = zip(self.times_ms, zip(*(one.figures for one in self.series), strict=True), strict=True)
        return [step for step in steps if any(step[1])][::-1]

    @property
    def words(self) -> str:
        """What it shows, for those who do not see it."""
        said = [
            gettext(
                "%(label)s: %(sum)s in all, at most %(most)s", label=one.label, sum=sum(one.figures), most=max(figures)
            )
            for one in self.series
            if (figures := one.figures)
        ]
        return "; ".join(said)


def charts_of(answer: object) -> list[Chart]:
    """The charts of an answer; none where there is too little to show."""
    if isinstance(answer, Statistics):
        chart = _of_statistics(answer)
    elif isinstance(answer, Failures) and not answer.wanted.is_standing_out:
        chart = _of_failures(answer.wanted, answer.course)
    else:
        return []
    return [chart] if len(chart.steps) > 1 else []


def _of_statistics(answer: Statistics) -> Chart:
    is_hourly = answer.course_by == "hour"
    step_ms = HOUR_MS if is_hourly else DAY_MS
    found = {int(datetime.datetime.fromisoformat(one.value).timestamp()) * 1000: one for one in answer.course}
    times = tuple(range(min(found, default=0), max(found, default=-1) + 1, step_ms))

    def figures(name: str) -> tuple[int, ...]:
        return tuple(getattr(found[at], name) if at in found else 0 for at in times)

    series = (
        Series(gettext("Messages"), "accent", figures("messages")),
        Series(gettext("Waiting"), "pending", figures("waiting")),
        Series(gettext("Failed"), "failed", figures("failed")),
        Series(gettext("Rejected"), "discarded", figures("rejected")),
    )
    return Chart(gettext("By hour") if is_hourly else gettext("By day (UTC)"), step_ms, times, series)


def _of_failures(wanted: BouncesFilters, course: Sequence[tuple[int, int, int]]) -> Chart:
    found = {at: (failed, deferred) for at, failed, deferred in course}
    times = tuple(range(min(found, default=0), max(found, default=-1) + 1, COURSE_BIN_MS))
    failed = tuple(found.get(at, (0, 0))[0] for at in times)
    deferred = tuple(found.get(at, (0, 0))[1] for at in times)
    series = (Series(gettext("Failed"), "failed", failed), Series(gettext("Deferred"), "pending", deferred))
    return Chart(gettext("Attempts that failed, by quarter of an hour"), COURSE_BIN_MS, times, series)
