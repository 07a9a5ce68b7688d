"""Where questions are asked: the reports, bound to the settings, the tables and the clock.

The command line, the API and the page all ask here, so they can't disagree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import structlog
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.settings import load
from postwatch.query.concerned import ConcernedServers
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.errors import ForbiddenError
from postwatch.query.filters import AccountScope, OwnDomains
from postwatch.query.hops.follow import follow
from postwatch.query.hops.own_servers import NO_NAMES, OwnNames, OwnServers, all_servers, read_own_servers
from postwatch.query.identity import asker
from postwatch.query.letters import KafkaLetters, ReadLetters, no_letters
from postwatch.query.live.arrivals import Arrivals
from postwatch.query.reader import TableReader
from postwatch.query.reports.account_question import AccountQuestion, own_domains, read_question
from postwatch.query.reports.account_window import Window
from postwatch.query.reports.report import DAY_MS, Answered, Question, Report, Tables
from postwatch.query.reports.server_states import ServerStates
from postwatch.query.reports.servers import REPORT as SERVERS
from postwatch.query.reports.servers import ServersQuestion
from postwatch.query.row_keys import StoredKeys
from postwatch.query.settings import QuerySettings
from postwatch.query.statements import Delivery, Read
from postwatch.query.translation import gettext
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.settings import ClickHouseSettings, JoinSettings
from prometheus_client import Gauge

log = structlog.get_logger()

_RETIRED = Gauge(
    "postwatch_server_retired", "1 for each server that an engineer retired; read with each report.", ["server"]
)

_MOST_ASKED_CHARACTERS = 300
_SEES_LEAST = Viewer("live")
SERVERS_SECONDS = 1.0
_SERVERS_SHARE = 0.05
"""Most of its time that the service spends reading which servers are silent: of ten thousand it takes a while."""
_SERVERS_MOST_SECONDS = 10.0
"""Heartbeats come every half a minute."""


class ReportService:
    """Answers the questions of every report. Raises the errors of query/errors.py."""

    def __init__(
        self,
        read: Read,
        query_settings: QuerySettings,
        clickhouse_settings: ClickHouseSettings,
        join_settings: JoinSettings,
        now_ms: Callable[[], int] = now_ms,
        letters: ReadLetters = no_letters,
    ) -> None:
        self._read = read
        self._letters = letters
        self.owners: Callable[[], OwnerNames] = OwnerNames
        """Whose each domain is; whoever opens the service tells where the lists are."""
        self._page_rows = query_settings.page_rows
        self._open_ms = int(join_settings.give_up_after_days * DAY_MS) + DAY_MS  # and a day for clocks
        self._database = clickhouse_settings.database
        self.retention_days = clickhouse_settings.retention_days
        self._keys = StoredKeys(read, clickhouse_settings.database)
        self._concerned = ConcernedServers(read, clickhouse_settings.database, now_ms)
        self.live_pages = query_settings.live_pages
        self.live_seconds = query_settings.live_seconds
        self.now_ms = now_ms
        self._asking_servers = threading.Lock()
        self._servers: ServerStates | None = None
        self._servers_until = 0.0
        self._own = read_own_servers(query_settings.own_servers)
        self._known: tuple[str, ...] = ()
        self._known_until = 0.0
        self._names = NO_NAMES

    def answer(
        self,
        viewer: Viewer,
        report: Report[Question, Answered],
        question: Question,
        fields: frozenset[str] | None = None,
    ) -> Answered:
        """With these fields of each row at least; None: all. Raises ForbiddenError where the report is not for this
        viewer."""
        return report.answer(replace(self._tables(viewer, report, question), fields=fields), question)

    def late(
        self, viewer: Viewer, report: Report[Question, Answered], question: Question, window_ms: int, before_ms: int
    ) -> Answered | None:
        """What was inserted within the last `window_ms` though its last event was before `before_ms`."""
        return report.late(self._tables(viewer, report, question), question, window_ms, before_ms)

    def pages(self, viewer: Viewer, report: Report[Question, Answered], question: Question) -> Iterator[Answered]:
        """The whole result, a page at a time, each read when it is asked for. No query runs between two pages."""
        return report.pages(self._tables(viewer, report, question), question)

    def _tables(self, viewer: Viewer, report: Report[Question, Answered], question: Question) -> Tables:
        tables = self.tables(viewer, report.operation, question)
        if report.is_for_engineers and not viewer.is_engineer:
            raise ForbiddenError("%(title)s is for engineers only", title=gettext(report.title))
        return tables

    def tables(self, viewer: Viewer, operation: str, question: object) -> Tables:
        """What a question is answered from; that it was asked is noted."""
        self._audit(viewer, operation, question)
        return Tables(
            self._read,
            self._database,
            self.retention_days,
            self._page_rows,
            self._open_ms,
            self.now_ms(),
            viewer,
            self._letters,
            find_own=self._own_servers,
            find_owners=self.owners,
            find_ids=self._keys,
            find_names=self._own_names,
        )

    def window(self, viewer: Viewer, question: AccountQuestion) -> Window:
        """The rows of an account that an open page waits for. Raises FilterError."""
        self._audit(viewer, "live", question)
        wanted = read_question(question, self.retention_days, self._page_rows, self._keys)
        if isinstance(wanted.account, OwnDomains):
            wanted = replace(wanted, account=own_domains(viewer))
        since_ms = max(self.now_ms() - wanted.days * DAY_MS, wanted.since_ms or 0)
        names = NO_NAMES if viewer.is_engineer else self._own_names()
        return Window(viewer, self._database, wanted, since_ms, self._open_ms, names=names)

    def arrivals(self) -> Arrivals:
        """What is inserted from now on."""
        return Arrivals(self._read, self._database, self._follow_for_all, self._keys)

    def _follow_for_all(self, rows: Iterable[Delivery]) -> list[Delivery]:
        return follow(self._read, self._database, self._own_servers(), _SEES_LEAST, rows)

    def _own_servers(self) -> OwnServers | None:
        """None where there is no second server that a message could be handed to."""
        if not self._own.names and not self._own.networks and len(self._known_servers()) < 2:
            return None
        return self._own

    def _known_servers(self) -> tuple[str, ...]:
        """Names of the servers that have sent logs, as of the last seconds."""
        now = time.monotonic()
        if now >= self._known_until:
            self._known = tuple(str(name) for (name,) in self._read(all_servers(self._database)))
            self._names = OwnNames(self._known, self._own)
            self._known_until = time.monotonic() + _kept_seconds(now)
        return self._known

    def _own_names(self) -> OwnNames:
        self._known_servers()
        return self._names

    @staticmethod
    def _audit(viewer: Viewer, operation: str, question: object) -> None:
        """Who asks for whom, where people log in."""
        one = asker()
        if one is None or not one.method or viewer is ENGINEER:  # which servers are silent nobody has asked for
            return
        asked = next((str(word) for name in ("account", "id", "q") if (word := getattr(question, name, ""))), "")
        log.info(
            "report_asked",
            viewer=viewer.name,
            method=one.method,
            client=one.client,
            report=operation,
            asked=asked[:_MOST_ASKED_CHARACTERS],
        )

    def servers(self) -> ServerStates:
        """Which servers are silent, as of the last second, or of the last ten where they are many. It is shown with
        every report, to an engineer with their names."""
        with self._asking_servers:  # one asks, and the others wait for what it finds
            began = time.monotonic()
            if self._servers is None or not self._servers.servers or began >= self._servers_until:
                self._servers = None  # also where asking fails
                self._servers = self.answer(ENGINEER, SERVERS, ServersQuestion())
                _RETIRED.clear()
                for state in self._servers.servers:
                    if state.is_retired:
                        _RETIRED.labels(state.server).set(1)
                self._servers_until = time.monotonic() + _kept_seconds(began)
            return self._servers

    def servers_of(
        self, viewer: Viewer, account: AccountScope, states: ServerStates, seen: frozenset[str] | None = None
    ) -> ServerStates:
        """Those of the servers that the account's mail passes; `seen`, where a report has told them already."""
        if seen is not None:
            return states.of(seen)
        return states.of(self._concerned.of(viewer, account, self.now_ms() - self.retention_days * DAY_MS))

    def ask(
        self, viewer: Viewer, report: Report[Question, Answered], question: Question
    ) -> tuple[Answered, ServerStates]:
        """The answer, and which servers are silent."""
        answer = self.answer(viewer, report, question)
        if isinstance(answer, ServerStates) and not answer.is_narrowed:
            return answer, answer
        return answer, self.servers()


def _kept_seconds(began: float) -> float:
    """How long what was asked since then is believed."""
    return min(max((time.monotonic() - began) / _SERVERS_SHARE, SERVERS_SECONDS), _SERVERS_MOST_SECONDS)


def open_report_service(query_settings: QuerySettings, clickhouse_settings: ClickHouseSettings) -> ReportService:
    """A service over the real tables. Does not connect yet. Raises SettingsError."""
    return report_service(TableReader(query_settings, clickhouse_settings), query_settings, clickhouse_settings)


def report_service(read: Read, query_settings: QuerySettings, clickhouse_settings: ClickHouseSettings) -> ReportService:
    """A service that reads its tables so, and its dead letters from Kafka. Raises SettingsError."""
    letters = KafkaLetters(load(KafkaSettings))
    return ReportService(read, query_settings, clickhouse_settings, load(JoinSettings), letters=letters)
