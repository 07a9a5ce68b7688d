"""The commands of the reports, `postwatch report`, `trace`, `servers` and so on: options, output and exit status.

Exit status: 0 something was found, 1 nothing was found, 2 an error.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from typing import Any

from postwatch.producers.service.errors import BadInputError, PostwatchError
from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.settings import load
from postwatch.query.access.owners import open_owners
from postwatch.query.access.settings import AccessSettings
from postwatch.query.commands.following import follow
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.exports import to_json
from postwatch.query.files import FORMATS as FILE_FORMATS
from postwatch.query.files import NOT_OF_FILES, broken_off, file_texts
from postwatch.query.report_service import ReportService, open_report_service
from postwatch.query.reports.registry import AnyReport, load_report
from postwatch.query.reports.report import Answer, Filter
from postwatch.query.reports.server_states import ServerStates
from postwatch.query.reports.servers import silence
from postwatch.query.retirement import retire
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER
from postwatch.streams.settings import ClickHouseSettings
from rich.console import Console
from rich.text import Text

FORMATS = ("table", "json", "csv", "ndjson")
FOUND, NOTHING_FOUND, NOT_CERTAIN = 0, 1, 2
_OLDER = "older:"


class ReportCommand:
    """The command of one report."""

    def __init__(self, report: AnyReport) -> None:
        self._report = report

    def configure(self, parser: argparse.ArgumentParser) -> None:
        for one in self._report.filters:
            _add(parser, one)
        has_pages = any(one.name in NOT_OF_FILES for one in self._report.filters)
        parser.add_argument(
            "--format",
            choices=FORMATS,
            default="table",
            help="default: table"
            + ("; csv and ndjson hold all rows, unless --limit or --cursor asks for a page" if has_pages else ""),
        )
        parser.epilog = "Exit status: 0 if something was found, 1 if nothing was found, 2 if an error occurred."
        if self._report.can_follow:
            parser.add_argument("--follow", action="store_true", help="go on, and print what is new until Ctrl-C")
            parser.epilog += " With --follow: 130 after Ctrl-C."

    def run(self, arguments: argparse.Namespace) -> int:
        service = open_report_service(load(QuerySettings), load(ClickHouseSettings))
        service.owners = cache(_owners)
        return self.show(service, arguments)

    def show(self, service: ReportService, arguments: argparse.Namespace) -> int:
        """Data goes to standard output; notes do too beside a table, else to standard error."""
        report = self._report
        given = {one.name: getattr(arguments, one.name) for one in report.filters}
        question = report.question(**given)
        if report.can_follow and arguments.follow:
            follow(service, report, question, arguments.format)
        if arguments.format in FILE_FORMATS and not any(given.get(name) for name in NOT_OF_FILES):
            return self._show_all(service, question, arguments.format)
        answer, servers = service.ask(ENGINEER, report, question)
        if arguments.format == "table":
            print_answer(Console(highlight=False), report, answer, servers)
        elif report.names_one and not answer.rows:
            print(report.nothing_found(answer), file=sys.stderr)
        elif arguments.format == "json":
            print(to_json(report.shape(answer, [state.server for state in servers.stale()])))
        else:
            for text, _ in file_texts(report, iter((answer,)), arguments.format):
                sys.stdout.write(text)
            for note in _notes(report, answer, servers):
                print(note, file=sys.stderr)
        return FOUND if answer.rows else NOTHING_FOUND if report.is_certain(answer) else NOT_CERTAIN

    def _show_all(self, service: ReportService, question: Any, form: str) -> int:
        """The whole result, while it is read. After an error the last line says that rows are missing."""
        rows = 0
        try:
            for text, number in file_texts(self._report, service.pages(ENGINEER, self._report, question), form):
                sys.stdout.write(text)
                rows += number
        except PostwatchError:
            if rows:
                sys.stdout.write(broken_off(form))
            raise
        if warning := silence(service.servers(), ENGINEER):
            print(warning, file=sys.stderr)
        return FOUND if rows else NOTHING_FOUND


class ServersCommand(ReportCommand):
    """`postwatch servers`, `postwatch servers NAME`, and `postwatch servers retire NAME`."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        super().configure(parser)
        parser.add_argument(
            "action", nargs="?", metavar="NAME", help="show this server; or the word retire: it is gone on purpose"
        )
        parser.add_argument(
            "name", nargs="?", metavar="RETIRED", help="the server to retire; it is back when it sends again"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        if arguments.action is None:
            return super().run(arguments)
        if arguments.action != "retire":
            if arguments.name:
                raise BadInputError(f"{arguments.action!r} is not known: postwatch servers retire NAME")
            arguments.server = arguments.action
            return command_of("server").run(arguments)
        if not arguments.name:
            raise BadInputError("which server? postwatch servers retire NAME")
        retire(load(ClickHouseSettings), arguments.name, now_ms())
        print(f"{arguments.name} is retired. It is back when it sends again.")
        return FOUND


def command_of(name: str) -> ReportCommand:
    """The command of this name."""
    report = load_report(name)
    return ServersCommand(report) if name == "servers" else ReportCommand(report)


def _owners() -> OwnerNames:
    """Raises SettingsError where the lists can't be read; read only for a report that needs them."""
    return open_owners(load(AccessSettings)).names


def print_answer(console: Console, report: AnyReport, answer: Answer, servers: ServerStates) -> None:
    """An answer as a table, with its notes."""
    for part in report.table(answer, console.width):
        console.print(part)
    if not answer.rows and (words := report.nothing_found(answer)):
        console.print(Text(words))
    for note in _notes(report, answer, servers):
        # A cursor is there to be copied: in one piece, whatever the width.
        console.print(Text(note, "yellow"), soft_wrap=note.startswith(_OLDER))


def _notes(report: AnyReport, answer: Answer, servers: ServerStates) -> list[str]:
    """What is no part of the data: servers that are silent, and how to ask for the next page."""
    cursor = report.next_cursor(answer)
    return [note for note in (silence(servers, ENGINEER), f"{_OLDER} --cursor {cursor}" if cursor else "") if note]


def _add(parser: argparse.ArgumentParser, one: Filter) -> None:
    words = one.doc + (f": {', '.join(one.choices)}" if one.choices else "")
    if one.is_bare:
        nargs = None if one.is_required else "?"
        parser.add_argument(one.name, metavar=one.name.upper(), help=words, nargs=nargs, default=one.default)
    elif one.is_flag:
        parser.add_argument(f"--{one.name}", action="store_true", help=words)
    elif one.is_number:
        parser.add_argument(f"--{one.name}", type=int, default=one.default, metavar="N", help=words)
    else:
        parser.add_argument(f"--{one.name}", default=one.default, metavar=one.name.upper(), help=words)
