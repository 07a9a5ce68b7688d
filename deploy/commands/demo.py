"""`postwatch demo`: five simulated servers, the whole way to a report."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from postwatch.deploy.demo import Demo
from postwatch.deploy.demo_accounts import ENGINEER_NAME, PASSWORD, accounts_of
from postwatch.deploy.embedded.data_folder import claimed
from postwatch.deploy.embedded.process import Children
from postwatch.deploy.embedded.progress import Progress
from postwatch.deploy.embedded.stack import Shipper, StackBuilder, fetch_kafka
from postwatch.deploy.embedded.watch import watch
from postwatch.deploy.simulator.fleet import SimulatedFleet
from postwatch.deploy.simulator.mailboxes import SimulatedMailboxes
from postwatch.producers.service.lifecycle import stop_on_signal
from postwatch.query.proofs.keys import make_key_file

SERVERS = 5
POSTFIX_SERVERS = 1
HISTORY_MESSAGES = 500
MESSAGES_PER_SECOND = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        f"Run all of Postwatch over a temporary folder with {SERVERS} simulated Exim servers that write their logs "
        "there: one shipper for each, Apache Kafka, the join, the sink, the ClickHouse engine and the Track Delivery "
        "page. Prints the report of one account and runs until Ctrl-C, which also removes the folder."
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="stop after the report; exit status 0 if the table has every simulated recipient with its true status",
    )


def run(arguments: argparse.Namespace) -> int:
    progress = Progress(sys.stderr)
    fetch_kafka(progress.tell)
    folder = Path(tempfile.mkdtemp(prefix="postwatch-demo-"))
    status = 1
    try:
        status = _run(folder, progress, once=arguments.once)
    finally:
        if status == 0:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            progress.tell(f"the folder is kept, so that you can see what went wrong: {folder}")
    return status


def _run(folder: Path, progress: Progress, *, once: bool) -> int:
    fleet = SimulatedFleet(
        folder / "servers", SERVERS, POSTFIX_SERVERS, HISTORY_MESSAGES, MESSAGES_PER_SECOND, is_broken=True
    )
    stopping = stop_on_signal(signal.SIGHUP)
    with contextlib.ExitStack() as opened:
        lock = opened.enter_context(claimed(folder))
        children = opened.enter_context(Children(held=[lock]))
        mailboxes = opened.enter_context(SimulatedMailboxes({one.name: PASSWORD for one in accounts_of(fleet)}))
        make_key_file(folder / "proof.pem")
        settings = {
            "POSTWATCH_JOIN_DOMAINS_FILE": str(fleet.folder / "domains"),
            "POSTWATCH_ACCESS_IMAP": mailboxes.address,
            "POSTWATCH_ACCESS_OWNERS": str(fleet.folder / "domains"),
            "POSTWATCH_ACCESS_RESELLERS": str(fleet.folder / "resellers"),
            "POSTWATCH_ACCESS_ENGINEERS": ENGINEER_NAME,
            "POSTWATCH_ACCESS_STATE": str(folder / "access.sqlite"),
            "POSTWATCH_PROOF_SIGNING_KEY_FILE": str(folder / "proof.pem"),
            "POSTWATCH_PROOF_ISSUER": "Simulated Hosting",
        }
        stack = StackBuilder(folder, children, settings).build(shippers_of(fleet, folder / "ship"), progress.tell)
        progress.tell(f"{SERVERS} simulated servers write mail logs; everything between them and you is starting")
        fleet.start()
        demo = Demo(fleet, stack, progress, once=once)
        try:
            watch(stack.supervisor, progress, stopping, demo.turn)
        finally:
            fleet.stop()
    return demo.exit_status if once else 0


def shippers_of(fleet: SimulatedFleet, checkpoints: Path) -> list[Shipper]:
    """One for each server, as it would run there."""
    return [
        Shipper(
            f"ship-{server.partition('.')[0]}",
            {
                "POSTWATCH_SHIP_SERVER": server,
                "POSTWATCH_SHIP_FILES": str(fleet.log_of(server)),
                "POSTWATCH_SHIP_TZ": "UTC",
                "POSTWATCH_SHIP_CHECKPOINT_FILE": str(checkpoints / f"{server}.json"),
            },
        )
        for server in fleet.servers
    ]
