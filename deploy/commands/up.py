"""`postwatch up`: everything on this machine, on a folder that persists."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from postwatch.deploy.embedded.data_folder import claimed
from postwatch.deploy.embedded.process import Children
from postwatch.deploy.embedded.progress import Progress
from postwatch.deploy.embedded.stack import Shipper, Stack, StackBuilder, fetch_kafka
from postwatch.deploy.embedded.watch import watch
from postwatch.producers.service.lifecycle import stop_on_signal
from postwatch.producers.service.settings import is_set, load
from postwatch.producers.ship_settings import ShipSettings, server_name


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Run all of Postwatch on this machine: Apache Kafka, the ClickHouse engine, the
join, the sink, the Track Delivery page, and a shipper if POSTWATCH_SHIP_FILES
names log files. It needs neither Docker nor Java; Kafka is downloaded once.

A part that dies is restarted. Ctrl-C or SIGTERM stops all parts; the folder
keeps all data for the next start. All parts listen on loopback only, on a free
port where the usual one is taken."""
    parser.epilog = """\
All settings of all parts apply, except the addresses of Kafka and ClickHouse,
the folder of the join and the checkpoint file of the shipper: `up` sets these
itself.

example:
  POSTWATCH_SHIP_FILES=/var/log/exim4/mainlog=exim-main \\
  postwatch up --data /var/lib/postwatch"""
    parser.add_argument(
        "--data",
        type=Path,
        default=default_folder(),
        metavar="FOLDER",
        help="folder for all data and logs (default: %(default)s)",
    )


def default_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "postwatch"


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.data
    progress = Progress(sys.stderr)
    fetch_kafka(progress.tell)
    with claimed(folder) as lock, Children(held=[lock]) as children:
        stack = StackBuilder(folder, children, {}).build(_shippers(folder), progress.tell)
        stopping = stop_on_signal(signal.SIGHUP)
        is_told = False

        def turn() -> bool:
            nonlocal is_told
            if not is_told:
                print(describe(stack, folder), flush=True)
                is_told = True
            return False

        watch(stack.supervisor, progress, stopping, turn)
    return 0


def _shippers(folder: Path) -> list[Shipper]:
    if not is_set(ShipSettings, "files"):
        return []
    settings = load(ShipSettings)
    server_name(settings)  # the shipper would refuse it too, but in its own log
    checkpoint_file = folder.resolve() / "ship" / "checkpoint.json"
    return [Shipper("ship", {"POSTWATCH_SHIP_CHECKPOINT_FILE": str(checkpoint_file)}, settings.metrics_address)]


def describe(stack: Stack, folder: Path) -> str:
    """Where everything is, for the person who started it."""
    return f"""
Postwatch is up.

  Track Delivery   {stack.page}
  Kafka            {stack.kafka.brokers}
  ClickHouse       {stack.clickhouse.url}
  data and logs    {folder.resolve()}

Commands in another terminal need
  export POSTWATCH_KAFKA_BROKERS={stack.kafka.brokers} POSTWATCH_CLICKHOUSE_URL={stack.clickhouse.url}

Ctrl-C stops all parts.
"""
