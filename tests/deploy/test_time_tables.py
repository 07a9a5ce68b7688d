"""The tables in the order of time against brute force: of random versions the newest counts, whatever came how often,
in which order, through merges, and through inserts that a view did not take. On the real engine.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.migrate import migrate
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import KEY, Attempt, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.settings import ClickHouseSettings
from postwatch.streams.sink.writer import ClickHouseWriter

from tests.slim_tables import differences
from tests.streams.joining.test_golden import LOGS, SERVER, lines_of, parser_of_all

pytestmark = pytest.mark.stack

HOUR_MS = 3_600_000
NOW_MS = time.time_ns() // 1_000_000 // HOUR_MS * HOUR_MS
OPEN = ("pending", "deferred")
Event = tuple[Any, ...]
_numbers = itertools.count(1)


def events_of(row: Outcome) -> Iterator[tuple[int, str, str, str]]:
    """What the row says to have happened: each attempt, and an end that is none."""
    for place, one in enumerate(row.attempts, 1):
        is_last = place == len(row.attempts) and (row.status in OPEN or one.status == row.status)
        yield one.at, one.status, one.reason or (row.reason if is_last else ""), one.source_ip
    if row.status not in OPEN and (not row.attempts or row.attempts[-1].status != row.status):
        yield row.updated_at, row.status, row.reason, row.source_ip


def newest(rows: Iterable[Outcome]) -> list[Outcome]:
    """Brute force: of each key the row with the highest version, unless it is a tombstone."""
    found: dict[tuple[Any, ...], Outcome] = {}
    for row in rows:
        key = tuple(getattr(row, name) for name in KEY)
        if key not in found or row.version >= found[key].version:
            found[key] = row
    return [row for row in found.values() if not row.is_deleted]


STATE = "server queue_id recipient account direction queued_at updated_at status reason size_bytes version".split()


class Tables:
    """The tables of one database; each example has an account of its own there."""

    def __init__(self, place: ClickHouseSettings) -> None:
        self.place = place
        self.client = connect(place)
        self._writer = ClickHouseWriter(place)

    def insert(self, rows: list[Outcome]) -> None:
        self._writer.insert("deliveries", pa.Table.from_batches([to_batch(rows)]))

    def insert_half(self, rows: list[Outcome], failing: str) -> None:
        """The insert fails in the view that fills a table; the sink tries again when it is mended."""
        self.client.command(f"ALTER TABLE {failing} ADD CONSTRAINT broken CHECK version = 0")
        try:
            if failing == "delivery_states" or any(row.is_deleted or list(events_of(row)) for row in rows):
                with pytest.raises(UnavailableError, match=f"not by the view .*to_{failing}"):
                    self.insert(rows)
        finally:
            self.client.command(f"ALTER TABLE {failing} DROP CONSTRAINT broken")
        self.insert(rows)

    def states(self, table: str, domain: str) -> list[Event]:
        columns = ", ".join(f"toUnixTimestamp64Milli({one})" if one.endswith("_at") else one for one in STATE)
        if "now" in table:
            columns = columns.replace("version", "0")
        return self._sorted(f"SELECT {columns} FROM {table} WHERE account_domain = {{domain:String}}", domain)

    def events(self, table: str, domain: str) -> list[Event]:
        return self._sorted(
            f"SELECT toUnixTimestamp64Milli(at), status, reason, source_ip FROM {table}"
            " WHERE account_domain = {domain:String}",
            domain,
        )

    def _sorted(self, sql: str, domain: str) -> list[Event]:
        # As dashboards ask: no setting of ours.
        return sorted(tuple(row) for row in self.client.query(sql, parameters={"domain": domain}).result_rows)

    def check(self, rows: Iterable[Outcome], domain: str) -> None:
        """Every table and view has what brute force has."""
        right = newest(rows)
        states = sorted(tuple(getattr(row, name) for name in STATE) for row in right)
        for table in ("delivery_states FINAL", "deliveries FINAL"):
            assert self.states(table, domain) == states
        assert self.states("deliveries_now", domain) == [(*state[:-1], 0) for state in states]
        events = sorted(event for row in right for event in events_of(row))
        for table in ("delivery_events FINAL", "events"):
            assert self.events(table, domain) == events


@pytest.fixture(scope="module")
def tables(clickhouse: EmbeddedClickHouse) -> Tables:
    place = replace(clickhouse.settings, database="time_tables", retention_days=3_650)
    migrate(connect(place, database=""), place)
    return Tables(place)


ENDS = ("bounced", "expired", "rejected", "discarded", "cancelled", "delivered")
REASONS = ("", "greylisted", "dns", "unknown-user")
at_ms = st.integers(-30 * 24, 0).map(lambda hours: NOW_MS + hours * HOUR_MS)
"""Hours of five weeks, so events lie in several partitions."""


@st.composite
def histories(draw: st.DrawFn) -> list[Outcome]:
    """The versions of one row, in order. Each knows the attempts of the one before, perhaps judged anew, and more."""
    queued_at = draw(at_ms) + draw(st.integers(0, HOUR_MS - 1))
    spans = st.one_of(st.integers(0, 3).map(lambda seconds: seconds * 1000), st.integers(0, 9 * 24 * HOUR_MS))
    times = sorted(queued_at + span for span in draw(st.lists(spans, max_size=6)))
    order: list[int] = draw(st.permutations(range(len(times))))
    end_at = (times or [queued_at])[-1] + draw(st.integers(0, 5000))
    base = Outcome(direction=draw(st.sampled_from(("sent", "received"))), server="web1", queued_at=queued_at)
    known: dict[int, Attempt] = {}
    rows: list[Outcome] = []

    def tell(status: str, **changes: Any) -> None:
        attempts = tuple(known[number] for number in sorted(known))
        updated_at = end_at if status not in OPEN else max([queued_at, *(one.at for one in attempts)])
        reason = draw(st.sampled_from(REASONS)) if status != "delivered" else ""
        row = base._replace(status=status, updated_at=updated_at, attempts=attempts, reason=reason, **changes)
        rows.append(row._replace(version=len(rows) + 1, size_bytes=len(rows)))

    flag = st.booleans()
    if draw(flag):
        tell("pending")
    for number in order:
        known[number] = Attempt(times[number], "deferred", reason=draw(st.sampled_from(REASONS)), source_ip="192.0.2.1")
        if draw(flag):
            tell("deferred")
    if len(known) > 0 and draw(flag):
        last = max(known)
        known[last] = known[last]._replace(status="bounced", reason="dns")
        tell("bounced")
    if draw(flag):
        tell(draw(st.sampled_from(ENDS)))
    if len(rows) > 0 and draw(flag):
        rows.append(rows[-1]._replace(version=len(rows) + 1, is_deleted=1))
        if draw(flag):
            rows.append(rows[-2]._replace(version=len(rows) + 1))
    return rows


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_the_newest_version_counts(tables: Tables, data: st.DataObject) -> None:
    domain = f"d{next(_numbers)}.example"
    versions: list[Outcome] = []
    for number, history in enumerate(data.draw(st.lists(histories(), min_size=1, max_size=6))):
        named: dict[str, Any] = {
            "account": f"anna@{domain}",
            "account_domain": domain,
            "queue_id": str(number),
            "recipient": "b@x.example",
        }
        versions += [row._replace(**named) for row in history]
    repeats = data.draw(st.lists(st.sampled_from(versions), max_size=5)) if versions else []
    told: list[Outcome] = data.draw(st.permutations([*versions, *repeats]))
    inserted: list[Outcome] = []
    while told:
        count = data.draw(st.integers(1, len(told)))
        batch, told = told[:count], told[count:]
        failing = data.draw(st.sampled_from(["", "", "", "delivery_states", "delivery_events"]))
        if failing:
            tables.insert_half(batch, failing)
        else:
            tables.insert(batch)
        inserted += batch
        if data.draw(st.integers(0, 3)) == 0:
            merged = data.draw(st.sampled_from(["deliveries", "delivery_states", "delivery_events"]))
            tables.client.command(f"OPTIMIZE TABLE {merged} FINAL")
    tables.check(inserted, domain)


def test_an_older_version_that_comes_later_changes_nothing_where_both_tell_the_same_moment(tables: Tables) -> None:
    domain = f"d{next(_numbers)}.example"
    older = Outcome(
        account=f"anna@{domain}",
        account_domain=domain,
        direction="sent",
        server="web1",
        queue_id="Q",
        queued_at=NOW_MS,
        updated_at=NOW_MS,
        status="pending",
        version=1,
    )
    newer = older._replace(status="bounced", version=2)
    tables.insert([newer])
    tables.insert([older])
    tables.check([older, newer], domain)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}-{log.stem}")
def test_what_the_join_tells_line_by_line(tables: Tables, log: Any) -> None:
    """Each line may change what is known: all rows that were ever told, and at the end those of the newest versions."""
    domain = f"d{next(_numbers)}.example"
    joiner, parser, counts, rows = Joiner(AccountBook(None)), parser_of_all(), LineCounts(), []
    for line in lines_of(log):
        joiner.add(SERVER, parse_lines(parser, [line], counts).events)
        rows += joiner.take_dirty()[0]
        for message in joiner.open_messages():
            rows += joiner.pending_rows(message)
    rows = [row._replace(account=f"{row.account_domain}|{row.account}", account_domain=domain) for row in rows]
    tables.insert(rows)
    tables.check(rows, domain)


def test_a_tombstone_hides_an_end_that_it_does_not_tell(tables: Tables) -> None:
    """A refusal turns out to be of a message that waits under another account: its row is retracted as that stands."""
    domain = f"d{next(_numbers)}.example"
    at = NOW_MS + 1000
    refused = Outcome(account_domain=domain, account="a", queued_at=at, updated_at=at, status="rejected", version=1)
    rows = [refused, refused._replace(status="pending", updated_at=at + 2000, version=2, is_deleted=1)]
    for row in rows:
        tables.insert([row])
    tables.check(rows, domain)


def test_a_judge_sees_what_differs(tables: Tables) -> None:
    """Of all that the tests have left here, nothing does, until a row is in one table only."""
    tables.insert([Outcome(queued_at=NOW_MS, updated_at=NOW_MS, attempts=(Attempt(NOW_MS, "deferred"),))])
    assert list(differences(tables.place)) == []
    tables.client.command("INSERT INTO delivery_states (k, queued_at, updated_at) VALUES (7, now(), now())")
    assert [found[:2] for found in differences(tables.place)] == [("delivery_states", "unexpected")]
    tables.client.command("DELETE FROM delivery_states WHERE k = 7")
    tables.client.command("DELETE FROM delivery_events WHERE n = 1")
    assert {found[:2] for found in differences(tables.place)} == {("delivery_events", "missing")}


def test_whatever_the_table_takes_the_views_take(tables: Tables) -> None:
    """Years that no calendar of the engine has, numbers at their ends, odd texts, more attempts than are kept."""
    domain = f"d{next(_numbers)}.example"
    base = Outcome(account_domain=domain, account="a", queued_at=NOW_MS, updated_at=NOW_MS)
    years = [-8_520_336_000_000, 0, 4_300_000_000_000, 10_413_791_999_999]
    rows = [
        *(base._replace(queue_id=f"q{at}", queued_at=at, updated_at=at, status="expired") for at in years),
        *(base._replace(queue_id=f"a{at}", attempts=(Attempt(at, "deferred"),)) for at in years),
        base._replace(queue_id="many", attempts=(Attempt(NOW_MS, "deferred"),) * 70_000, size_bytes=2**64 - 1),
        base._replace(queue_id="odd", recipient="@" * 300, status="\x00' OR 1", server="\ud7ff", version=2**64 - 1),
        base._replace(queue_id="none", recipient="", status=""),
    ]
    for row in rows:
        tables.insert([row])
    found = tables.client.query(
        "SELECT queue_id FROM delivery_states FINAL WHERE account_domain = {domain:String}",
        parameters={"domain": domain},
    ).result_rows
    names = {one for (one,) in found}
    assert len(names) == len(found)
    assert {
        row.queue_id for row in rows if row.updated_at == NOW_MS
    } <= names  # the TTL takes years that it cannot count
