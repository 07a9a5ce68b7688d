"""The listed reports, loaded when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from postwatch.query.reports import LISTED
from postwatch.query.reports.report import Report

AnyReport = Report[Any, Any]


def load_report(command: str) -> AnyReport:
    """The report of this command."""
    module = importlib.import_module(f"postwatch.query.reports.{LISTED[command].module}")
    report: AnyReport = module.REPORT
    return report


def narrow_first(reports: Iterable[AnyReport]) -> list[AnyReport]:
    """In the order of their routes: a name that may hold slashes ends an address, and would take what follows it."""
    return sorted(reports, key=lambda report: report.path.endswith(":path}"))


def load_reports() -> dict[str, AnyReport]:
    """Every report by its command."""
    return {command: load_report(command) for command in LISTED}
