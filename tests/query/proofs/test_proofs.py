"""A proof holds what its viewer may see, and any change of what it says is refused."""

from __future__ import annotations

import copy
import json
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.deploy.cli import main
from postwatch.producers.service.errors import SettingsError
from postwatch.query.privacy import visible_row
from postwatch.query.proofs.canonical import NotCanonicalError, canonical_json, read_document
from postwatch.query.proofs.check import Verdict, check_proof
from postwatch.query.proofs.document import make_proof, signed_bytes
from postwatch.query.proofs.errors import KeyFileError
from postwatch.query.proofs.issuer import ProofIssuer, open_issuer
from postwatch.query.proofs.keys import (
    by_id,
    key_id,
    make_key_file,
    public_pem,
    read_public_keys,
    read_signing_key,
    to_base64url,
)
from postwatch.query.proofs.settings import ProofSettings
from postwatch.query.statements import Delivery
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import Attempt, iso_time

from tests.query.conftest import NOW_MS, make_row
from tests.query.test_privacy import GOLDEN

KEY = Ed25519PrivateKey.generate()
KEYS = by_id([KEY.public_key()])
ROW = make_row(
    subject='Grüße, "quoted" \\ and \u2028',
    attempts=(Attempt(NOW_MS, "delivered", 250, "250 OK", "mx.far.example", "192.0.2.1"),),
    log_lines=("one line",),
)


def _proof(row: Delivery = ROW, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    return make_proof(row, "Example Hosting", key, NOW_MS, 30)


PROOF = _proof()


def _check(document: Any) -> Verdict:
    return check_proof(json.dumps(document).encode(), KEYS)


def _resigned(document: dict[str, Any], key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    return {**document, "signature": to_base64url(key.sign(signed_bytes(document)))}


def test_a_proof_is_good_however_it_is_spaced_and_ordered() -> None:
    for text in (
        json.dumps(PROOF),
        json.dumps(PROOF, indent=4, ensure_ascii=False),
        json.dumps(dict(reversed(PROOF.items()))),
        canonical_json(PROOF).decode(),
    ):
        verdict = check_proof(text.encode(), KEYS)
        assert verdict.is_good
        assert verdict.document == PROOF
        assert verdict.words == f"Signed by Example Hosting at {iso_time(NOW_MS)}."


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path, *(place for name, part in value.items() for place in _places(part, (*path, name)))]
    if isinstance(value, list):
        return [path, *(place for number, part in enumerate(value) for place in _places(part, (*path, number)))]
    return [path]


PLACES = [place for place in _places(PROOF) if place]


def _changed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [
            f"{value}x",
            value[:-1] if value else "x",
            value.swapcase() + ("" if value.swapcase() != value else "y"),
        ]
    if isinstance(value, int):
        return [value + 1, -value - 1, str(value)]
    return [[*value, "x"] if isinstance(value, list) else {**value, "x": 1}]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_no_part_can_be_changed_added_or_left_out(place: tuple[Any, ...]) -> None:
    def holder(document: dict[str, Any]) -> Any:
        found: Any = document
        for step in place[:-1]:
            found = found[step]
        return found

    for other in _changed(holder(PROOF)[place[-1]]):
        document = copy.deepcopy(PROOF)
        holder(document)[place[-1]] = other
        assert not _check(document).is_good
    document = copy.deepcopy(PROOF)
    del holder(document)[place[-1]]
    assert not _check(document).is_good


RAW = canonical_json(PROOF)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_no_byte_of_the_spelling_can_be_changed(place: int, byte: int) -> None:
    changed = RAW[:place] + bytes([byte]) + RAW[place + 1 :]
    verdict = check_proof(changed, KEYS)
    try:
        same = read_document(changed) == PROOF  # a blank for a blank, say
    except NotCanonicalError:
        same = False
    assert verdict.is_good == same


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_nothing_else_is_a_proof_and_nothing_breaks_the_check(raw: bytes) -> None:
    verdict = check_proof(raw, KEYS)
    assert not verdict.is_good
    assert verdict.words.endswith(".")
    assert verdict.words.isprintable()


_GOOD = json.dumps(PROOF)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "This is no proof of delivery: it is no JSON object."),
        ("{", "This is no proof of delivery: it is not JSON (line 1)."),
        ('{"type": "invoice"}', "This is no proof of delivery: it does not say that it is one."),
        ("[" * 100_000, "This is no proof of delivery: it is nested too deeply."),
        (" " * 1_100_000, "This is no proof of delivery: it has 1048577 bytes, more than a proof can have."),
        (_GOOD.replace('{"type"', '{"issuer": "Eve", "type"', 1), "'issuer' stands in it twice"),
        (_GOOD.replace('"smtp_code": 250', '"smtp_code": 250.0', 1), "250.0 in it is not a whole number"),
        (_GOOD.replace('"smtp_code": 250', '"smtp_code": NaN', 1), "NaN in it is not a whole number"),
        (_GOOD.replace('"smtp_code": 250', '"smtp_code": 9007199254740993', 1), "9007199254740993 in it is too large"),
        (_GOOD.replace('"smtp_code": 250', f'"smtp_code": {"9" * 9000}', 1), "in it is too large"),
        (_GOOD.replace('"smtp_code": 250', '"smtp_code": true', 1), "true in it is no text and no whole number"),
        (_GOOD.replace('"version": 1', '"version": 2', 1), "It is a proof of a version that is not known here"),
    ],
)
def test_what_is_no_proof_is_told_in_a_sentence(text: str, words: str) -> None:
    verdict = check_proof(text.encode()[: (1 << 20) + 1], KEYS)
    assert not verdict.is_good
    assert words in verdict.words


