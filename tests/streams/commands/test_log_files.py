"""`postwatch read` on compressed files: every compression, archives, pipes, damage, and what can't be read."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from postwatch.deploy.cli import main
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.commands.log_files import read_logs

from tests.producers.files.compressing import COMPRESSORS, zipped, zipped_of, zstd

ANY = pytest.mark.parametrize("suffix", COMPRESSORS)
CHAINED = pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])


def mail(number: int) -> bytes:
    head = f"2026-03-02 08:01:1{number} 1vwyDG-0003aB-{number}X"
    return (
        f"{head} <= anna@bakery.example U=web7 P=local S=7 for p@far.example\n"
        f"{head} => p@far.example R=dns T=smtp H=mx.far.example [192.0.2.7]\n"
    ).encode()


def queue_ids(out: str) -> list[str]:
    return [json.loads(row)["queue_id"] for row in out.splitlines()]


def content(path: Path) -> list[tuple[str, bytes]]:
    return [(log.name.removeprefix(str(path)), b"".join(log.blocks)) for log in read_logs(str(path))]


@ANY
@pytest.mark.parametrize("name", ["20260302-080000", "mainlog.1.gz", "mainlog"])
def test_the_bytes_tell_the_compression_and_not_the_name(
    tmp_path: Path, suffix: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(COMPRESSORS[suffix](mail(1)))
    assert main(["read", str(tmp_path / name)]) == 0
    assert queue_ids(capsys.readouterr().out) == ["1vwyDG-0003aB-1X"]


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")


@ANY
def test_standard_input_may_be_compressed(
    suffix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compressed = COMPRESSORS[suffix](mail(1) * 2000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(compressed))))
    status = main(["read", "-"])
    said = capsys.readouterr()
    if suffix == ".zip":
        assert status == 2
        assert "standard input can't be read: a zip archive can't be read from a pipe" in said.err
    else:
        assert status == 0
        assert queue_ids(said.out) == ["1vwyDG-0003aB-1X"]


@CHAINED
def test_members_and_frames_are_one_log(tmp_path: Path, suffix: str) -> None:
    compress = COMPRESSORS[suffix]
    log = tmp_path / "log"
    log.write_bytes(compress(mail(1)[:50]) + compress(b"") + compress(mail(1)[50:]) + compress(mail(2)))
    assert content(log) == [("", mail(1) + mail(2))]


def test_skippable_frames_and_many_tiny_ones(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    log = tmp_path / "log"
    log.write_bytes(skippable + b"".join(zstd.compress(bytes([byte])) + skippable for byte in mail(3)))
    assert content(log) == [("", mail(3))]


def test_a_frame_that_is_still_written_is_read_to_its_last_whole_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "20260302-080000"
    begun = zstd.ZstdCompressor().compress(mail(2) + mail(3)[:-30], zstd.ZstdCompressor.FLUSH_BLOCK)
    log.write_bytes(zstd.compress(mail(1)) + begun)
    assert content(log) == [("", mail(1) + mail(2) + mail(3)[: mail(3).index(b"\n") + 1])]
    said = capsys.readouterr().err
    assert f"{log} ends within a frame of zstd" in said
    log.write_bytes(zstd.compress(mail(1)) + begun[:-10])
    assert main(["read", str(log)]) == 0
    said = capsys.readouterr().err
    assert "0 unreadable" in said


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_cut_file_of_another_kind_is_an_error_that_names_it(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "mainlog.1"
    log.write_bytes(COMPRESSORS[suffix](os.urandom(9000).hex().encode())[:-50])
    assert main(["read", str(log)]) == 2
    assert f"{log} can't be read: broken " in capsys.readouterr().err


def test_damage_in_zstd_is_an_error_too(tmp_path: Path) -> None:
    log = tmp_path / "mainlog.1"
    log.write_bytes(zstd.compress(mail(1)) + b"\nplain text\n")
    with pytest.raises(BadInputError, match=r"mainlog.1 can't be read: broken zstd data"):
        content(log)


@pytest.mark.parametrize(
    ("start", "command"),
    [
        (b"\x04\x22\x4d\x18d@\xa7", "lz4 -dc"),
        (b"LZIP\x01\x0c", "lzip -dc"),
        (b"\x1f\x9d\x90m", "zcat"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z x -so"),
        (b"Rar!\x1a\x07\x00", "unrar p"),
        (b"mainlog".ljust(257, b"\0") + b"ustar  ", "tar -xOf"),
    ],
    ids=("lz4", "lzip", "compress", "7-zip", "rar", "tar"),
)
@pytest.mark.parametrize("within", ["", ".zst", ".zip"])
def test_another_compression_is_an_error_that_names_the_file_and_the_remedy(
    tmp_path: Path, start: bytes, command: str, within: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "mainlog.1"
    packed = start + mail(1)
    log.write_bytes(COMPRESSORS[within](packed) if within else packed)
    assert main(["read", str(log)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{log}" in said.err
    assert command in said.err


def test_every_file_of_a_zip_archive_is_a_log_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "logs/": b"",
        "logs/mainlog": mail(1).rstrip(b"\n"),
        "logs/mainlog.1.gz": gzip.compress(mail(2)),
        "logs/mainlog.2": zstd.compress(mail(3)),
        "__MACOSX/logs/._mainlog": b"\0\0",
        "logs/README": b"these are logs\n",
    }
    log = tmp_path / "logs.zip"
    log.write_bytes(zipped_of(files))
    assert main(["read", str(log)]) == 0
    said = capsys.readouterr()
    assert sorted(queue_ids(said.out)) == [f"1vwyDG-0003aB-{number}X" for number in (1, 2, 3)]
    assert f"{log}:logs/README does not look like a mail log" in said.err
    assert "MACOSX" not in said.err


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zip(tmp_path: Path, method: int) -> None:
    log = tmp_path / "logs.zip"
    log.write_bytes(zipped_of({"mainlog": mail(1)}, method))
    assert content(log) == [(":mainlog", mail(1))]


def test_what_a_zip_archive_can_not_give(tmp_path: Path) -> None:
    log = tmp_path / "logs.zip"
    plain = bytearray(zipped("mainlog", mail(1)))
    plain[plain.index(b"PK\x01\x02") + 8] |= 1  # says that it is encrypted
    log.write_bytes(plain)
    with pytest.raises(BadInputError, match=r"logs.zip:mainlog can't be read: .*encrypted"):
        content(log)
    log.write_bytes(zipped("inner.zip", zipped("mainlog", mail(1))))
    with pytest.raises(BadInputError, match=r"logs.zip:inner.zip can't be read: it is a zip archive in a zip archive"):
        content(log)
    damaged = bytearray(zipped("mainlog", os.urandom(5000)))
    damaged[3000] ^= 0xFF
    log.write_bytes(damaged)
    with pytest.raises(BadInputError, match=r"logs.zip:mainlog can't be read: broken zip data"):
        content(log)
    log.write_bytes(zipped_of({}))
    assert content(log) == [("", b"")]


def test_a_log_in_an_archive_is_as_old_as_it_says(tmp_path: Path) -> None:
    log = tmp_path / "logs.zip"
    with zipfile.ZipFile(log, "w") as archive:
        archive.writestr(zipfile.ZipInfo("old", (2024, 3, 2, 8, 0, 0)), b"x\n")
        archive.writestr(zipfile.ZipInfo("without a time"), b"x\n")
        archive.writestr(zipfile.ZipInfo("in the future", (2107, 1, 1, 0, 0, 0)), b"x\n")
    os.utime(log, (1_790_000_000, 1_790_000_000))
    assert [file.written_ms for file in read_logs(str(log))] == [1_709_366_400_000, *[1_790_000_000_000] * 2]


@ANY
def test_a_bomb_without_a_newline_costs_no_memory(tmp_path: Path, suffix: str) -> None:
    log = tmp_path / "mainlog.1"
    log.write_bytes(COMPRESSORS[suffix](bytes(96 << 20)))
    tracemalloc.start()
    blocks = [len(block) for file in read_logs(str(log)) for block in file.blocks]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(blocks) < 1 << 20
    assert most < 24 << 20


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "mainlog.1"
    log.write_bytes(b"x" * (3 << 20) + b"\n" + mail(1))
    (_, read) = content(log)[0]
    assert read.endswith(b"\n" + mail(1))
