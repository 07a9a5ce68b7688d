"""Plain and compressed files read alike, at offsets of their content."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files import zip_archive, zstd_content
from postwatch.producers.files.compression import UnreadableError
from postwatch.producers.files.source import open_source

from tests.producers.files.compressing import COMPRESSORS as BY_SUFFIX
from tests.producers.files.compressing import zipped_of, zstd

CONTENT = b"".join(b"line %d\n" % number for number in range(5000))


COMPRESSORS = dict(zip(("gzip", "bzip2", "xz", "lzma", "zstd", "zip"), BY_SUFFIX.values(), strict=True))


def read_all(path: Path) -> bytes:
    source = open_source(str(path))
    try:
        return source.read_at(0, 1 << 20)
    finally:
        source.close()


ANY = pytest.mark.parametrize("compression", COMPRESSORS)


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The content in each compression, in files whose names tell nothing of it."""
    folder = tmp_path_factory.mktemp("source")
    for compression, compress in COMPRESSORS.items():
        (folder / compression).write_bytes(compress(CONTENT))
    return {compression: folder / compression for compression in COMPRESSORS}


@ANY
@given(places=st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 20_000)), max_size=8))
def test_any_order_of_reads_of_a_compressed_file(
    compressed: dict[str, Path], compression: str, places: list[tuple[int, int]]
) -> None:
    source = open_source(str(compressed[compression]))
    for byte_offset, size in places:
        assert source.read_at(byte_offset, size) == CONTENT[byte_offset : byte_offset + size]
        assert source.unread_bytes(1000) > 0
        assert source.unread_bytes(len(CONTENT)) == 0
    source.read_at(len(CONTENT), 1)
    assert source.unread_bytes(1000) == len(CONTENT) - 1000
    source.close()


@pytest.mark.parametrize("compression", ["gzip", "zip"])
def test_what_is_unread_is_told_before_it_was_decompressed(compressed: dict[str, Path], compression: str) -> None:
    source = open_source(str(compressed[compression]))
    source.read_at(0, 10)
    assert source.unread_bytes(1000) == len(CONTENT) - 1000
    source.close()


