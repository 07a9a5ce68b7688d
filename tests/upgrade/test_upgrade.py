"""What an earlier version stored is read by this one, and gives the same table as if nothing had happened.

`samples/COMMIT` holds what that commit really wrote, see `make_samples`. Where this version stores something in another
way, it reads both or migrates; a sample is never made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from postwatch.deploy.migrate import Migration, Place, migrate, read_migrations
from postwatch.producers.record import Heartbeat, decode_headers
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.heartbeat import decode_heartbeat
from postwatch.streams.contracts.outcome import to_json_object
from postwatch.streams.contracts.outcome_records import SCHEMA, decode_outcomes, encode_outcomes, from_table
from postwatch.streams.joining.stored_message import OPEN, decode_stored
from postwatch.streams.partition.partition_join import RANGES_KEY
from postwatch.streams.partition.processed_ranges import decode_ranges
from postwatch.streams.settings import ClickHouseSettings

from tests.producers.fakes import MailServer
from tests.streams.joining.test_golden import SERVER, ordered
from tests.streams.partition.test_partition_join import Kafka, Record, Worker, finish, table_rows

SAMPLES = sorted((Path(__file__).parent / "samples").iterdir())
FATE = ("account", "direction", "server", "queue_id", "recipient", "queued_at", "updated_at", "status", "log_lines")

pytestmark = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def raw_records(sample: Path) -> list[Record]:
    return [
        Record(
            number, one["key"].encode(), one["value"].encode(), [(name, text.encode()) for name, text in one["headers"]]
        )
        for number, one in enumerate(read_json(sample / "raw-records.json"))
    ]


def died(sample: Path) -> Kafka:
    """Topics, changelog and committed offset as the join of that version left them."""
    left = read_json(sample / "changelog.json")
    changelog = {bytes.fromhex(key): bytes.fromhex(value) for key, value in left["entries"].items()}
    rows = from_table(decode_outcomes((sample / "outcomes.arrow").read_bytes()))
    return Kafka(rows=rows, changelog=changelog, committed=left["committed"])


def fates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in FATE} for row in rows]


def undisturbed(sample: Path) -> list[dict[str, Any]]:
    """The table of a join that read everything in one life, and is of this version."""
    kafka = Kafka()
    finish(Worker(kafka), raw_records(sample), 0)
    return table_rows(kafka.rows)


def test_a_join_goes_on_where_the_earlier_version_died(sample: Path) -> None:
    kafka = died(sample)
    entries = [decode_stored(value) for key, value in kafka.changelog.items() if key != RANGES_KEY]
    assert {entry.closed_by_offset == OPEN for entry in entries} == {True, False}  # the sample holds both kinds
    finish(Worker(kafka), raw_records(sample), 10**6)
    assert fates(table_rows(kafka.rows)) == fates(undisturbed(sample))
    assert kafka.committed == len(raw_records(sample))
    assert kafka.letters == []


def test_marks_of_the_earlier_version_keep_repeated_lines_out(sample: Path) -> None:
    kafka = died(sample)
    marks = decode_ranges(kafka.changelog[RANGES_KEY])
    assert marks.servers[SERVER]
    records = raw_records(sample)
    again = [
        Record(kafka.committed + number, one.key, one.value, one.headers) for number, one in enumerate(records[:6])
    ]
    worker = Worker(kafka)
    worker.take(again)
    assert kafka.rows == died(sample).rows
    assert worker.counts.repeated_lines == sum(one.value.count(b"\n") for one in again)


def test_rows_that_come_again_from_this_version_change_no_fate(sample: Path) -> None:
    old = died(sample).rows
    fresh = Kafka()
    finish(Worker(fresh), raw_records(sample), 0)
    assert (
        fates(table_rows([*old, *fresh.rows])) == fates(table_rows([*fresh.rows, *old])) == fates(undisturbed(sample))
    )


def test_heartbeats_are_read(sample: Path) -> None:
    raw = read_json(sample / "raw-heartbeat.json")
    beat = decode_headers([(name, text.encode()) for name, text in raw["headers"]])
    assert isinstance(beat, Heartbeat)
    assert (beat.lag_bytes, beat.files) == (17, 2)
    row = decode_heartbeat((sample / "heartbeat.arrow").read_bytes()).to_pylist()[0]
    assert (row["server"], row["lag_bytes"]) == (raw["key"], 17)


def test_a_shipper_resumes_at_the_checkpoint(sample: Path, tmp_path: Path) -> None:
    server = MailServer(tmp_path)
    shutil.copy(sample / "mainlog", server.mainlog)
    text = (sample / "checkpoint.json").read_text()
    server.checkpoint_file.write_text(text.replace("/var/log/", f"{tmp_path}/"))
    server.crash()  # the new process reads the checkpoint
    server.pass_time(1000)
    saved = read_json(sample / "checkpoint.json")["files"][0]
    first = server.publisher.records[0]
    start = saved["acknowledged"]["byte_offset"]
    assert (first.headers.file, first.headers.byte_offset) == (saved["identity"]["fingerprint"], start)
    assert b"".join(record.value for record in server.publisher.records) == (sample / "mainlog").read_bytes()[start:]


@pytest.mark.stack
def test_tables_of_the_earlier_version_are_migrated_with_their_rows(
    sample: Path, make_database: Callable[[], ClickHouseSettings]
) -> None:
    settings = replace(make_database(), database=f"old_{sample.name}", retention_days=3_650)
    place = Place(settings.database, settings.retention_days)
    client = connect(settings, database="")
    for statement in place.preparations():
        client.command(statement)
    for path in sorted(sample.glob("*.sql")):
        migration = Migration(path.name, path.read_text())
        for statement in migration.statements(place):
            client.command(statement)
        row = [migration.name, migration.checksum]
        client.insert("migrations", [row], column_names=["name", "checksum"], database=settings.database)
    rows = died(sample).rows
    old_columns = [row[0] for row in connect(settings).query("DESCRIBE TABLE deliveries").result_rows]
    stored = decode_outcomes(encode_outcomes(rows))
    stored = stored.select([name for name in stored.column_names if name in old_columns])
    client.insert_arrow("deliveries", stored, database=settings.database)
    known = len(list(sample.glob("*.sql")))
    assert migrate(client, settings) == [f"applied {one.name}" for one in read_migrations()[known:]]
    found = from_table(
        connect(settings).query_arrow("SELECT * FROM deliveries FINAL").select(SCHEMA.names).cast(SCHEMA)
    )
    assert fates(ordered([to_json_object(row) for row in found])) == fates(table_rows(rows))
