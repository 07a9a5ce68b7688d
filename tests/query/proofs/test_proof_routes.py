"""Proofs over HTTP: to whoever may see the delivery; the keys for everybody; plain words where there is no key."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from postwatch.query.proofs.check import check_proof
from postwatch.query.proofs.issuer import ProofIssuer
from postwatch.query.proofs.keys import by_id, from_base64url
from postwatch.query.proofs.routes import KEYS_PATH, NO_KEY
from postwatch.query.row_id import NO_SUCH_ROW
from postwatch.query.viewer import ENGINEER, Viewer

from tests.query.conftest import Office, Open, make_row, served

KEY = Ed25519PrivateKey.generate()
KEYS = by_id([KEY.public_key()])
ISSUER = ProofIssuer("Example <Hosting>", KEY)
BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
EVE = Viewer("eve", mailboxes=frozenset({"eve@example.org"}))


def test_the_api_the_file_and_the_page_hold_one_signed_document(office: Office) -> None:
    office.insert([make_row(subject="100% %(x)s <b>", log_lines=("eve@far.example",))])
    row = office.report().rows[0]
    with served(office.service, BOB, proofs=ISSUER) as site:
        api = site.get(f"/api/v1/deliveries/{row.id}/proof").json()
        file = site.get(f"/delivery/{row.id}/proof.json", headers={"accept-language": "de"})
        page = site.get(f"/delivery/{row.id}/proof", headers={"accept-language": "de"}).text
        assert f"/delivery/{row.id}/proof" in site.get(f"/delivery/{row.id}").text
        spaced = site.get(f"/delivery/%0D%0A%E2%80%83{row.id}%20/proof.json")
    assert file.headers["content-disposition"] == f'attachment; filename="proof-of-delivery-{row.id}.json"'
    assert spaced.headers["content-disposition"] == file.headers["content-disposition"]
    assert file.json() == api  # in English for every reader; the clock of this office stands still
    verdict = check_proof(file.content, KEYS)
    assert verdict.is_good
    assert api["delivery"]["id"] == row.id
    assert api["delivery"]["log_lines"] == []
    assert "Example &lt;Hosting&gt;" in page
    assert "<b>" not in page
    assert api["signature"] in page


def test_somebody_else_s_delivery_is_not_proven(office: Office) -> None:
    office.insert([make_row()])
    row = office.report().rows[0]
    with served(office.service, EVE, proofs=ISSUER) as site:
        for path in ("/api/v1/deliveries/{}/proof", "/delivery/{}/proof", "/delivery/{}/proof.json"):
            for word in (row.id, "A" * 22):
                answer = site.get(path.format(word))
                assert answer.status_code == 404
                assert NO_SUCH_ROW in answer.text


def test_everybody_gets_the_public_keys(office: Office) -> None:
    with served(office.service, None, proofs=ISSUER) as site:
        found = site.get(KEYS_PATH).json()
    assert found["issuer"] == "Example <Hosting>"
    [key] = found["keys"]
    assert (key["kty"], key["crv"], key["kid"]) == ("OKP", "Ed25519", next(iter(KEYS)))
    assert from_base64url(key["x"]) == KEY.public_key().public_bytes_raw()
    assert "d" not in key


def test_without_a_key_there_is_no_button_and_the_api_says_why(office: Office, open_site: Open) -> None:
    office.insert([make_row()])
    row = office.report().rows[0]
    site = open_site(office.service, ENGINEER)
    assert "proof" not in site.get(f"/delivery/{row.id}").text.lower()
    answer = site.get(f"/api/v1/deliveries/{row.id}/proof")
    assert answer.status_code == 404
    assert json.loads(answer.text)["error"]["message"] == NO_KEY
    assert site.get(KEYS_PATH).json()["keys"] == []