def test_unknown_missing_and_wrong_fields_are_named_though_they_are_signed() -> None:
    for document, words in (
        ({**PROOF, "note": "x"}, "It has a field that proofs do not have: note."),
        ({name: part for name, part in PROOF.items() if name != "scope"}, "It lacks a field that proofs have: scope."),
        ({**PROOF, "issuer": ["x"]}, "Its field issuer is no text."),
        ({**PROOF, "delivery": "x"}, "Its field delivery is no object."),
        ({**PROOF, "algorithm": "none"}, "It names another algorithm: none. Proofs are signed with Ed25519."),
    ):
        assert _check(_resigned(document)).words == words


def test_another_key_and_another_signature_are_told_apart() -> None:
    other = Ed25519PrivateKey.generate()
    assert "It was signed with another key" in _check(_proof(key=other)).words
    forged = _resigned(PROOF, other)
    assert _check(forged).words == "Its signature does not fit: it was changed, or somebody else wrote it."
    assert _check({**PROOF, "signature": "AA"}).words == "Its signature is not whole."
    last = PROOF["signature"][-1]
    respelled = chr(ord(last) + 1) if last not in "zZ9_" else "B"
    assert not _check({**PROOF, "signature": PROOF["signature"][:-1] + respelled}).is_good
    assert _check({**PROOF, "signature": PROOF["signature"] + "=="}).words == (
        "Its signature is not spelled as signatures are."
    )


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"b": [1, -5, 9007199254740991], "a": '€$\x0f\nA\'B"\\\\"/\x7f', "Z": {}}
    assert (
        canonical_json(value)
        == '{"Z":{},"a":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f","b":[1,-5,9007199254740991]}'.encode()
    )
    for refused in (1.5, None, True, 1 << 53, {"é": 1}, {"a": {1, 2}}, "\ud800", {1: "x"}):
        with pytest.raises(NotCanonicalError):
            canonical_json({"x": refused})


def test_a_proof_holds_nothing_that_its_viewer_may_not_see() -> None:
    seen = 0
    for row in GOLDEN:
        if "@" not in row.account:
            continue
        viewer = Viewer("owner", mailboxes=frozenset({row.account}))
        delivery = Delivery(*visible_row(viewer, row))
        document = _proof(delivery)
        assert _check(document).is_good
        told = json.dumps({name: part for name, part in document["delivery"].items() if name not in WRITTEN}).lower()
        known = (
            row.account,
            delivery.sender,
            delivery.recipient,
            delivery.original_recipient,
            delivery.authenticated_as,
        )
        for address in sorted(filter(None, known), key=len, reverse=True):
            told = told.replace(json.dumps(address.lower())[1:-1], " ")
        assert not {one for one in re.findall(r"[\w.+=-]+@[\w.-]+\w", told) if not viewer.owns(one)}, document
        assert document["delivery"]["log_lines"] == []
        assert document["delivery"]["server"] == ""
        seen += 1
    assert seen > 150


WRITTEN = ("subject", "message_id", "account", "sender", "recipient", "original_recipient", "authenticated_as")


def test_what_has_not_ended_is_proven_as_that() -> None:
    proof = _proof(make_row(status="deferred", reason="greylisted", response="450 later"))
    assert proof["statement"].endswith(f"At {iso_time(NOW_MS)} the log did not tell yet how this delivery ended.")
    assert "did not tell yet" not in PROOF["statement"]


def test_a_key_is_made_for_its_owner_alone_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key = make_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_signing_key(path).private_bytes_raw() == key.private_bytes_raw()
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never replaced"):
        make_key_file(path)
    assert path.read_bytes() == before
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_signing_key(path)


