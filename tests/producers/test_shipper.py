"""What a mail server does to its logs, and what arrives of it."""

from __future__ import annotations

import gzip
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from postwatch.producers import ship_metrics, shipper
from postwatch.producers.files.checkpoint import Checkpoint, save_checkpoint
from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES, MAX_RECORD_BYTES

from tests.producers.fakes import MailServer
from tests.producers.files.compressing import COMPRESSORS, zstd

ANY_COMPRESSION = pytest.mark.parametrize("compression", COMPRESSORS)


@pytest.fixture
def server(tmp_path: Path) -> MailServer:
    return MailServer(tmp_path)


def counted(name: str) -> float:
    return ship_metrics.SHIP.values()[f"postwatch_ship_{name}_total"]


def test_lines_arrive_with_their_place_in_the_file(server: MailServer) -> None:
    server.write(b"one\n", b"two\n", b"thr")
    server.pass_time(1000)
    server.write(b"ee\n")
    server.pass_time(1000)
    first, second = server.publisher.records
    assert (first.value, first.headers.byte_offset, first.headers.end_offset) == (b"one\ntwo\n", 0, 8)
    assert (second.value, second.headers.byte_offset, second.headers.end_offset) == (b"three\n", 8, 14)
    assert first.headers.format == "exim-main"
    assert first.headers.tz == "UTC"
    assert first.headers.file == second.headers.file != ""


def test_a_trickle_waits_for_company(server: MailServer) -> None:
    server.mainlog.touch()
    server.pass_time(1000)
    server.write(b"one\n")
    server.shipper.turn()
    server.now_ms += 200
    server.write(b"two\n")
    server.shipper.turn()
    assert server.publisher.records == []
    server.now_ms += 50
    server.shipper.turn()
    assert [record.value for record in server.publisher.records] == [b"one\ntwo\n"]


