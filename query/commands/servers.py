"""`postwatch servers`: every server's last sign of life."""

from __future__ import annotations

import argparse

from postwatch.producers.service.settings import load
from postwatch.query.exports import to_json
from postwatch.query.report_service import ReportService, open_report_service
from postwatch.query.settings import QuerySettings
from postwatch.query.shapes import ServersShape
from postwatch.query.terminal import print_servers
from postwatch.streams.settings import ClickHouseSettings
from rich.console import Console


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(arguments: argparse.Namespace) -> int:
    return print_servers_report(open_report_service(load(QuerySettings), load(ClickHouseSettings)), arguments)


def print_servers_report(service: ReportService, arguments: argparse.Namespace) -> int:
    """The servers on standard output."""
    report = service.servers()
    if arguments.format == "json":
        print(to_json(ServersShape.of(report)))
    else:
        print_servers(Console(highlight=False), report)
    return 0
