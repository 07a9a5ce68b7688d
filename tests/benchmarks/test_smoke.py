"""That every benchmark runs, and that what it counts is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.streams.joining.stored_message import decode_stored

from tests.benchmarks import shipping
from tests.benchmarks.__main__ import main
from tests.benchmarks.fetches import measure_fetches
from tests.benchmarks.flow import measure_live
from tests.benchmarks.freshness import measure_freshness
from tests.benchmarks.growth import PARTS, Point, measure, median_cost, panels, parked_entries, table
from tests.benchmarks.joining import measure_join
from tests.benchmarks.many_servers import DELIVERED_AFTER_MS, HEARTBEAT_EVERY_MS, ManyServers
from tests.benchmarks.servers import PARTS as FLEET_PARTS
from tests.benchmarks.servers import measure_servers, report
from tests.benchmarks.shipping import measure_quiet, measure_shipper, write_log
from tests.benchmarks.stack import Stack
from tests.benchmarks.workload import MIXES, PLAIN, SIMULATOR, prepare, read_records, server_name

TIMEOUT_SECONDS = 60.0


@pytest.fixture
def stack(tmp_path: Path, kafka: EmbeddedKafka, clickhouse: EmbeddedClickHouse) -> Stack:
    return Stack(tmp_path, kafka, clickhouse)


@pytest.mark.parametrize("mix", MIXES)
def test_records_are_what_the_workload_says(tmp_path: Path, mix: str) -> None:
    workload = prepare(tmp_path / "records", mix, lines=3000, servers=7, record_lines=20)
    records = list(read_records(workload.path))
    assert len(records) == workload.records
    assert sum(record.value.count(b"\n") for record in records) == workload.lines
    assert sum(len(record.value) for record in records) == workload.size_bytes
    assert len({record.server for record in records}) == 7
    ends: dict[str, int] = {}
    for server, byte_offset, value in records:
        assert byte_offset == ends.get(server, 0)
        ends[server] = byte_offset + len(value)


def test_a_plain_message_has_one_row(tmp_path: Path) -> None:
    workload = prepare(tmp_path / "records", PLAIN, lines=3000, servers=3, record_lines=None)
    arrivals = b"".join(record.value for record in read_records(workload.path)).count(b" <= ")
    assert workload.rows == arrivals > 800


def test_joining_is_measured() -> None:
    (run,) = measure_join(SIMULATOR, lines=2000, runs=1)
    assert run.lines == 2000
    assert run.rows >= run.encoded_rows > 0


def test_what_a_join_takes_for_its_records_is_measured(tmp_path: Path) -> None:
    workload = prepare(tmp_path / "records", PLAIN, lines=3000, servers=7, record_lines=20)
    (run,) = measure_fetches(workload, runs=1)
    assert (run.lines, run.records, run.rows) == (workload.lines, workload.records, workload.rows)
    assert run.cpu_seconds > 0


@pytest.mark.stack
def test_the_flow_ends_with_every_row(stack: Stack) -> None:
    workload = prepare(stack.folder / "records", SIMULATOR, lines=3000, servers=7, record_lines=20)
    run = measure_live(stack, workload, TIMEOUT_SECONDS)
    assert run.seconds >= run.busy_seconds > 0
    assert {"kafka", "clickhouse", "join", "sink"} <= run.cpu_seconds.keys()


@pytest.mark.stack
def test_a_shipper_is_measured(stack: Stack, tmp_path: Path) -> None:
    lines = write_log(tmp_path / "source", PLAIN, 3000)
    run = measure_shipper(stack, tmp_path / "source", lines, TIMEOUT_SECONDS)
    assert run.records > 0
    assert run.resident_bytes > 1e6


@pytest.mark.stack
def test_a_quiet_shipper_is_measured(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "QUIET_AFTER_MS", 0)
    monkeypatch.setattr(shipping, "_SETTLE_SECONDS", 0.0)
    run = measure_quiet(stack, 30, 1.0, TIMEOUT_SECONDS)
    assert run.files == 30
    assert 0 <= run.cpu_share < 2
    assert run.resident_bytes > 1e6


@pytest.mark.stack
def test_probes_come_through(stack: Stack) -> None:
    run = measure_freshness(stack, probes=3, lines_a_second=200, timeout_seconds=TIMEOUT_SECONDS)
    assert 0 < run.p50_seconds <= run.p95_seconds <= run.most_seconds


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jion"])
    assert "unknown: jion; there are join, fetch, backlog" in capsys.readouterr().err


@pytest.mark.stack
def test_growth_counts_the_workers_as_one_part_and_restores_what_is_parked(stack: Stack) -> None:
    cost = measure(
        stack, Point("parked messages", servers=3, partitions=2, parked=50, workers=2), 3000, TIMEOUT_SECONDS
    )
    assert set(cost.cpu_us) == set(cost.resident_mb) == set(PARTS)
    assert min(cost.resident_mb.values()) > 0
    assert "| 50 parked messages |" in table([median_cost([cost])])
    assert [panel.names for panel in panels([cost])] == [["50"], ["50"]]


def test_parked_messages_are_what_the_join_reads() -> None:
    entries = list(parked_entries(2500, 2))
    assert len({key for _, key, _ in entries}) == 2500
    assert {server for server, _, _ in entries} == {server_name(0), server_name(1)}
    assert not decode_stored(entries[-1][2]).message.is_closed()


def test_many_servers_send_what_was_asked_for() -> None:
    fleet = ManyServers(servers=50, lines_a_second=590, started_ms=0)
    sent = [record for now_ms in range(0, HEARTBEAT_EVERY_MS, 50) for record in fleet.send(now_ms, 50)]
    sent += fleet.rest(HEARTBEAT_EVERY_MS)
    assert fleet.heartbeats == len({record.server for record in sent if not record.value}) == 50
    assert fleet.messages == 2000
    assert fleet.lines == sum(record.value.count(b"\n") for record in sent) == 5900
    assert fleet.records == 2 * fleet.messages
    assert fleet.lines > 590 * (HEARTBEAT_EVERY_MS - DELIVERED_AFTER_MS) / 1000


@pytest.mark.stack
def test_a_fleet_of_servers_is_measured(stack: Stack) -> None:
    fleet = measure_servers(stack, servers=20, rate=200, seconds=8, timeout_seconds=TIMEOUT_SECONDS)
    assert fleet.fed.lines > 0
    assert min(fleet.resident_mb[part] for part in FLEET_PARTS) > 0
    assert len(fleet.probe_seconds) >= 1
    assert {"page of all servers", "postwatch doctor"} <= {one.name for one in fleet.questions}
    assert "| line written → row in its report |" in report(fleet)
