"""How a block of bytes from a log file becomes record values: whole lines, none longer than MAX_LINE_BYTES.

Pure. Every byte up to the block's last newline is in exactly one piece, in order; a line that had to be cut is a piece
of its own, so that the offset of every other line follows from the lengths before it. No work is done for each line: a
block is searched backwards from every 64 KiB, which finds a newline at once unless a line is too long.
"""

from __future__ import annotations

from typing import NamedTuple

from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES


class Piece(NamedTuple):
    """A record's value and where its lines stand in the block."""

    start: int
    end: int
    value: bytes
    is_cut: bool


def cut_block(block: bytes) -> list[Piece]:
    """The whole lines of a block, as pieces; what follows the last newline is left for the next read."""
    end = block.rfind(b"\n") + 1
    pieces: list[Piece] = []
    start = line = 0
    while end - line > MAX_LINE_BYTES:
        newline = block.rfind(b"\n", line, line + MAX_LINE_BYTES)
        if newline >= 0:
            line = newline + 1
            continue
        if line > start:
            pieces.append(Piece(start, line, block[start:line], False))
        behind = block.index(b"\n", line + MAX_LINE_BYTES) + 1
        pieces.append(Piece(line, behind, cut_line(block[line : line + MAX_LINE_BYTES]), True))
        start = line = behind
    if end > start:
        pieces.append(Piece(start, end, block[start:end], False))
    return pieces


def cut_line(beginning: bytes) -> bytes:
    """The first MAX_LINE_BYTES or more of a line that is too long → that line, cut and marked, with its newline."""
    return beginning[: MAX_LINE_BYTES - len(CUT_MARK) - 1] + CUT_MARK + b"\n"


def leading_nuls(block: bytes) -> int:
    """Bytes of a sparse region at the block's start.

    A daemon that writes without O_APPEND goes on at its old position after `copytruncate`, and the file begins with
    a gap that reads as NULs.
    """
    return len(block) - len(block.lstrip(b"\0"))
