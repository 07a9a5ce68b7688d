"""The `postwatch` command. A subcommand's module is imported only when it is called: a mail server needs no Faust.

A subcommand's module has `configure(parser)` and `run(arguments) -> int`, the exit status; those of the reports are
made from what query/reports lists. A PostwatchError ends the command with its one line on standard error and exit
status 1, or 2 where 1 means that nothing was found; usage errors end with 2, as argparse has it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, NoReturn

from postwatch.producers.service.errors import PostwatchError
from postwatch.producers.service.late_modules import late_modules
from postwatch.query.reports import LISTED


class Command(NamedTuple):
    module: str
    extra: str
    """The extra of pyproject.toml that brings what the command needs."""
    summary: str
    is_report: bool = False
    error_status: int = 1


COMMANDS = {
    "demo": Command("deploy.commands.demo", "embedded", "run five simulated servers, from their logs to a report"),
    "up": Command("deploy.commands.up", "embedded", "run all of Postwatch on this machine, with data that persists"),
    **{
        name: Command("query.commands.reports", "query", listing.summary, is_report=True, error_status=2)
        for name, listing in LISTED.items()
    },
    "serve": Command("query.commands.serve", "query", "serve the Track Delivery page and the JSON API"),
    "token": Command("query.commands.token", "query", "create, list and revoke API tokens"),
    "webhook": Command("query.commands.webhook", "query", "create, list and revoke webhooks"),
    "push": Command("query.commands.push", "query", "send new final statuses to webhooks"),
    "password": Command("query.commands.password", "query", "make a line for the password file"),
    "handover": Command("query.commands.handover", "query", "make a link that opens the page for one mailbox"),
    "verify": Command("query.commands.verify", "query", "check a proof of delivery, without a server", error_status=2),
    "proof-key": Command("query.commands.proof_key", "query", "make the key that signs proofs of delivery"),
    "read": Command("streams.commands.read", "stream", "turn log files into rows, without Kafka", error_status=2),
    "outcomes": Command("streams.commands.outcomes", "stream", "print each new outcome as JSON"),
    "ship": Command("producers.commands.ship", "producer", "follow log files and publish their lines"),
    "join": Command("streams.commands.join", "stream", "join the lines of each message into outcomes"),
    "sink": Command("streams.commands.sink", "stream", "write outcomes to ClickHouse"),
    "migrate": Command("deploy.commands.migrate", "stream", "create or upgrade the tables"),
    "erase": Command("deploy.commands.erase", "query", "erase an account or an address on request"),
    "doctor": Command("deploy.commands.doctor", "query", "check everything: what is wrong, and what to do"),
    "completion": Command("deploy.commands.completion", "query", "print the script that completes commands in a shell"),
    "simulate": Command("deploy.commands.simulate", "", "write realistic mail logs with known delivery statuses"),
}

_WITHOUT_TABLES = ("producer", "stream")
"""Extras whose commands print no table."""
_EXTRAS_OF_STRUCTLOG = ("rich", "greenlet")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = _make_parser({chosen})
    arguments = parser.parse_args(words)
    error_status = COMMANDS[arguments.command].error_status
    try:
        status = int(arguments.run(arguments))
        renewal = sys.modules.get("postwatch.producers.service.renewal")  # parts that look at their files bring it
        if renewal is not None and renewal.is_due():
            renewal.begin_anew()
        sys.stdout.flush()  # here, where a reader that is gone is expected, and not at the interpreter's exit
        return status
    except PostwatchError as error:
        print(f"postwatch {arguments.command}:", " ".join(str(error).split()), file=sys.stderr)
        return error_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `postwatch read … | head`: the reader has what it wanted. Nothing may be flushed to the closed pipe at exit.
        sys.stdout = None
        return 141
    except Exception:
        if error_status == 1:  # which is how Python ends on its own
            raise
        import traceback

        traceback.print_exc()
        return error_status


class _Version(argparse.Action):
    """As argparse's own, but what tells the version is loaded when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import version

        print(f"postwatch {version('postwatch')}")
        parser.exit()


def whole_parser() -> argparse.ArgumentParser:
    """The parser with the options of every command whose packages are here."""
    return _make_parser(set(COMMANDS), is_lenient=True)


def _make_parser(chosen: Collection[str | None], is_lenient: bool = False) -> argparse.ArgumentParser:
    """With the options of the chosen commands; lenient: without those of commands whose packages are missing."""
    parser = argparse.ArgumentParser(
        prog="postwatch",
        description="Tracks the delivery of every message on every mail server, within seconds and for 30 days.",
        epilog="Run `postwatch COMMAND --help` for the options of a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.summary, description=command.summary)
        if name in chosen and not (is_lenient and not _is_installed(command)):
            module = _import(name, command)
            part = module.command_of(name) if command.is_report else module
            part.configure(subparser)
            subparser.set_defaults(run=part.run)
    return parser


@contextmanager
def _without_extras() -> Iterator[None]:
    """structlog loads them where they happen to be installed: 7 MB and half of a start, for traces on a terminal."""
    hidden = [name for name in _EXTRAS_OF_STRUCTLOG if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python marks what must not be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _is_installed(command: Command) -> bool:
    try:
        importlib.import_module(f"postwatch.{command.module}")
    except ModuleNotFoundError:
        return False
    return True


def _import(name: str, command: Command):  # type: ignore[no-untyped-def]
    try:
        with ExitStack() as stack:
            if command.extra in _WITHOUT_TABLES:
                stack.enter_context(_without_extras())
            if command.extra == "producer":
                stack.enter_context(late_modules("asyncio", "ssl"))
            return importlib.import_module(f"postwatch.{command.module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("postwatch."):
            raise
        print(
            f"postwatch {name}: the Python package {error.name!r} is missing; "
            f"install it with: pip install 'postwatch[{command.extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(command.error_status) from error
