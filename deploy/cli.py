"""The `postwatch` command. A subcommand's module is imported only when it is called: a mail server needs no Faust.

A subcommand's module has `configure(parser)` and `run(arguments) -> int`, the exit status. A PostwatchError ends the
command with its one line on standard error and exit status 1; usage errors end with 2, as argparse has it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from postwatch.producers.service.errors import PostwatchError


class Command(NamedTuple):
    module: str
    extra: str
    """The extra of pyproject.toml that brings what the command needs."""
    summary: str


COMMANDS = {
    "demo": Command("deploy.commands.demo", "embedded", "five simulated servers, the whole way to a report"),
    "up": Command("deploy.commands.up", "embedded", "everything on this machine, on a folder that persists"),
    "report": Command("query.commands.report", "query", "what became of an account's mail"),
    "trace": Command("query.commands.trace", "query", "one message: its attempts and log lines"),
    "servers": Command("query.commands.servers", "query", "every server's last sign of life"),
    "serve": Command("query.commands.serve", "query", "the Track Delivery page and the JSON API"),
    "read": Command("streams.commands.read", "stream", "log files to rows, without Kafka"),
    "outcomes": Command("streams.commands.outcomes", "stream", "print the topic of outcomes as JSON"),
    "ship": Command("producers.commands.ship", "producer", "follow log files and publish their lines"),
    "join": Command("streams.commands.join", "stream", "join the lines of each message into outcomes"),
    "sink": Command("streams.commands.sink", "stream", "write outcomes to ClickHouse"),
    "migrate": Command("deploy.commands.migrate", "stream", "create or upgrade the tables"),
    "doctor": Command("deploy.commands.doctor", "query", "what is wrong, and what to do"),
    "simulate": Command("deploy.commands.simulate", "", "write plausible mail logs whose truth is known"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="postwatch",
        description="What became of every message on every mail server, within seconds and for 30 days.",
        epilog="`postwatch COMMAND --help` tells more of each.",
    )
    parser.add_argument("--version", action="version", version=f"postwatch {version('postwatch')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.summary, description=command.summary)
        if name == chosen:
            module = _import(name, command)
            module.configure(subparser)
            subparser.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    try:
        status = int(arguments.run(arguments))
        sys.stdout.flush()  # here, where a reader that is gone is expected, and not at the interpreter's exit
        return status
    except PostwatchError as error:
        print(f"postwatch {arguments.command}:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `postwatch read … | head`: the reader has what it wanted. Nothing may be flushed to the closed pipe at exit.
        sys.stdout = None
        return 141


def _import(name: str, command: Command):  # type: ignore[no-untyped-def]
    try:
        return importlib.import_module(f"postwatch.{command.module}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("postwatch."):
            raise
        print(
            f"postwatch {name}: the Python package {error.name!r} is missing; "
            f"install it with: pip install 'postwatch[{command.extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from error
