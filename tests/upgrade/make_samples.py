"""`python -m tests.upgrade.make_samples FOLDER`: everything that this version stores, as an upgrade finds it.

Run once for a version that is in use, and never again for the same one: the samples are what its files, topics and
tables really held. The scene is a join that died in the middle of a day: messages open and parked, messages closed but
not yet committed, marks, outcomes on their way.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from postwatch.producers.files.checkpoint import Checkpoint, SavedFile, save_checkpoint
from postwatch.producers.files.discovery import FileKey
from postwatch.producers.files.fingerprint import HEAD_BYTES, Identity, Position, digest
from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.dead_letters import DeadLetter, LineOrigin, dead_letter_headers
from postwatch.streams.contracts.heartbeat import encode_heartbeat
from postwatch.streams.contracts.outcome_records import encode_outcomes

from tests.streams.joining.test_golden import HOSTING_DAY, SERVER, lines_of
from tests.streams.partition.test_partition_join import Kafka, Record, Worker, make_records

_CUTS = (3, 6, 9, 12, 15, 17, 20, 22, 24, 27, 30, 32)
_BEAT = Heartbeat(sent_ms=1_772_438_400_123, last_line_ms=1_772_438_399_000, lag_bytes=17, files=2, shipper_version="0")


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    log = HOSTING_DAY.read_bytes()
    (folder / "mainlog").write_bytes(log)
    records = make_records(lines_of(HOSTING_DAY), _CUTS)
    beat = Record(len(records), SERVER.encode(), b"", _BEAT.encode())
    _write_json(folder / "raw-records.json", [_plain(record.key, record.headers, record.value) for record in records])
    _write_json(folder / "raw-heartbeat.json", _plain(beat.key, beat.headers, beat.value))
    (folder / "heartbeat.arrow").write_bytes(encode_heartbeat(SERVER, _BEAT))
    _write_join(folder, records)
    letter = DeadLetter(b"2026-03-02 08:00:00 1vwyDG-0003aB-1X <= ?", "line", LineOrigin(SERVER, "file-1", 17), "why")
    _write_json(folder / "dead-letter.json", _plain(b"", dead_letter_headers(letter), letter.value))
    _write_checkpoint(folder, log)
    for migration in files("postwatch.deploy.clickhouse").iterdir():
        if migration.name.endswith(".sql"):
            (folder / migration.name).write_text(migration.read_text())


def _write_join(folder: Path, records: list[Record]) -> None:
    """What the topics and the changelog hold when the join dies."""
    kafka = Kafka()
    worker = Worker(kafka)
    now = 0
    for record in records[:9]:  # a minute between two records: what stays open is parked
        worker.take([record], now)
        now += 61_000
        for later in (0, 1):
            worker.join.tend(now + later, kafka.committed)
            kafka.confirm_all()
        if record.offset == 6:
            worker.commit()  # what closes behind it stays in the table
    worker.take(records[9:11], now)
    worker.join.tend(now + 6_000, kafka.committed)
    kafka.crash(len(kafka.in_flight))
    entries = {key.hex(): value.hex() for key, value in sorted(kafka.changelog.items())}
    _write_json(folder / "changelog.json", {"committed": kafka.committed, "entries": entries})
    (folder / "outcomes.arrow").write_bytes(encode_outcomes(kafka.rows))


def _write_checkpoint(folder: Path, log: bytes) -> None:
    """As a shipper leaves it that has read the first half of the log."""
    half = log.index(b"\n", len(log) // 2) + 1
    head = log[:HEAD_BYTES]
    position = Position(half, digest(log[max(0, half - 1024) : half]))
    identity = Identity("file-1", len(head), digest(head))
    saved = SavedFile(identity, position, "/var/log/mainlog", "/var/log/mainlog", FileKey(1, 2), is_finished=False)
    save_checkpoint(folder / "checkpoint.json", Checkpoint(1_772_438_400_000, (saved,)))


def _plain(key: bytes, headers: object, value: bytes) -> dict[str, object]:
    assert isinstance(headers, list)
    return {
        "key": key.decode(),
        "headers": [[name, content.decode()] for name, content in headers],
        "value": value.decode(),
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if target.exists():
        shutil.rmtree(target)
    main(target)