def test_files_that_hold_no_such_key_are_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    ec = generate_private_key(SECP256R1())
    private = ec.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = ec.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content, words in (
        (b"", "no public key in PEM"),
        (b"\xff\xfe", "no public key in PEM"),
        (private, "holds a private key"),
        (public, "a key of another kind"),
        (b"{}", "no file of published keys"),
        (b'{"keys": []}', "holds no Ed25519 key"),
        (b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}', "no file of published keys"),
        (b"{" * 200_000, "no file of published keys"),
        (b"x" * 300_000, "too large"),
    ):
        path.write_bytes(content)
        with pytest.raises(KeyFileError, match=words):
            read_public_keys(path)
    path.write_bytes(private)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="another kind"):
        read_signing_key(path)
    with pytest.raises(KeyFileError, match="can't read"):
        read_signing_key(tmp_path / "absent")


def test_a_setting_that_can_t_be_used_ends_the_start(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    make_key_file(key)
    good = ProofSettings(str(key), "", "Example Hosting")
    assert open_issuer(good).is_on
    assert not open_issuer(ProofSettings("", "", "")).is_on
    for wrong, name in (
        (replace(good, signing_key_file=str(tmp_path / "no")), "POSTWATCH_PROOF_SIGNING_KEY_FILE"),
        (replace(good, issuer=" "), "POSTWATCH_PROOF_ISSUER"),
        (replace(good, old_keys_folder=str(key)), "POSTWATCH_PROOF_OLD_KEYS_FOLDER"),
        (replace(good, old_keys_folder=str(tmp_path)), "POSTWATCH_PROOF_OLD_KEYS_FOLDER: .* holds a private key"),
    ):
        with pytest.raises(SettingsError, match=name):
            open_issuer(wrong)


def test_a_replaced_key_stays_published_and_its_proofs_stay_good(tmp_path: Path) -> None:
    old_keys = tmp_path / "old"
    old_keys.mkdir()
    (old_keys / "2025.pub").write_bytes(public_pem(KEY.public_key()))
    make_key_file(tmp_path / "new.pem")
    issuer = open_issuer(ProofSettings(str(tmp_path / "new.pem"), str(old_keys), "Example Hosting"))
    published = tmp_path / "postwatch-keys.json"
    published.write_text(json.dumps(issuer.published()))
    keys = read_public_keys(published)
    assert len(keys) == 2
    for proof in (PROOF, issuer.prove(ROW, NOW_MS, 30)):
        assert check_proof(json.dumps(proof).encode(), keys).is_good


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key_file = tmp_path / "key.pem"
    assert main(["proof-key", str(key_file)]) == 0
    assert main(["proof-key", str(key_file)]) == 1
    issuer = ProofIssuer("Example Hosting", read_signing_key(key_file))
    proof = tmp_path / "proof.json"
    document = issuer.prove(make_row(subject="x\x1b[31m"), NOW_MS, 30)
    proof.write_text(json.dumps(document))
    capsys.readouterr()
    assert main(["verify", str(proof), "--key", f"{key_file}.pub", "--show"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"GOOD. Signed by Example Hosting at {iso_time(NOW_MS)}.\nSays:       ")
    assert "alice@example.net" in told
    assert "\x1b" not in told
    proof.write_text(json.dumps({**document, "statement": "The message was delivered."}))
    assert main(["verify", str(proof), "--key", f"{key_file}.pub"]) == 1
    assert capsys.readouterr().out.startswith("NOT GOOD. Its signature does not fit")
    assert main(["verify", str(tmp_path / "no"), "--key", f"{key_file}.pub"]) == 2
    assert main(["verify", str(proof), "--key", str(key_file)]) == 2
    assert main(["verify", str(proof), "--key", str(tmp_path / "no")]) == 2


def test_a_proof_is_checked_without_a_server_or_a_network(tmp_path: Path) -> None:
    """In a process that can open no socket."""
    (tmp_path / "proof.json").write_text(json.dumps(PROOF))
    (tmp_path / "key.pub").write_bytes(public_pem(KEY.public_key()))
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise SystemExit(9)\n"
        "socket.socket.__init__ = refuse\n"
        "from postwatch.deploy.cli import main\n"
        "sys.exit(main(['verify', sys.argv[1], '--key', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "proof.json"), str(tmp_path / "key.pub")]
    assert subprocess.run(command, check=False, env={}).returncode == 0


def test_an_id_is_the_key_s_own() -> None:
    assert PROOF["key_id"] == key_id(KEY.public_key())
    assert len(PROOF["key_id"]) == 32
