"""`postwatch report`: what became of an account's mail."""

from __future__ import annotations

import argparse
import sys

from postwatch.producers.service.settings import load
from postwatch.query.exports import to_csv, to_json
from postwatch.query.filters import MAX_PAGE_ROWS, STATUS_WORDS
from postwatch.query.report_service import ReportService, open_report_service
from postwatch.query.settings import QuerySettings
from postwatch.query.shapes import DeliveriesShape
from postwatch.query.terminal import print_account_report
from postwatch.query.wording import silence
from postwatch.streams.settings import ClickHouseSettings
from rich.console import Console


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "account",
        metavar="ACCOUNT",
        help="a mailbox (user@domain), a system user (root, or root@server), or a whole domain (@domain)",
    )
    parser.add_argument(
        "--recipient", default="", metavar="R", help="only this recipient: an address or a part of it, in either case"
    )
    parser.add_argument("--status", default="", metavar="S", help=f"only this status: {', '.join(STATUS_WORDS)}")
    parser.add_argument("--days", type=int, metavar="N", help="the last N days (default: 30, or all that is kept)")
    parser.add_argument(
        "--bounces",
        action="store_true",
        help="also the bounces that our servers made of a message that is listed anyway",
    )
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: table")
    parser.add_argument("--limit", type=int, metavar="N", help=f"rows of a page, 1 to {MAX_PAGE_ROWS} (default: 50)")
    parser.add_argument("--cursor", default="", help="the next page: the word that the page before ended with")


def run(arguments: argparse.Namespace) -> int:
    return print_report(open_report_service(load(QuerySettings), load(ClickHouseSettings)), arguments)


def print_report(service: ReportService, arguments: argparse.Namespace) -> int:
    """The report on standard output; whatever is no part of the data on standard error, unless it is the table's."""
    filters = service.filters(
        arguments.account,
        arguments.days,
        arguments.recipient,
        arguments.status,
        arguments.limit,
        arguments.cursor,
        arguments.bounces,
    )
    report = service.account(filters)
    servers = service.servers()
    if arguments.format == "table":
        print_account_report(Console(highlight=False), report, servers)
    elif arguments.format == "json":
        print(to_json(DeliveriesShape.of(report, servers)))
    else:
        sys.stdout.write(to_csv(report.rows))
        for notice in (silence(servers), f"older: --cursor {report.next_cursor}" if report.next_cursor else ""):
            if notice:
                print(notice, file=sys.stderr)
    return 0
