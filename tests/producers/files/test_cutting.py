"""Blocks become whole lines: nothing between two pieces, nothing changed but what had to be cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.files.cutting import cut_block, leading_nuls
from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES


def test_whole_lines_are_one_piece_and_the_rest_is_left() -> None:
    (piece,) = cut_block(b"one\ntwo\nthr")
    assert piece == (0, 8, b"one\ntwo\n", False)


def test_no_newline_is_no_piece() -> None:
    assert cut_block(b"") == []
    assert cut_block(b"x" * 100_000) == []


def test_bytes_pass_through_untouched() -> None:
    block = b"\xff\xfe\x00 not UTF-8 \x00\n\r\n\n"
    assert cut_block(block)[0].value == block


def test_a_line_of_the_most_bytes_stays_whole() -> None:
    block = b"x" * (MAX_LINE_BYTES - 1) + b"\n"
    assert cut_block(block) == [(0, MAX_LINE_BYTES, block, False)]


def test_a_longer_line_is_cut_marked_and_alone() -> None:
    long = b"x" * MAX_LINE_BYTES + b"\n"
    before, cut, behind = cut_block(b"before\n" + long + b"behind\n")
    assert before.value == b"before\n"
    assert behind == (7 + len(long), 14 + len(long), b"behind\n", False)
    assert (cut.start, cut.end, cut.is_cut) == (7, 7 + len(long), True)
    assert len(cut.value) == MAX_LINE_BYTES
    assert cut.value.endswith(CUT_MARK + b"\n")


@given(st.lists(st.sampled_from([0, 1, 170, 30_000, MAX_LINE_BYTES - 2, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, 90_000])))
def test_pieces_cover_every_line_in_order(lengths: list[int]) -> None:
    lines = [b"%c" % (97 + number % 26) * length + b"\n" for number, length in enumerate(lengths)]
    block = b"".join(lines) + b"unfinished"
    pieces = cut_block(block)
    places = [0, *(piece.end for piece in pieces)]
    assert [piece.start for piece in pieces] == places[:-1]
    assert places[-1] == len(block) - len(b"unfinished")
    for piece in pieces:
        if piece.is_cut:
            assert block.count(b"\n", piece.start, piece.end) == 1
            assert piece.end - piece.start > MAX_LINE_BYTES
        else:
            assert piece.value == block[piece.start : piece.end]
            assert all(len(line) <= MAX_LINE_BYTES for line in piece.value.splitlines(keepends=True))


def test_only_nuls_in_front_are_a_sparse_region() -> None:
    assert leading_nuls(b"\0\0\0line\0\n\0") == 3
    assert leading_nuls(b"line\n\0\0") == 0
    assert leading_nuls(b"\0\0") == 2
