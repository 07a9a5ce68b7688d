"""A fleet's rows of 30 days, made in the server.

A daily rhythm, few busy domains and many quiet ones, first versions that were replaced later, greylisting, bounces,
expiries, refusals, and what is open now.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client
from postwatch.query.reports.report import DAY_MS
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import wait_until

ARRIVING_ROWS_A_SECOND = 3_000
HOUR_MS = 3_600_000
TIMEOUT_SECONDS = 600.0
_ROWS_AT_A_TIME = 200_000
_MADE = "made.json"
_MERGE_SECONDS = 900.0

_ROW = """
SELECT
    number AS n,
    cityHash64(n) AS c,
    cityHash64(n, 1) AS c2,
    toUInt32(floor(pow(c / 18446744073709551616, 2) * 20000)) AS domain_number,
    concat('d', toString(domain_number), '.example') AS domain,
    concat('user', toString(c2 % 5), '@', domain) AS name,
    concat('web', toString(domain_number % 500), '.hosting.example') AS web,
    toUInt8(floor(pow(c2 % 1000003 / 1000003, 2) * 30)) AS provider,
    concat('Provider ', toString(provider)) AS provider_name,
    if(c2 % 8 = 0, toString(c % 5003), '') AS tail,
    concat('mx', toString(c % 4), '.p', toString(provider), tail, '.example') AS mx,
    tail = '' ? concat('203.0.113.', toString(provider)) : concat('100.', toString(64 + c2 % 61), '.',
        toString(c % 251), '.', toString(provider)) AS mx_ip,
    concat(c2 % 1009 < 4 ? 'orders' : concat('reader', toString(c % 1000003)), '@p', toString(provider), tail,
        '.example') AS reader,
    c % 10 < 7 ? concat('10.', toString(domain_number DIV 256), '.', toString(domain_number % 256), '.',
        toString(c2 % 5)) : concat('172.', toString(16 + c % 15), '.', toString(c2 % 253), '.', toString(c % 249))
        AS client_ip,
    concat('dsl-', replaceAll(client_ip, '.', '-'), '.isp', toString(domain_number % 40), '.example') AS client_host,
    concat('198.51.100.', toString(domain_number % 200)) AS ours,
    concat('1tAbCd-', leftPad(toString(n), 11, '0'), '-AbCd') AS id,
    concat(hex(c), '@', domain) AS header_id,
    toInt64(QUEUED) AS at_ms,
    c2 % 1000 AS u,
    {now_ms:Int64} - at_ms AS age_ms,
    ['greylisted', 'mailbox-full', 'connection', 'rate-limit', 'dns'][1 + c % 5] AS wait_reason,
    ['unknown-user', 'unknown-user', 'spam', 'mailbox-full', 'reputation', 'policy'][1 + c % 6] AS bounce_reason,
    multiIf(u < 880, 1, u < 920, 2, u < 950, 3, u < 960, 4, u < 965, 5, 6) AS kind,
    multiIf(kind = 1, 'delivered', kind = 2, 'delivered', kind = 3, 'bounced', kind = 4, 'rejected', kind = 5,
        'discarded', age_ms > 345600000, 'expired', 'deferred') AS last_status,
    if(kind = 2, 900000 + c % 3000000, 500 + c % 9000) AS took_ms,
    toUInt8(1 + least(greatest(age_ms, 0) / 14400000, 23)) AS tries,
    multiIf(kind = 1 OR kind = 3, [at_ms + took_ms],
        kind = 2, [at_ms + 1000, at_ms + took_ms],
        kind = 6, arrayMap(i -> at_ms + 1000 + i * 14400000, range(tries)),
        []) AS times,
    arrayMap(i -> if(kind = 6 OR (kind = 2 AND i = 1), 'deferred', last_status), arrayEnumerate(times)) AS statuses,
    multiIf(last_status = 'expired', 'expired', last_status = 'deferred', wait_reason, kind = 3, bounce_reason,
        kind = 4, 'policy', kind = 5, 'spam', '') AS why,
    multiIf(last_status = 'expired', at_ms + 345600000, empty(times), at_ms, times[-1]) AS updated_ms,
    multiIf(last_status = 'delivered', concat('250 2.0.0 OK ', hex(c), ' - gsmtp'),
        bounce_reason = 'mailbox-full', concat('552 5.2.2 The recipient is over quota ', hex(c)),
        concat('550 5.1.1 The account that you tried to reach does not exist ', hex(c))) AS answer
