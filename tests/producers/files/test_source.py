"""Plain and compressed files read alike, at offsets of their content."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files.source import GzipSource, open_source

CONTENT = b"".join(b"line %d\n" % number for number in range(5000))


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "mainlog.2.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


@given(places=st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 20_000)), max_size=8))
def test_any_order_of_reads_of_a_compressed_file(compressed: Path, places: list[tuple[int, int]]) -> None:
    source = open_source(str(compressed))
    for byte_offset, size in places:
        assert source.read_at(byte_offset, size) == CONTENT[byte_offset : byte_offset + size]
        assert source.unread_bytes(1000) == len(CONTENT) - 1000
    source.close()


def test_reading_forwards_with_an_overlap_decompresses_only_once(
    compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = GzipSource(str(compressed))
    monkeypatch.setattr(gzip.GzipFile, "rewind", lambda self: pytest.fail("went back to the start"))
    content = b""
    while len(content) < len(CONTENT):
        proof = content[-1024:]
        block = source.read_at(len(content) - len(proof), len(proof) + 4096)
        assert block.startswith(proof)
        content += block[len(proof) : len(proof) + 4000]
    assert content == CONTENT
    source.close()


def test_a_file_of_several_members_is_read_to_the_end_of_the_last(tmp_path: Path) -> None:
    path = tmp_path / "mainlog.1.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"three\n"))
    source = open_source(str(path))
    assert source.read_at(0, 100) == b"one\nthree\n"
    assert source.unread_bytes(0) == 10
    source.close()


@pytest.mark.parametrize(
    "content", [b"", b"no gzip data at all", gzip.compress(CONTENT)[:-400], b"\x1f\x8b\x08\x00garbage garbage"]
)
def test_broken_data_is_an_os_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mainlog.1.gz"
    path.write_bytes(content)
    source = open_source(str(path))
    with pytest.raises(OSError, match=r"(?i)gzip"):
        source.read_at(0, 1 << 20)
    source.close()


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
