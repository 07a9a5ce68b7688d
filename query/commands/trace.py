"""`postwatch trace`: one message, its attempts and its log lines."""

from __future__ import annotations

import argparse

from postwatch.producers.service.settings import load
from postwatch.query.exports import to_json
from postwatch.query.report_service import ReportService, open_report_service
from postwatch.query.settings import QuerySettings
from postwatch.query.shapes import TraceShape
from postwatch.query.terminal import print_trace
from postwatch.streams.settings import ClickHouseSettings
from rich.console import Console


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", help="a queue id, a Message-ID (with or without <>), or a recipient's address"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(arguments: argparse.Namespace) -> int:
    return print_trace_report(open_report_service(load(QuerySettings), load(ClickHouseSettings)), arguments)


def print_trace_report(service: ReportService, arguments: argparse.Namespace) -> int:
    """The trace on standard output; exit status 1 where nothing is known of the id, as grep has it."""
    report = service.trace(arguments.id)
    if arguments.format == "json":
        print(to_json(TraceShape.of(report)))
    else:
        print_trace(Console(highlight=False), report, service.servers())
    return 0 if report.rows else 1