"""
_INSERT = f"""
INSERT INTO deliveries (
    account, account_domain, direction, server, queue_id, message_id, sender, recipient, client_host, client_ip,
    authenticated_as, subject, size_bytes, queued_at, updated_at, delay_ms, status, result, smtp_code, response, reason,
    remote_host, remote_ip, remote_provider, transport, attempts.at, attempts.status, attempts.smtp_code,
    attempts.response, attempts.remote_host, attempts.remote_ip, attempts.reason, attempts.source_ip, log_lines,
    version, source_ip
)
SELECT
    name, domain, 'sent', web, id, header_id, name, reader, client_host, client_ip, name,
    concat('Your order ', toString(n)), 1000 + c % 100000, fromUnixTimestamp64Milli(at_ms),
    fromUnixTimestamp64Milli(first ? first_ms : updated_ms), 0,
    first ? first_status : last_status AS told,
    multiIf(told = 'delivered', 'accepted', told IN ('pending', 'deferred'), 'pending',
        told = 'discarded', told, 'failed'),
    told = 'delivered' ? 250 : 550, first ? '' : answer, first ? '' : why, mx, mx_ip,
    provider_name, 'remote_smtp',
    arrayMap(t -> fromUnixTimestamp64Milli(t), told_times), arraySlice(statuses, 1, length(told_times)),
    arrayMap(t -> 250, told_times), arrayMap(t -> answer, told_times), arrayMap(t -> mx, told_times),
    arrayMap(t -> mx_ip, told_times),
    arrayMap(i -> statuses[i] = 'deferred' ? wait_reason : (statuses[i] = 'bounced' ? bounce_reason : ''),
        arrayEnumerate(told_times)),
    arrayMap(t -> ours, told_times),
    [concat(id, ' <= ', name, ' H=', client_host, ' [', client_ip, '] P=esmtpsa A=dovecot_login:', name,
        ' id=', header_id),
     concat(id, ' => ', reader, ' R=dnslookup T=remote_smtp H=', mx, ' C="', answer, '"')],
    toUInt64(updated_ms) * 4 + if(first, 0, 1), ours
FROM (
    SELECT *, {{first:Bool}} AS first, if(kind = 2, 'deferred', 'pending') AS first_status,
        if(kind = 2, times[1], at_ms) AS first_ms,
        first ? arraySlice(times, 1, kind = 2 ? 1 : 0) : times AS told_times
    FROM ({_ROW} FROM numbers({{from:UInt64}}, {{many:UInt64}}))
)
WHERE at_ms <= {{now_ms:Int64}} AND (first ? first_ms : updated_ms) <= {{now_ms:Int64}}
    AND (NOT first OR c % 6 = 0 OR kind = 2)
SETTINGS max_insert_threads = 1
"""
_OF_ALL_DAYS = (
    "{begin_ms:Int64} + 86400000 * (number / {total:Float64} * {days:Float64}"
    " - 0.8 * sin(6.283185307 * number / {total:Float64} * {days:Float64}) / 6.283185307)"
)
"""Most mail comes around noon of the first day's hour, and a ninth of that twelve hours later."""
_OF_NOW = "{now_ms:Int64} - 10000 - n % 2000"


def filled_rows(place: ClickHouseSettings, folder: Path, rows: int) -> FleetRows:
    """The rows of a database whose data lie in `folder`: filled now, or, where they are there already, as they are.

    Raises SystemExit where the folder has others.
    """
    told = folder / _MADE
    if told.exists():
        there = json.loads(told.read_text())
        if there["rows"] != rows:
            sys.exit(f"{folder} has {there['rows']:,} messages: ask for as many, or name another folder")
        made = FleetRows(place, rows, there["now_ms"])
        made.forget_arrivals()
        return made
    made = FleetRows(place, rows)
    made.fill()
    made.keep_unmerged()
    made.merge_old_weeks()
    told.write_text(json.dumps({"rows": rows, "now_ms": made.now_ms}))
    return made


def merge_old_weeks(client: Client, database: str, tables: Sequence[str]) -> None:
    """As a week that had no insert for a day is merged by itself."""
    weeks = (
        "SELECT DISTINCT partition_id, table FROM system.parts WHERE active AND database = {database:String}"
        " AND table IN {tables:Array(String)}"
    )
    newest = f"SELECT table, max(partition_id) FROM ({weeks}) GROUP BY table"
    parameters = {"database": database, "tables": list(tables)}
    current = {str(table): str(one) for table, one in client.query(newest, parameters=parameters).result_rows}
    for partition, table in client.query(weeks, parameters=parameters).result_rows:
        if current[str(table)] != partition:
            client.command(f"OPTIMIZE TABLE {table} PARTITION ID '{partition}' FINAL")