@pytest.mark.parametrize(
    ("compression", "place"),
    [("gzip", (gzip.GzipFile, "rewind")), ("zstd", (zstd_content.ZstdContent, "_begin"))],
    ids=("gzip", "zstd"),
)
def test_reading_forwards_with_an_overlap_decompresses_only_once(
    compressed: dict[str, Path], compression: str, place: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(str(compressed[compression]))
    assert source.read_at(0, 0) == b""
    monkeypatch.setattr(*place, lambda self: pytest.fail("went back to the start"))
    content = b""
    while len(content) < len(CONTENT):
        proof = content[-1024:]
        block = source.read_at(len(content) - len(proof), len(proof) + 4096)
        assert block.startswith(proof)
        content += block[len(proof) : len(proof) + 4000]
        assert source.unread_bytes(len(content)) == len(CONTENT) - len(content) or compression == "zstd"
    assert content == CONTENT
    source.close()


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd"])
def test_a_file_of_several_members_is_read_to_the_end_of_the_last(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "mainlog.1"
    compress = COMPRESSORS[compression]
    path.write_bytes(compress(b"one\n") + compress(b"") + compress(b"three\n"))
    source = open_source(str(path))
    assert source.read_at(0, 100) == b"one\nthree\n"
    assert source.unread_bytes(0) == 10
    source.close()


def test_the_trailer_of_the_last_member_does_not_hide_what_is_unread(tmp_path: Path) -> None:
    path = tmp_path / "mainlog.1.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"4 4\n"))
    source = open_source(str(path))
    assert source.unread_bytes(4) == 4
    source.close()


@pytest.mark.parametrize(
    ("compression", "content"),
    [
        ("gzip", gzip.compress(CONTENT)[:-400]),
        ("gzip", b"\x1f\x8b\x08\x00garbage garbage"),
        ("bzip2", bz2.compress(CONTENT)[:-4]),
        ("xz", lzma.compress(CONTENT)[:200]),
        ("zstd", zstd.compress(CONTENT) + b"no frame at all"),
        ("zip", COMPRESSORS["zip"](CONTENT)[:-40]),
    ],
)
def test_broken_data_is_an_os_error_until_the_file_changes(tmp_path: Path, compression: str, content: bytes) -> None:
    path = tmp_path / "mainlog.1"
    path.write_bytes(content)
    source = open_source(str(path))
    for _ in range(2):
        with pytest.raises(OSError, match=f"broken {compression} data"):
            [source.read_at(place, 1 << 20) for place in (0, len(CONTENT))]
    path.write_bytes(COMPRESSORS[compression](CONTENT + b"more\n" * 10_000))
    assert source.read_at(0, len(CONTENT)) == CONTENT
    source.close()


@pytest.mark.parametrize(
    "text", [b"", b"\x28", b"no gzip data at all\n", b"BZh is a word\n", b"PK and 7z, Rar!\n", b"]\n"]
)
def test_what_has_no_magic_is_text_whatever_its_name(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "mainlog.1.gz"
    path.write_bytes(text)
    source = open_source(str(path))
    assert source.read_at(0, 100) == text
    source.close()


@pytest.mark.parametrize(
    ("start", "named", "command"),
    [
        (b"\x04\x22\x4d\x18\x64\x40\xa7", "lz4", "lz4 -dc"),
        (b"LZIP\x01\x0c", "lzip", "lzip -dc"),
        (b"\x1f\x9d\x90\x6d", "compress", "zcat"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "7-zip", "7z x -so"),
        (b"Rar!\x1a\x07\x01\x00", "rar", "unrar p"),
        (b"\x89LZO\x00\r\n\x1a\n", "lzop", "lzop -dc"),
        (b"mainlog".ljust(257, b"\0") + b"ustar\x0000", "tar", "tar -xOf"),
        (b"LPKSHHRH\x00", "journal", "journalctl"),
    ],
)
def test_an_unknown_compression_is_refused_with_the_remedy(
    tmp_path: Path, start: bytes, named: str, command: str
) -> None:
    path = tmp_path / "mainlog.1"
    path.write_bytes(start + b"\n" * 100)
    with pytest.raises(UnreadableError, match=named) as refused:
        open_source(str(path))
    assert command in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(gzip.compress(CONTENT)),
        zstd.compress(b"\x04\x22\x4d\x18" + bytes(100)),
        zipped_of({"mainlog": CONTENT, "rejectlog": CONTENT}),
        zipped_of({}),
    ],
    ids=("twice", "lz4 in zstd", "two files", "no file"),
)
def test_what_is_not_one_log_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mainlog.1"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=r"once|lz4|it holds [02] files"):
        read_all(path)


def test_frames_of_zstd_are_read_as_they_are_written(tmp_path: Path) -> None:
    """KumoMTA writes one frame for long; what is in blocks that are whole is there."""
    path = tmp_path / "20261128-074500"
    compressor = zstd.ZstdCompressor()
    path.write_bytes(compressor.compress(b"one\ntw", zstd.ZstdCompressor.FLUSH_BLOCK))
    source = open_source(str(path))
    assert source.is_growing
    assert source.read_at(0, 100) == b"one\ntw"
    assert source.unread_bytes(4) == 2
    assert source.is_unfinished
    with open(path, "ab") as file:
        file.write(compressor.compress(b"o\n", zstd.ZstdCompressor.FLUSH_FRAME))
    assert source.unread_bytes(4) > 0
    assert source.read_at(4, 100) == b"two\n"
    assert not source.is_unfinished
    assert source.unread_bytes(8) == 0
    with open(path, "ab") as file:
        file.write(zstd.compress(b""))
    assert source.unread_bytes(8) == 0
    skippable = b"\x5e\x2a\x4d\x18\x05\x00\x00\x00hello"
    with open(path, "ab") as file:
        file.write(skippable + zstd.compress(b"three\n")[:-3])
    source.read_at(8, 100)
    assert source.is_unfinished
    with open(path, "ab") as file:
        file.write(zstd.compress(b"three\n")[-3:])
    assert source.unread_bytes(8) > 0
    source.read_at(14, 1)
    with open(path, "ab") as file:
        file.write(zstd.compress(b"four\n"))
    assert source.unread_bytes(14) > 0
    assert source.read_at(14, 100) == b"four\n"
    assert source.read_at(8, 6) == b"three\n"
    assert source.unread_bytes(19) == 0
    path.write_bytes(zstd.compress(b"new\n"))
    assert source.unread_bytes(14) < 0
    assert source.read_at(0, 100) == b"new\n"
    source.close()


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "zip"])
def test_a_bomb_costs_no_memory(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "mainlog.1"
    path.write_bytes(COMPRESSORS[compression](bytes(64 << 20)))
    assert path.stat().st_size < 1_000_000
    source = open_source(str(path))
    tracemalloc.start()
    for place in range(0, 64 << 20, 1 << 18):
        assert len(source.read_at(place, 1 << 18)) == 1 << 18
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.unread_bytes(64 << 20) == 0
    assert most < 16 << 20
    source.close()


def test_a_zip_with_too_long_a_list_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "_MOST_LISTED_BYTES", 1 << 20)
    path = tmp_path / "mainlog.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number:0400}", b"")
    with pytest.raises(UnreadableError, match="its list of files is longer than 1 MiB"):
        read_all(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is not a regular file"):
        open_source(str(tmp_path))


def test_a_plain_file_grows_and_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "mainlog"
    path.write_bytes(b"one\n")
    source = open_source(str(path))
    assert source.unread_bytes(4) == 0
    with open(path, "ab") as file:
        file.write(b"two\n")
    assert source.unread_bytes(4) == 4
    path.unlink()
    assert source.read_at(4, 100) == b"two\n"
    path.write_bytes(b"")
    source.close()
