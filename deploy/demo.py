"""The course of a demo over a stack that works: wait for the simulated mail to arrive, report, judge.

Staying up, the report comes as soon as the mail of the past is in the table, and more mail goes on arriving. Once only,
the servers stop writing, and then the table must tell of every recipient what is true.
"""

from __future__ import annotations

import shutil
import sys
import time

from clickhouse_connect.driver.client import Client
from postwatch.deploy.demo_accounts import PASSWORD, accounts_of
from postwatch.deploy.embedded.progress import Progress
from postwatch.deploy.embedded.stack import Stack
from postwatch.deploy.simulator.fleet import SimulatedFleet
from postwatch.deploy.simulator.truth import TruthRow
from postwatch.deploy.simulator.verdict import Verdict, compare
from postwatch.producers.service.settings import load
from postwatch.query.commands.reports import print_answer
from postwatch.query.report_service import open_report_service
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings
from rich.console import Console

_LIVE_SECONDS = 4.0
"""So long the servers go on writing to a stack that works, if they are to stop at all."""
_PATIENCE_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.5
_REPORT_ROWS = 15


class Demo:
    """Call `turn` until it says that it was the last."""

    def __init__(self, fleet: SimulatedFleet, stack: Stack, progress: Progress, *, once: bool) -> None:
        self._fleet = fleet
        self._stack = stack
        self._progress = progress
        self._once = once
        self._began = 0.0
        self._look_at = 0.0
        self._expected: list[TruthRow] = []
        self._client: Client | None = None
        self._is_over = False
        self.exit_status = 1

    def turn(self) -> bool:
        """Look whether the mail has arrived, now and then. True: there is nothing more to do."""
        now = time.monotonic()
        self._began = self._began or now
        known = self._fleet.known()
        if self._is_over:
            return self._once
        if not self._expected:
            if not self._once:
                self._expected = known
            elif now > self._began + _LIVE_SECONDS:
                self._expected = self._fleet.stop()
        elif now > self._look_at:
            self._look_at = now + _LOOK_EVERY_SECONDS
            self._judge(known, now > self._began + _PATIENCE_SECONDS)
        return False

    def _judge(self, known: list[TruthRow], patience_ends: bool) -> None:
        verdict = compare(self._expected if self._once else self._still_true(known), self._table())
        has_arrived = verdict.is_right if self._once else not verdict.missing
        if not has_arrived and not patience_ends:
            self._progress.wait_for([f"the last of {len(self._expected):,} recipients"])
            return
        self._is_over = True
        self.exit_status = 0 if has_arrived else 1
        self._progress.tell(self._arrived(verdict) if has_arrived else self._not_arrived(verdict))
        self._report()

    def _still_true(self, known: list[TruthRow]) -> list[TruthRow]:
        """What was expected, without the rows that the servers have retracted since, with the statuses of now."""
        expected = {row[:-1] for row in self._expected}
        return [row for row in known if row[:-1] in expected]

    def _table(self) -> list[TruthRow]:
        self._client = self._client or connect(self._stack.clickhouse)
        rows = self._client.query(f"SELECT {', '.join(TruthRow._fields)} FROM deliveries FINAL").result_rows
        return [TruthRow(*row) for row in rows]

    def _arrived(self, verdict: Verdict) -> str:
        count = f"{len(self._expected):,}"
        if self._once:
            return f"the table is right: {count} recipients, each with its true status"
        return f"the mail of the last eight days, {count} recipients, is in the table; more arrives every second"

    def _not_arrived(self, verdict: Verdict) -> str:
        counts = f"{len(verdict.missing)} missing, {len(verdict.wrong)} wrong, {len(verdict.unexpected)} unexpected"
        lines = [f"the table is not right: {verdict.right:,} rows right, {counts}", *verdict.lines()]
        return "\n            ".join(lines)

    def _report(self) -> None:
        account = self._fleet.showcase
        service = open_report_service(load(QuerySettings), self._stack.clickhouse)
        mail, servers = service.ask(ENGINEER, ACCOUNT, AccountQuestion(account, limit=_REPORT_ROWS))
        console = Console(highlight=False)
        console.print(f"\nTrack Delivery of [bold]{account}[/bold]\n")
        print_answer(console, ACCOUNT, mail, servers)
        if not self._once:
            print(self._where(mail.rows[0].queue_id if mail.rows else ""), flush=True)

    def _where(self, queue_id: str) -> str:
        accounts = "\n".join(f"    {one.name:<32}{one.sees}" for one in accounts_of(self._fleet))
        postwatch = reach(self._stack.clickhouse.url)
        return f"""
  the same in a browser   {self._stack.page}
  log in there, with the password {PASSWORD!r}:
{accounts}

  one message             {postwatch} trace {queue_id}
  what stands out         {postwatch} bounces
  the servers             {postwatch} servers
  log files               {self._fleet.folder}/*/mai*log

More mail keeps arriving. Ctrl-C stops all parts and removes the folder.
"""


def reach(clickhouse_url: str) -> str:
    """How the command is called in another terminal, for these tables."""
    command = "postwatch" if shutil.which("postwatch") else sys.argv[0]
    is_usual = clickhouse_url == ClickHouseSettings().url
    return command if is_usual else f"POSTWATCH_CLICKHOUSE_URL={clickhouse_url} {command}"
