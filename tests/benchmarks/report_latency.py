"""How long an account report takes on a large table: made-up rows of 30 days, then the first page of many accounts.

The table is like a provider's: weekly partitions, mail that came in by time, few busy accounts and many quiet ones, one
row in ten still there in an old version too. Questions go the whole way: HTTP to ClickHouse, rows to objects. They
are those of the page, for its columns, its total and its counts; weeks without an insert are one part, as after a day.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from postwatch.query.report_service import open_report_service
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.report import DAY_MS
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER
from postwatch.query.web.columns import chosen_columns, read_fields
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.fleet_rows import merge_old_weeks
from tests.waiting import wait_until

DEFAULT_ROWS = 5_000_000
ACCOUNTS = 100_000
DOMAINS = 20_000
_ROWS_AT_A_TIME = 250_000
_FILL_SECONDS = 600.0
_MERGE_SECONDS = 300.0

_ROWS = f"""
SELECT
    toUInt32(floor(pow(cityHash64(number) / 18446744073709551616, 2) * {ACCOUNTS})) AS account_number,
    cityHash64(number, 1) AS chance,
    toString(number) AS digits,
    toInt64({{now_ms:Int64}} - {{days_ms:Int64}} * (1 - number / {{total:UInt64}})) AS at_ms,
    concat('d', toString(account_number % {DOMAINS}), '.example') AS domain,
    concat('user', toString(account_number), '@', domain) AS name,
    ['gmail.com', 'outlook.com', 'example.net'][1 + chance % 3] AS to_domain,
    concat('reader', toString(chance % 1000003), '@', to_domain) AS to,
    concat('client', toString(chance % 9973), '.example') AS client,
    concat(hex(chance), '@', domain) AS header_id,
    'gmail-smtp-in.l.google.com' AS mx,
    '142.250.0.27' AS mx_ip,
    concat('1tAbCd-', leftPad(digits, 11, '0'), '-AbCd') AS id,
    chance % 10 < 8 AS is_delivered,
    if(is_delivered, concat('250 2.0.0 OK ', digits, ' ', hex(chance), ' - gsmtp'),
        concat('550 5.1.1 The email account that you tried to reach does not exist ', hex(chance))) AS answer,
    concat('2026-11-23 13:42:18.123 ', id) AS stamp
FROM numbers({{first:UInt64}}, {{many:UInt64}})
"""
_INSERT = f"""
INSERT INTO {{database:Identifier}}.deliveries (
    account, account_domain, direction, server, queue_id, message_id, sender, recipient, client_host, client_ip,
    authenticated_as, auth_method, subject, size_bytes, queued_at, updated_at, delay_ms, status, result, smtp_code,
    enhanced_code, response, reason, remote_host, remote_ip, remote_provider, tls, router, transport,
    attempts.at, attempts.status, attempts.smtp_code, attempts.response, attempts.remote_host, attempts.remote_ip,
    log_lines, version
)
SELECT
    name, domain, 'sent', concat('web', toString(account_number % 500)), id, header_id, name, to, client, '192.0.2.7',
    name, 'dovecot_login', concat('Your order ', digits, ' of this week'), 1000 + chance % 100000,
    fromUnixTimestamp64Milli(at_ms), fromUnixTimestamp64Milli(at_ms + 1500), 1500,
    if({{pending:Bool}}, 'pending', if(is_delivered, 'delivered', 'bounced')),
    if({{pending:Bool}}, 'pending', if(is_delivered, 'accepted', 'failed')),
    if(is_delivered, 250, 550), if(is_delivered, '2.0.0', '5.1.1'), answer, if(is_delivered, '', 'unknown-user'),
    mx, mx_ip, 'Google', 'TLS1.3:TLS_AES_256_GCM_SHA384:256', 'dnslookup', 'remote_smtp',
    [fromUnixTimestamp64Milli(at_ms + 1500)], [if(is_delivered, 'delivered', 'bounced')], [if(is_delivered, 250, 550)],
    [answer], [mx], [mx_ip],
    [
        concat(stamp, ' <= ', name, ' H=', client, ' [192.0.2.7] P=esmtpsa A=dovecot_login:', name, ' S=', digits,
            ' id=', header_id),
        concat(stamp, ' => ', to, ' R=dnslookup T=remote_smtp H=', mx, ' [', mx_ip, '] C="', answer, '"')
    ],
    if({{pending:Bool}}, 1, 2)
FROM ({_ROWS}) WHERE NOT {{pending:Bool}} OR chance % 10 = 9
"""


class Latency(NamedTuple):
    """Of so many questions, in ms."""

    questions: int
    p50_ms: float
    p95_ms: float


class ReportLatency(NamedTuple):
    rows: int
    fill_seconds: float
    busy: Latency
    """Accounts as often as they have mail."""
    quiet: Latency
    """Every account as often as any other."""
    narrowed: Latency
    """Accounts as in `busy`, one recipient's bounces only."""


def measure_report_latency(
    settings: ClickHouseSettings, rows: int = DEFAULT_ROWS, questions: int = 300
) -> ReportLatency:
    """Fill the migrated, empty database of `settings` with so many rows, and ask."""
    started = time.monotonic()
    fill(settings, rows)
    fill_seconds = time.monotonic() - started
    chance = random.Random(rows)
    busy = [int(chance.random() ** 2 * ACCOUNTS) for _ in range(questions)]
    quiet = [chance.randrange(ACCOUNTS) for _ in range(questions)]
    return ReportLatency(
        rows,
        fill_seconds,
        _ask(settings, busy),
        _ask(settings, quiet),
        _ask(settings, busy, recipient="reader7", status="failed"),
    )


def fill(settings: ClickHouseSettings, rows: int) -> None:
    """Make up the rows in the server, in the order of their time."""
    client = connect(settings, timeout_seconds=_FILL_SECONDS)
    parameters = {
        "database": settings.database,
        "now_ms": time.time_ns() // 1_000_000,
        "days_ms": settings.retention_days * DAY_MS,
        "total": rows,
    }
    for first in range(0, rows, _ROWS_AT_A_TIME):
        many = min(_ROWS_AT_A_TIME, rows - first)
        for pending in (True, False):
            client.command(_INSERT, parameters={**parameters, "first": first, "many": many, "pending": pending})
    # A table that grows at the pace of mail has its merges behind it.
    merges = "SELECT count() FROM system.merges"
    wait_until(lambda: client.query(merges).result_rows == [(0,)], "the parts are merged", seconds=_MERGE_SECONDS)
    merge_old_weeks(client, settings.database, ["deliveries"])


def _ask(
    settings: ClickHouseSettings, account_numbers: Sequence[int], recipient: str = "", status: str = ""
) -> Latency:
    service = open_report_service(QuerySettings(), settings)
    service.servers()  # the connection is made before the first question
    times_ms = []
    for number in account_numbers:
        question = AccountQuestion(f"user{number}@d{number % DOMAINS}.example", recipient=recipient, status=status)
        started = time.monotonic()
        service.answer(ENGINEER, ACCOUNT, question, read_fields(chosen_columns(ENGINEER, (), question.account)))
        times_ms.append((time.monotonic() - started) * 1000)
    percentiles = statistics.quantiles(times_ms, n=20)
    return Latency(len(times_ms), percentiles[9], percentiles[18])
