"""A file is told by its content; the same first line twice is two files."""

from __future__ import annotations

from postwatch.producers.files.fingerprint import HEAD_BYTES, PROOF_BYTES, START, Position, digest, identify


def test_the_first_lines_and_a_nonce_make_the_identity() -> None:
    first = identify(b"one\ntwo\nthr", "a")
    assert first is not None
    assert first.head_bytes == 8
    assert first == identify(b"one\ntwo\nthree\n"[:11], "a")
    again = identify(b"one\ntwo\n", "b")
    assert again is not None
    assert again.fingerprint != first.fingerprint
    assert again.head_digest == first.head_digest


def test_it_is_recognised_when_it_has_grown_and_not_when_it_differs() -> None:
    identity = identify(b"one\n", "a")
    assert identity is not None
    assert identity.begins(b"one\ntwo\n")
    assert not identity.begins(b"one")
    assert not identity.begins(b"onE\ntwo\n")


def test_without_a_whole_line_there_is_no_identity_unless_the_line_is_very_long() -> None:
    assert identify(b"", "a") is None
    assert identify(b"x" * (HEAD_BYTES - 1), "a") is None
    endless = identify(b"x" * HEAD_BYTES, "a")
    assert endless is not None
    assert endless.head_bytes == HEAD_BYTES


def test_a_position_is_proven_by_the_bytes_before_it() -> None:
    content = bytes(range(256)) * 8
    position = Position(2000, digest(content[2000 - PROOF_BYTES : 2000]))
    assert position.holds(content[2000 - position.proof_bytes : 2000])
    assert not position.holds(content[2001 - position.proof_bytes : 2001])
    assert not position.holds(content[1990 - position.proof_bytes : 1990][:10])
    assert START.holds(b"")