def test_a_backlog_goes_out_at_once_in_full_records(server: MailServer) -> None:
    line = b"x" * 169 + b"\n"
    server.write(line * 5000)
    server.shipper.turn()
    assert [len(record.value) for record in server.publisher.records] == [MAX_RECORD_BYTES // 170 * 170] * 3
    server.pass_time(300)
    assert b"".join(record.value for record in server.publisher.records) == line * 5000


def test_nothing_is_read_that_kafka_has_no_room_for(server: MailServer) -> None:
    server.publisher.holds_back = True
    server.publisher.room_bytes = 2 * MAX_RECORD_BYTES
    server.write(b"line\n" * 500_000)
    pauses = counted("pauses")
    server.pass_time(3000)
    assert sum(len(record.value) for record in server.publisher.records) <= 3 * MAX_RECORD_BYTES
    assert counted("pauses") == pauses + 1
    server.pass_time(10_000)
    assert "no acknowledgement for" in server.health.complaints()["kafka"]
    server.publisher.holds_back = False
    server.pass_time(2000)
    assert sum(len(record.value) for record in server.publisher.records) == 2_500_000
    assert server.health.complaints() == {}


def test_heartbeats_tell_the_lag_and_do_not_pile_up(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(21_000)
    first, _, third = server.publisher.heartbeats
    assert (first.last_line_ms, first.lag_bytes, first.files) == (0, 4, 1)
    assert (third.last_line_ms, third.lag_bytes) == (server.publisher.records[0].headers.sent_ms, 0)
    server.publisher.holds_back = True
    server.write(b"two\n")
    server.pass_time(60_000)
    assert len(server.publisher.heartbeats) == 4
    assert server.publisher.heartbeats[3].lag_bytes == 4


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    rotations = counted("rotations")
    server.write(b"two\n")
    rotated = server.rename("mainlog.1")
    server.write(b"new\n")
    server.pass_time(3000)
    server.write(b"late\n", path=rotated)
    server.pass_time(3000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"new\n", b"late\n"]
    assert counted("rotations") == rotations + 1
    old, again, new, late = (record.headers.file for record in server.publisher.records)
    assert old == again == late != new


def test_a_live_file_waits_for_a_rotation_with_a_backlog(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "READS_IN_A_TURN", 1)
    server.mainlog.touch()
    server.pass_time(1000)
    server.write(b"old\n" * 500_000)
    server.rename("mainlog.1")
    server.write(b"new\n")
    server.pass_time(5000)
    assert len(server.publisher.records) > 8
    assert server.publisher.records[-1].value == b"new\n"


def test_a_rotated_file_is_closed_when_nobody_writes_to_it_any_more(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    rotated = server.rename("mainlog.1")
    server.write(b"new\n")
    server.pass_time(65_000)
    assert [file.found.path for file in server.registry.open] == [str(server.mainlog)]
    server.write(b"very late\n", path=rotated)
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n", b"new\n", b"very late\n"]


def test_a_deleted_file_is_read_to_its_end(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.write(b"two\n")
    server.mainlog.unlink()
    server.write(b"new\n")
    server.pass_time(2000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"new\n"]


def test_copytruncate_loses_nothing_and_repeats_nothing(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.write(b"two\n")
    shutil.copy(server.mainlog, server.folder / "mainlog.1")
    os.truncate(server.mainlog, 0)
    server.write(b"new\n")
    server.pass_time(5000)
    assert sorted(server.publisher.lines()) == [b"new\n", b"one\n", b"two\n"]
    by_line = {record.value: record.headers for record in server.publisher.records}
    assert by_line[b"one\n"].file == by_line[b"two\n"].file != by_line[b"new\n"].file
    assert by_line[b"two\n"].byte_offset == 4


def test_a_file_that_shrinks_is_a_new_file_even_with_the_same_first_line(server: MailServer) -> None:
    server.write(b"same\n", b"one\n", b"two\n")
    server.pass_time(1000)
    truncations = counted("truncations")
    server.mainlog.write_bytes(b"same\nother\n")
    server.pass_time(2000)
    assert server.publisher.lines() == [b"same\n", b"one\n", b"two\n", b"same\n", b"other\n"]
    assert counted("truncations") == truncations + 1
    assert server.publisher.records[0].headers.file != server.publisher.records[-1].headers.file


def test_a_file_written_again_beyond_its_old_size_is_noticed(server: MailServer) -> None:
    server.write(b"same\n", b"one\n")
    server.pass_time(1000)
    server.mainlog.write_bytes(b"same\nquite another line\n")
    server.pass_time(2000)
    assert server.publisher.lines()[2:] == [b"same\n", b"quite another line\n"]


def test_the_hole_that_a_writer_without_append_leaves_is_skipped_and_counted(server: MailServer) -> None:
    server.write(b"one\n" * 1000)
    server.pass_time(1000)
    nuls = counted("skipped_nul_bytes")
    with open(server.mainlog, "r+b") as file:
        file.truncate(0)
        file.seek(4000)
        file.write(b"new \0 line\n")
    server.pass_time(2000)
    assert server.publisher.lines()[1000:] == [b"new \0 line\n"]
    assert server.publisher.records[-1].headers.byte_offset == 4000
    assert counted("skipped_nul_bytes") == nuls + 4000


def test_several_rotations_while_it_was_down(server: MailServer) -> None:
    server.write(b"one\n")
    (server.folder / "mainlog.7").write_bytes(b"history from before the first start\n")
    os.utime(server.folder / "mainlog.7", (1, 1))
    server.pass_time(1000)
    fingerprint = server.publisher.records[0].headers.file
    server.shipper.stop()
    server.write(b"two\n")
    server.rename("mainlog.3")
    server.write(b"three\n")
    server.rename("mainlog-20261122")
    server.write(b"four\n")
    server.rename("mainlog.1")
    server.write(b"five\n")
    with gzip.open(server.folder / "mainlog.3.gz", "wb") as file:
        file.write((server.folder / "mainlog.3").read_bytes())
    (server.folder / "mainlog.3").unlink()
    seconds = server.now_ms / 1000
    for age, name in enumerate(("mainlog", "mainlog.1", "mainlog-20261122", "mainlog.3.gz")):
        os.utime(server.folder / name, (seconds + 60 - age, seconds + 60 - age))
    server.now_ms += 120_000
    server.start()
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"]
    assert server.publisher.records[1].headers.file == fingerprint
    assert server.publisher.records[1].headers.byte_offset == 4


def test_lines_keep_their_order_when_a_log_was_copied_and_truncated_twice_just_now(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(2000)
    server.shipper.stop()
    server.write(b"two\n")
    server.copytruncate("mainlog.2")
    server.write(b"three\n")
    server.copytruncate("mainlog.1")
    server.write(b"four\n")
    server.start()
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"three\n", b"four\n"]


def test_a_live_file_does_not_wait_for_ever_for_a_rotation_that_somebody_writes_to(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(2000)
    server.write(b"two\n")
    for _ in range(20):
        server.write(b"ignored\n", path=server.folder / "mainlog.1")
        server.pass_time(1000)
    assert server.publisher.lines()[:2] == [b"one\n", b"two\n"]


def test_lines_keep_their_order_when_a_log_is_copied_and_truncated_while_kafka_is_away(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(2000)
    server.publisher.holds_back = True
    server.write(b"two\n")
    server.pass_time(1000)
    server.write(b"three\n")
    server.copytruncate("mainlog.1")
    server.write(b"4\n")
    server.pass_time(20_000)
    assert server.publisher.lines() == [b"one\n", b"two\n"]
    server.publisher.holds_back = False
    server.pass_time(4000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"three\n", b"4\n"]


@ANY_COMPRESSION
def test_a_compressed_rotation_that_was_read_is_left_alone(server: MailServer, compression: str) -> None:
    server.write(b"one\n" * 100)
    server.pass_time(1000)
    rotated = server.rename("mainlog.1")
    server.pass_time(65_000)
    compressed = server.folder / f"mainlog.2{compression}"
    compressed.write_bytes(COMPRESSORS[compression](rotated.read_bytes()))
    server.touch(compressed)
    rotated.unlink()
    server.pass_time(65_000)
    server.restart()
    server.pass_time(65_000)
    assert len(server.publisher.lines()) == 100


@ANY_COMPRESSION
def test_a_rotation_that_was_compressed_while_it_was_down_is_read_on(server: MailServer, compression: str) -> None:
    lines = [b"line %d\n" % number for number in range(60_000)]
    server.write(*lines[:100])
    server.pass_time(2000)
    server.shipper.stop()
    server.write(*lines[100:])
    rotated = server.rename("mainlog.1")
    (server.folder / f"mainlog.1{compression}").write_bytes(COMPRESSORS[compression](rotated.read_bytes()))
    rotated.unlink()
    server.write(b"new\n")
    server.now_ms += 5000
    server.start()
    server.pass_time(5000)
    server.restart()
    server.pass_time(5000)
    assert server.publisher.lines() == [*lines, b"new\n"]
    assert len({record.headers.file for record in server.publisher.records}) == 2


@ANY_COMPRESSION
def test_a_broken_compressed_rotation_is_reported(server: MailServer, compression: str) -> None:
    server.mainlog.touch()
    server.pass_time(1000)
    server.shipper.stop()
    unread = counted("unread_rotations")
    whole = COMPRESSORS[compression](b"".join(b"line %d\n" % number for number in range(300_000)))
    broken = server.folder / f"mainlog.1{compression}"
    broken.write_bytes(whole[: len(whole) * 9 // 10])
    seconds = server.now_ms / 1000 + 5
    os.utime(broken, (seconds, seconds))
    server.now_ms += 60_000
    server.start()
    server.pass_time(70_000)
    assert counted("unread_rotations") == unread + 1
    if compression != ".zip":  # its list of files is at its end
        assert server.publisher.lines()[0] == b"line 0\n"


def test_a_rotation_in_an_unknown_compression_is_told_of_once_and_not_read(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    errors = counted("file_errors")
    rotated = server.rename("mainlog.1")
    server.pass_time(65_000)
    rotated.unlink()
    packed = server.folder / "mainlog.2.lz4"
    packed.write_bytes(b"\x04\x22\x4d\x18" + b"secret\n" * 100)
    server.touch(packed)
    server.pass_time(5000)
    os.rename(packed, packed.with_name("mainlog.3.lz4"))
    server.pass_time(5000)
    server.restart()
    server.pass_time(5000)
    assert counted("file_errors") == errors + 1
    assert server.publisher.lines() == [b"one\n"]


def test_a_live_file_in_an_unknown_compression_is_complained_of_and_not_read(server: MailServer) -> None:
    server.write(b"\x1f\x9d secret\n")
    server.pass_time(5000)
    assert "it is compress data, which can't be read: unpack it (`zcat FILE`)" in str(server.registry.read_errors)
    assert server.publisher.lines() == []


def test_segments_that_kumomta_compresses_are_followed_while_they_are_written(tmp_path: Path) -> None:
    """Names without a suffix, one frame in each for as long as it is written, and one that a crash has cut."""
    server = MailServer(tmp_path, pattern="2*")
    old = tmp_path / "20261128-070000"
    old.write_bytes(zstd.compress(b"old\n"))
    os.utime(old, (1, 1))
    server.pass_time(2000)
    unread = counted("unread_rotations")
    segment = tmp_path / "20261128-080000"
    frame = zstd.ZstdCompressor()
    for number in range(30):  # never still for so long as a copy must be
        server.write(frame.compress(b"line %d\n" % number, zstd.ZstdCompressor.FLUSH_BLOCK), path=segment)
        server.pass_time(1000)
    assert server.publisher.lines() == [b"line %d\n" % number for number in range(30)]
    server.pass_time(70_000)
    assert not server.registry.open
    server.write(frame.compress(b"line 30\nline 31 is cut", zstd.ZstdCompressor.FLUSH_BLOCK), path=segment)
    server.pass_time(70_000)
    server.restart()
    server.write(zstd.compress(b"next\n"), path=tmp_path / "20261128-090000")
    server.pass_time(70_000)
    assert server.publisher.lines() == [*(b"line %d\n" % number for number in range(31)), b"next\n"]
    assert counted("unread_rotations") == unread


def test_a_rotation_that_is_gone_is_reported_and_found_when_it_is_put_back(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.shipper.stop()
    unread = counted("unread_rotations")
    server.write(b"two\n")
    away = server.folder / "away"
    os.rename(server.mainlog, away)
    server.write(b"new\n")
    server.start()
    server.pass_time(70_000)
    assert counted("unread_rotations") == unread + 1
    os.rename(away, server.folder / "mainlog.1")
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n", b"new\n", b"two\n"]


def test_after_a_crash_the_same_lines_come_under_the_same_name(server: MailServer) -> None:
    server.write(b"one\n")
    server.publisher.holds_back = True
    server.pass_time(1000)
    server.crash()
    server.publisher.holds_back = False
    server.pass_time(1000)
    first, second = server.publisher.records
    assert first.headers.file == second.headers.file
    assert (first.value, first.headers.byte_offset) == (second.value, second.headers.byte_offset) == (b"one\n", 0)
    server.crash()
    server.pass_time(2000)
    assert len(server.publisher.records) == 2


def test_the_checkpoint_waits_for_the_acknowledgement(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.publisher.holds_back = True
    server.write(b"two\n")
    server.pass_time(5000)
    server.crash()
    server.publisher.holds_back = False
    server.pass_time(1000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"two\n"]


def test_a_checkpoint_that_is_written_meanwhile_stops_before_what_is_under_way(server: MailServer) -> None:
    server.publisher.holds_back = True
    server.write(b"one\n")
    server.pass_time(1000)
    server.write(b"two\n")
    server.pass_time(1000)
    heartbeat_and_first_record = 2
    server.publisher.acknowledge(heartbeat_and_first_record)
    server.pass_time(2000)
    server.crash()
    server.publisher.holds_back = False
    server.pass_time(1000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"two\n"]


def test_stopping_flushes_and_starts_again_where_it_was(server: MailServer) -> None:
    server.write(b"one\n", b"tw")
    server.pass_time(1000)
    server.restart()
    server.write(b"o\n")
    server.pass_time(1000)
    assert server.publisher.lines() == [b"one\n", b"two\n"]


def test_a_line_of_a_megabyte_is_cut_marked_and_counted(server: MailServer) -> None:
    cut = counted("cut_lines")
    server.write(b"before\n" + b"x" * 1_000_000)
    server.pass_time(1000)
    assert server.publisher.lines() == [b"before\n"]
    server.write(b"y" * 300_000)
    server.pass_time(1000)
    server.write(b"\n" + b"behind\n")
    server.pass_time(1000)
    _, line, behind = server.publisher.lines()
    assert len(line) == MAX_LINE_BYTES
    assert line.endswith(CUT_MARK + b"\n")
    assert behind == b"behind\n"
    assert server.publisher.records[-1].headers.byte_offset == 7 + 1_300_001
    assert counted("cut_lines") == cut + 1
    server.crash()
    server.write(b"more\n")
    server.pass_time(2000)
    assert server.publisher.lines()[3:] == [b"more\n"]


def test_an_unreadable_file_does_not_hold_up_the_others(server: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is made where the file is opened."""
    secret = str(server.folder / "mainlog.d" / "mainlog")
    os.mkdir(os.path.dirname(secret))
    Path(secret).write_bytes(b"secret\n")
    server.globs += (server.globs[0]._replace(glob=secret),)
    errors = counted("file_errors")
    is_forbidden = True

    def open_unless_forbidden(path: str, *arguments: int) -> int:
        if is_forbidden and path == secret:
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *arguments)

    real_open = os.open
    monkeypatch.setattr(os, "open", open_unless_forbidden)
    server.start()
    server.write(b"one\n")
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n"]
    assert counted("file_errors") == errors + 1
    assert server.health.complaints() == {"files": f"{secret}: Permission denied"}
    is_forbidden = False
    server.pass_time(2000)
    assert server.publisher.lines() == [b"one\n", b"secret\n"]
    assert server.health.complaints() == {}


def test_a_rotated_file_without_a_last_newline_is_reported(server: MailServer) -> None:
    server.write(b"one\n", b"never finished")
    server.pass_time(1000)
    unfinished = counted("unfinished_lines")
    server.rename("mainlog.1")
    server.pass_time(65_000)
    assert server.publisher.lines() == [b"one\n"]
    assert counted("unfinished_lines") == unfinished + 1


def test_while_the_checkpoint_cannot_be_written_no_new_file_is_read(server: MailServer) -> None:
    shutil.rmtree(server.checkpoint_file.parent)
    server.write(b"one\n")
    server.pass_time(5000)
    assert server.publisher.records == []
    assert "can't be written" in server.health.complaints()["checkpoint"]
    server.checkpoint_file.parent.mkdir()
    server.pass_time(3000)
    assert server.publisher.lines() == [b"one\n"]
    assert server.health.complaints() == {}


def test_a_clock_that_is_set_back_stops_nothing(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.now_ms -= 3_600_000
    server.write(b"two\n")
    server.pass_time(1000)
    assert server.publisher.lines() == [b"one\n", b"two\n"]


def test_two_logs_with_the_same_first_line_are_two_files(tmp_path: Path) -> None:
    server = MailServer(tmp_path, pattern="*log")
    server.write(b"same\n")
    server.write(b"same\n", path=tmp_path / "rejectlog")
    server.pass_time(1000)
    server.write(b"main\n")
    server.write(b"reject\n", path=tmp_path / "rejectlog")
    server.pass_time(1000)
    server.restart()
    server.write(b"more main\n")
    server.pass_time(1000)
    assert sorted(server.publisher.lines()) == sorted([b"same\n", b"main\n", b"same\n", b"reject\n", b"more main\n"])
    assert len({record.headers.file for record in server.publisher.records}) == 2


def test_a_log_that_begins_as_another_one_did_is_read_from_its_beginning(tmp_path: Path) -> None:
    server = MailServer(tmp_path, pattern="*log")
    server.write(b"same\n")
    server.pass_time(1000)
    server.shipper.stop()
    server.mainlog.unlink()
    server.write(b"same\n", b"reject\n", path=tmp_path / "rejectlog")
    server.start()
    server.pass_time(1000)
    assert server.publisher.lines() == [b"same\n", b"same\n", b"reject\n"]


@pytest.mark.parametrize("length", [10, 5000])
def test_a_copytruncate_while_it_was_down_is_noticed_however_long_the_file_is_now(
    server: MailServer, length: int
) -> None:
    server.write(b"one\n", b"x" * 2000 + b"\n")
    server.pass_time(1000)
    server.write(b"two\n")
    server.shipper.stop()
    shutil.copy(server.mainlog, server.folder / "mainlog-20261124")
    server.touch(server.folder / "mainlog-20261124")
    os.truncate(server.mainlog, 0)
    server.write(b"new\n", b"y" * length + b"\n")
    server.now_ms += 60_000
    server.start()
    server.pass_time(5000)
    assert sorted(server.publisher.lines()[2:]) == [b"new\n", b"two\n", b"y" * length + b"\n"]
    by_first_line = {record.value[:4]: record.headers for record in server.publisher.records}
    assert by_first_line[b"one\n"].file == by_first_line[b"two\n"].file != by_first_line[b"new\n"].file
    assert by_first_line[b"two\n"].byte_offset == 2005


def test_rotations_to_a_date_are_followed_and_compressed_ones_left_alone(server: MailServer) -> None:
    server.write(b"one\n")
    server.pass_time(1000)
    server.write(b"two\n")
    rotated = server.rename("mainlog-20261123")
    server.write(b"three\n")
    server.pass_time(70_000)
    rotated.with_name("mainlog-20261123.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    server.touch(rotated.with_name("mainlog-20261123.gz"))
    rotated.unlink()
    server.rename("mainlog-20261124")
    server.write(b"four\n")
    server.pass_time(70_000)
    server.restart()
    server.pass_time(5000)
    assert server.publisher.lines() == [b"one\n", b"two\n", b"three\n", b"four\n"]


def test_of_many_quiet_logs_the_one_that_is_written_to_is_sent(tmp_path: Path) -> None:
    """Found by its turn, it is looked at in each turn from then on, truncated and rotated as any other."""
    server = MailServer(tmp_path, pattern="*.log")
    logs = [tmp_path / f"{index:03}.log" for index in range(120)]
    for log in logs:
        server.write(b"first of %s\n" % log.name.encode(), path=log)
    server.pass_time(40_000)
    assert len(server.publisher.records) == len(logs)
    assert sum(file.is_awake for file in server.registry.open) == 0
    server.write(b"second\n", path=logs[77])
    server.pass_time(900 + 250, step_ms=50)
    assert server.publisher.lines()[120:] == [b"second\n"]
    server.write(b"third\n", path=logs[77])
    server.shipper.turn()
    server.now_ms += 250
    server.shipper.turn()
    assert server.publisher.lines()[121:] == [b"third\n"]
    server.pass_time(40_000)
    server.write(b"fourth\n", path=logs[5])
    logs[5].rename(tmp_path / "005.log.1")
    server.write(b"fifth\n", path=logs[5])
    logs[6].write_bytes(b"another\n")
    server.touch(logs[6])
    server.pass_time(3_000)
    assert sorted(server.publisher.lines()[122:]) == [b"another\n", b"fifth\n", b"fourth\n"]
    assert server.publisher.lines().index(b"fourth\n") < server.publisher.lines().index(b"fifth\n")


def test_a_deleted_log_is_as_old_as_its_last_change_and_not_as_the_last_scan(server: MailServer) -> None:
    """What is held open is not asked for its time in each scan, and rotations are read in the order of these."""
    server.write(b"one\n")
    server.pass_time(2_000)
    server.write(b"two\n")
    written_ms = server.now_ms
    server.mainlog.unlink()
    server.publisher.room_bytes = 0
    server.pass_time(2_000)
    (deleted,) = server.registry.open
    assert (deleted.is_rotated, deleted.found.modified_ms) == (True, written_ms)


def test_a_backlog_of_a_quiet_log_counts_as_lag(tmp_path: Path) -> None:
    server = MailServer(tmp_path, pattern="*.log")
    server.write(b"one\n", path=tmp_path / "a.log")
    server.publisher.holds_back = True
    server.pass_time(60_000)
    assert not server.registry.open[0].is_awake
    assert server.registry.lag_bytes() == 4


@pytest.mark.parametrize(("look_ms", "wait_seconds", "rest_ms"), [(20, 0.4, 8_000), (80, 0.5, 10_000)])
def test_a_long_look_at_quiet_files_is_followed_by_a_longer_rest(
    server: MailServer, monkeypatch: pytest.MonkeyPatch, look_ms: int, wait_seconds: float, rest_ms: int
) -> None:
    """So thousands of them cost a twentieth of a core at most, and a quarter of a hundredth for the scans."""
    waits: list[float] = []
    monkeypatch.setattr(server.publisher, "poll", waits.append)
    server.shipper.turn()
    assert waits == [shipper.IDLE_POLL_SECONDS]

    def look(found: object, read_errors: object, now_ms: int) -> None:
        server.now_ms += look_ms

    monkeypatch.setattr(server.registry, "scan", look)
    server.now_ms += shipper.SCAN_MS
    scanned_ms = server.now_ms
    server.shipper.turn()
    assert waits[1:] == [wait_seconds]
    server.now_ms = scanned_ms + rest_ms - 1
    server.shipper.turn()
    assert server.now_ms == scanned_ms + rest_ms - 1
    server.now_ms += 1
    server.shipper.turn()
    assert server.now_ms == scanned_ms + rest_ms + look_ms


def test_a_checkpoint_without_news_is_written_less_often_where_it_takes_long(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of files take most of a tenth of a second, and each heartbeat is a reason to write."""
    written_ms: list[int] = []

    def save(path: Path, checkpoint: Checkpoint) -> None:
        written_ms.append(server.now_ms)
        server.now_ms += 80
        save_checkpoint(path, checkpoint)

    server.write(b"one\n")
    server.pass_time(30_000)
    monkeypatch.setattr(shipper, "save_checkpoint", save)
    server.pass_time(200_000)
    assert 3 <= len(written_ms) <= 4
    assert min(later - earlier for earlier, later in pairwise(written_ms)) >= 60_000
    server.write(b"two\n")
    server.pass_time(2_000)
    assert written_ms[-1] >= server.now_ms - 2_000