class FleetRows:
    """The rows of one database."""

    def __init__(self, place: ClickHouseSettings, rows: int, now_ms: int = 0) -> None:
        """`now_ms`: when the newest row was made; 0: it is made now."""
        self._place = place
        self._client = connect(place, timeout_seconds=TIMEOUT_SECONDS)
        self.rows = rows
        self.now_ms = now_ms or time.time_ns() // 1_000_000
        self._begin_ms = self.now_ms - place.retention_days * DAY_MS + HOUR_MS

    def fill(self) -> None:
        """The rows of all days, in the order of time."""
        for first in range(0, self.rows, _ROWS_AT_A_TIME):
            self._insert(self._client, _OF_ALL_DAYS, first, min(_ROWS_AT_A_TIME, self.rows - first))
        wait_until(self._is_merged, "the parts are merged", seconds=_MERGE_SECONDS)

    def forget_arrivals(self) -> None:
        """The rows that arrived in an earlier run."""
        for table in self._tables():
            condition = "queued_at > fromUnixTimestamp64Milli({now_ms:Int64})"
            self._client.command(
                f"ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 1",
                parameters={"now_ms": self.now_ms},
            )

    def keep_unmerged(self) -> None:
        """Another database with the same parts, which no merge changes: as before old weeks were merged by force."""
        there = f"{self.unmerged_database}.deliveries"
        self._client.command(f"CREATE DATABASE {self.unmerged_database}")
        self._client.command(f"CREATE TABLE {there} AS deliveries")
        self._client.command(f"ALTER TABLE {there} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")
        self._client.command(f"ALTER TABLE {there} REMOVE TTL")
        partitions = (
            "SELECT DISTINCT partition_id FROM system.parts"
            " WHERE active AND database = {database:String} AND table = 'deliveries'"
        )
        for (partition,) in self._client.query(partitions, {"database": self._place.database}).result_rows:
            self._client.command(f"ALTER TABLE {there} ATTACH PARTITION ID '{partition}' FROM deliveries")

    @property
    def unmerged_database(self) -> str:
        return f"{self._place.database}_unmerged"

    def merge_old_weeks(self) -> None:
        merge_old_weeks(self._client, self._place.database, self._tables())

    def _tables(self) -> list[str]:
        """Deliveries, and what is filled from them by week."""
        sql = "SELECT name FROM system.tables WHERE database = {database:String} AND partition_key LIKE 'toMonday%'"
        return [str(name) for (name,) in self._client.query(sql, {"database": self._place.database}).result_rows]

    def _insert(self, client: Client, queued: str, first: int, many: int) -> None:
        parameters = {
            "now_ms": self.now_ms if queued == _OF_ALL_DAYS else time.time_ns() // 1_000_000,
            "begin_ms": self._begin_ms,
            "days": self._place.retention_days - 1 / 24,
            "total": self.rows,
            "from": first,
            "many": many,
        }
        statement = _INSERT.replace("QUEUED", queued)
        for is_first in (True, False):
            client.command(statement, parameters={**parameters, "first": is_first})

    def _is_merged(self) -> bool:
        return self._client.query("SELECT count() FROM system.merges").result_rows == [(0,)]

    @contextmanager
    def arrivals(self) -> Iterator[Callable[[], float]]:
        """Rows of now arrive while the body runs; yields a function that says how many a second came."""
        stopping, first, come, started = threading.Event(), threading.Event(), [0], time.monotonic()

        def insert() -> None:
            client = connect(self._place, timeout_seconds=TIMEOUT_SECONDS)
            while not stopping.is_set():
                due = int((time.monotonic() - started) * ARRIVING_ROWS_A_SECOND)
                many = min(due - come[0], 3 * ARRIVING_ROWS_A_SECOND)
                if many >= ARRIVING_ROWS_A_SECOND // 2:
                    self._insert(client, _OF_NOW, self.rows + come[0], many)
                    come[0] += many
                    first.set()
                else:
                    stopping.wait(0.05)

        thread = threading.Thread(target=insert)
        thread.start()
        try:
            if not first.wait(TIMEOUT_SECONDS):
                raise AssertionError("no row arrived")
            yield lambda: come[0] / (time.monotonic() - started)
        finally:
            stopping.set()
            thread.join()
