"""`postwatch simulate`: mail servers that write plausible logs of Exim or Postfix, for demos and trials."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from postwatch.deploy.simulator.files import Schedule, ServerLogs, play
from postwatch.deploy.simulator.simulation import Simulation
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.lifecycle import stop_on_signal


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Write the logs of a hosting provider's mail servers: authenticated submissions,
mail from scripts, incoming mail, aliases and forwards, greylisting, bounces,
full mailboxes, rejections, mail still in the queue.

The past is written at once, then new messages as they come. The true status of
each recipient is known:

  FOLDER/SERVER/mainlog   one log for each server (`maillog` for Postfix);
                          time stamps are in UTC
  FOLDER/domains          the provider's domains, one `domain: owner` a line,
                          for POSTWATCH_JOIN_DOMAINS_FILE
  FOLDER/truth.json       written at the end: the status that the table should
                          show for every recipient"""
    parser.epilog = """\
examples:
  a minute of mail on five servers:
    postwatch simulate fleet
  about 400,000 lines at once, for load tests:
    postwatch simulate fleet --seconds 0 --history 100000
  a busy fleet whose logs are rotated:
    postwatch simulate fleet --rate 200 --rotate-every 20
  two servers with Exim, two with Postfix:
    postwatch simulate fleet --servers 4 --postfix 2"""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder to create; it must not contain simulated logs yet"
    )
    parser.add_argument("--servers", type=int, default=5, metavar="N", help="mail servers (default: %(default)s)")
    parser.add_argument(
        "--postfix",
        type=int,
        default=0,
        metavar="N",
        help="how many of these run Postfix instead of Exim (default: %(default)s)",
    )
    parser.add_argument(
        "--history", type=int, default=500, metavar="N", help="number of messages in the past (default: %(default)s)"
    )
    parser.add_argument(
        "--history-hours", type=float, default=48, metavar="H", help="hours of the past (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=5, metavar="R", help="messages a second from now on (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60, metavar="S", help="how many seconds to run (default: %(default)s)"
    )
    parser.add_argument(
        "--rotate-every",
        type=float,
        default=0,
        metavar="S",
        help="rotate the logs every S seconds (default: never)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of the random numbers: another seed gives another provider",
    )


def run(arguments: argparse.Namespace) -> int:
    numbers = (arguments.history, arguments.history_hours, arguments.rate, arguments.seconds, arguments.rotate_every)
    if min(numbers) < 0:
        raise BadInputError("--history, --history-hours, --rate, --seconds and --rotate-every must not be negative")
    try:
        simulation = Simulation(arguments.seed, arguments.servers, arguments.postfix)
    except ValueError as error:
        raise BadInputError(f"--servers, --postfix: {error}") from error
    schedule = Schedule(arguments.history, arguments.history_hours, arguments.rate, arguments.seconds, arguments.seed)
    stopping = stop_on_signal()
    count = 0
    with ServerLogs(arguments.folder, simulation) as logs:
        for count in play(simulation, schedule, logs, stopping, arguments.rotate_every):
            if sys.stderr.isatty():
                print(f"\r{count:,} lines", end="", file=sys.stderr, flush=True)
        truth_file = logs.write_truth()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(
        f"{count:,} lines of {arguments.servers} servers in {arguments.folder}; the true statuses are in {truth_file}"
    )
    print(f"An account with mail of every kind: {simulation.provider.showcase}")
    return 0
