"""The simulator's truth is what the join says of its lines; its lines are in order, plausible and reproducible."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from postwatch.deploy.cli import main
from postwatch.deploy.simulator import exim
from postwatch.deploy.simulator.files import Schedule, ServerLogs, play, write_bulk
from postwatch.deploy.simulator.simulation import LogLine, Simulation
from postwatch.deploy.simulator.truth import Truth
from postwatch.streams.contracts.outcome import KEY, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import read_domains
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.queue_ids import queued_at
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def simulate(
    seed: int, messages: int = 1500, hours: int = 60, servers: int = 5, postfix: int = 0
) -> tuple[Simulation, list[LogLine]]:
    """Mail of some days, and a rush just before the end."""
    simulation = Simulation(seed, servers, postfix)
    end_ms = START_MS + hours * HOUR_MS
    arrivals = [*range(START_MS, end_ms - 1000, hours * HOUR_MS // messages), *range(end_ms - 1000, end_ms, 100)]
    return simulation, list(simulation.lines(arrivals, end_ms))


def truth_of(lines: list[LogLine]) -> Counter[tuple[str, ...]]:
    truth = Truth()
    for line in lines:
        truth.apply(line.rows)
    return Counter(tuple(row) for row in truth.rows())


def joined(lines: list[LogLine], domains: dict[str, str]) -> Counter[tuple[str, ...]]:
    """What the join makes of the lines, in the fields of the truth."""
    joiner = Joiner(AccountBook(domains))
    parser = make_parser("auto", StampReader(ZoneInfo("UTC"), sent_ms=lines[-1].at_ms))
    counts = LineCounts()
    rows: dict[tuple[object, ...], Outcome] = {}

    def keep(outcomes: list[Outcome]) -> None:
        for row in outcomes:
            key = tuple(getattr(row, name) for name in KEY)
            if key not in rows or rows[key].version <= row.version:
                rows[key] = row

    for line in lines:
        parsed = parse_lines(parser, [line.text], counts)
        assert parsed.unreadable == [], line.text
        joiner.add(line.server, parsed.events)
        keep(joiner.take_dirty()[0])
    for message in joiner.open_messages():
        keep(joiner.pending_rows(message))
    return Counter(
        (
            row.server,
            "" if row.queue_id.startswith("r:") else row.queue_id,
            row.message_id,
            row.account,
            row.direction,
            row.sender,
            row.recipient,
            row.original_recipient,
            row.status,
        )
        for row in rows.values()
        if not row.is_deleted
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("postfix", [0, 2])
def test_the_join_tells_the_truth(seed: int, postfix: int) -> None:
    simulation, lines = simulate(seed, servers=2 if postfix else 5, postfix=postfix)
    assert joined(lines, simulation.provider.domains()) == truth_of(lines)


@pytest.mark.parametrize("postfix", [0, 5])
def test_the_truth_holds_wherever_the_log_ends(postfix: int) -> None:
    simulation, lines = simulate(seed=4, postfix=postfix)
    for end in (1, 10, 333, len(lines) // 2):
        assert joined(lines[:end], simulation.provider.domains()) == truth_of(lines[:end])


def test_a_second_shipper_of_a_log_whose_queue_ids_come_again_changes_nothing() -> None:
    simulation, lines = simulate(seed=1, servers=1, postfix=1)
    half = len(lines) // 2
    twice = lines[:half] + lines[:half] + lines[half:]
    assert joined(twice, simulation.provider.domains()) == truth_of(lines)
    assert joined(lines + lines, simulation.provider.domains()) == truth_of(lines)


def test_everything_happens() -> None:
    _, lines = simulate(seed=1)
    statuses = {row[-1] for row in truth_of(lines)}
    assert statuses == {
        *("pending", "deferred", "delivered", "bounced"),
        *("expired", "rejected", "discarded", "cancelled"),
    }
    text = "\n".join(line.text for line in lines)
    for shape in ("A=dovecot_login:", "U=", "<= <> R=", " -> ", " == ", " ** ", "removed by root", "retry time not"):
        assert shape in text
    for shape in (":blackhole:", "R=virtual_user", "rejected RCPT", "cwd=", "\\303", "protection.outlook.com"):
        assert shape in text


def test_everything_happens_to_postfix() -> None:
    _, lines = simulate(seed=1, servers=2, postfix=2)
    statuses = {row[-1] for row in truth_of(lines)}
    assert statuses == {"deferred", "delivered", "bounced", "expired", "rejected", "discarded", "cancelled"}
    text = "\n".join(line.text for line in lines)
    for shape in (
        ", sasl_username=",
        "/pickup[",
        "orig_to=<",
        "status=expired",
        "non-delivery notification",
        "/local[",
    ):
        assert shape in text
    for shape in ("/postsuper[", "/discard[", "temporarily suspended", "NOQUEUE: reject", "/lmtp[", "lost connection"):
        assert shape in text


def test_short_queue_ids_come_again_and_long_ones_tell_their_time() -> None:
    _, lines = simulate(seed=1, servers=2, postfix=2)
    begun: dict[str, list[tuple[str, int]]] = {"server1.simulated.example": [], "server2.simulated.example": []}
    for line in lines:
        if ": client=" in line.text:
            begun[line.server].append((line.text.split(": ")[1], line.at_ms))
    long_ids, short_ids = begun.values()
    assert len(dict(long_ids)) == len(long_ids)
    assert all(0 <= at_ms - queued_at(queue_id) <= 100 for queue_id, at_ms in long_ids)
    assert len(dict(short_ids)) < len(short_ids) / 2
    assert not any(queued_at(queue_id) for queue_id, _ in short_ids)


def test_the_showcase_has_mail_of_every_kind() -> None:
    simulation, lines = simulate(seed=1)
    statuses = {row[-1] for row in truth_of(lines) if row[3] == simulation.provider.showcase}
    assert statuses >= {"deferred", "delivered", "bounced", "expired"}


def test_lines_are_in_order_and_ids_tell_their_time_once() -> None:
    _, lines = simulate(seed=1)
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
    arrivals = [line for line in lines if " <= " in line.text]
    ids = [line.text.split(" ")[2] for line in arrivals]
    assert len(set(ids)) == len(ids)
    for line, queue_id in zip(arrivals, ids, strict=True):
        assert len(queue_id) == 16
        assert queued_at(queue_id) == line.at_ms // 1000 * 1000


def test_the_same_seed_gives_the_same_lines() -> None:
    assert simulate(seed=7, messages=200, postfix=2)[1] == simulate(seed=7, messages=200, postfix=2)[1]
    assert simulate(seed=7, messages=200)[1] != simulate(seed=8, messages=200)[1]


def test_a_subject_is_quoted_as_exim_quotes_it() -> None:
    assert exim.quote_subject("plain: => <text>") == '"plain: => <text>"'
    assert exim.quote_subject('a "b" \\ c') == '"a \\"b\\" \\\\ c"'
    assert exim.quote_subject("Grüße") == '"Gr\\303\\274\\303\\237e"'


def test_the_past_is_dense_near_now_and_the_present_follows_at_its_rate() -> None:
    schedule = Schedule(history_messages=1000, history_hours=10, messages_per_second=50, seconds=20)
    arrivals = list(schedule.arrivals(START_MS))
    past = [at_ms for at_ms in arrivals if at_ms < START_MS]
    assert arrivals == sorted(arrivals)
    assert len(past) == 1000
    assert past[0] >= START_MS - 10 * HOUR_MS - 1
    assert sum(at_ms > START_MS - HOUR_MS for at_ms in past) > 300
    assert 800 < len(arrivals) - len(past) < 1200
    assert arrivals[-1] < START_MS + 20_000


def test_files_domains_rotations_and_truth(tmp_path: Path) -> None:
    simulation = Simulation(seed=1, servers=2, postfix=1)
    schedule = Schedule(history_messages=200, history_hours=1, messages_per_second=200, seconds=0.5)
    with ServerLogs(tmp_path, simulation) as logs:
        (*_, count) = play(simulation, schedule, logs, threading.Event(), rotate_seconds=0.2)
        truth = json.loads(logs.write_truth().read_text())
    texts = [path.read_text() for path in tmp_path.glob("server*.simulated.example/mai*log*")]
    assert sum(text.count("\n") for text in texts) == count > 400
    assert (tmp_path / "server1.simulated.example" / "mainlog.2").exists()
    assert (tmp_path / "server2.simulated.example" / "maillog.2").exists()
    assert read_domains(str(tmp_path / "domains"), "--domains") == simulation.provider.domains()
    assert {row["status"] for row in truth} > {"delivered", "pending"}
    assert {row["server"] for row in truth} == {"server1.simulated.example", "server2.simulated.example"}


def test_stopping_early_leaves_whole_lines_and_their_truth(tmp_path: Path) -> None:
    simulation = Simulation(seed=1, servers=1)
    stopping = threading.Event()
    stopping.set()
    with ServerLogs(tmp_path, simulation) as logs:
        assert list(play(simulation, Schedule(10, 1, 1, 60), logs, stopping)) == [0]
        assert logs.truth.rows() == []


def test_bulk_writes_as_many_lines_as_asked(tmp_path: Path) -> None:
    size_bytes = write_bulk(tmp_path / "mainlog", 5000)
    content = (tmp_path / "mainlog").read_bytes()
    assert content.count(b"\n") == 5000
    assert len(content) == size_bytes


def test_the_command_writes_everything_and_names_the_showcase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(tmp_path / "fleet"), "--seconds", "0", "--history", "50", "--servers", "1"]) == 0
    assert "An account with mail of every kind: " in capsys.readouterr().out
    assert (tmp_path / "fleet" / "truth.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--servers", "0"), "--servers, --postfix: 0 servers: between 1 and 18"),
        (("--postfix", "6"), "--servers, --postfix: 6 of 5 servers can't run Postfix"),
        (("--rate", "-1"), "must not be negative"),
    ],
)
def test_numbers_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert main(["simulate", str(tmp_path), *words]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_with_logs_of_another_truth_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", str(tmp_path), "--seconds", "0", "--history", "1"]
    assert main(words) == 0
    assert main(words) == 1
    assert "mainlog can't be written: File exists; name a folder that holds no logs yet" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["simulate", str(tmp_path / "file")]) == 1
    assert "can't be written: Not a directory" in capsys.readouterr().err
