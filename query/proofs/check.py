"""Is a proof good? It is read with suspicion: nothing but a document that the key signed, whole, is good.

Pure: no clock, no network. The verdict is one of plain sentences.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from postwatch.query.proofs.canonical import Document, NotCanonicalError, read_document
from postwatch.query.proofs.document import ALGORITHM, FIELDS, TYPE, VERSION, signed_bytes
from postwatch.query.proofs.keys import PublicKeys, from_base64url
from postwatch.query.wording import visible

_TEXTS = ("type", "algorithm", "key_id", "issuer", "issued_at", "statement", "scope", "retention", "signature")
_SIGNATURE_BYTES = 64


class Verdict(NamedTuple):
    is_good: bool
    words: str
    """One sentence: why it is not good, or who signed it and when."""
    document: Document | None = None
    """Only of a good one: what nobody signed is not shown."""


def check_proof(raw: bytes, keys: PublicKeys) -> Verdict:
    try:
        document = read_document(raw)
        complaint = _complaint(document)
        if complaint:
            return Verdict(False, complaint)
        key = keys.get(document["key_id"])
        if key is None:
            known = " or ".join(keys)
            return Verdict(
                False, f"It was signed with another key: it names {visible(document['key_id'])}, not {known}."
            )
        signature = from_base64url(document["signature"])
        if len(signature) != _SIGNATURE_BYTES:
            return Verdict(False, "Its signature is not whole.")
        key.verify(signature, signed_bytes(document))
    except NotCanonicalError as error:
        return Verdict(False, f"This is no proof of delivery: {visible(str(error))}.")
    except ValueError:
        return Verdict(False, "Its signature is not spelled as signatures are.")
    except InvalidSignature:
        return Verdict(False, "Its signature does not fit: it was changed, or somebody else wrote it.")
    return Verdict(True, f"Signed by {visible(document['issuer'])} at {document['issued_at']}.", document)


def _complaint(document: Document) -> str:
    """Why this is no document of ours, before anything is calculated; empty: it looks like one."""
    if document.get("type") != TYPE:
        return "This is no proof of delivery: it does not say that it is one."
    if document.get("version") != VERSION or type(document["version"]) is not int:
        return f"It is a proof of a version that is not known here: version {VERSION} is."
    if unknown := sorted(document.keys() - FIELDS):
        return f"It has a field that proofs do not have: {visible(unknown[0])}."
    if missing := sorted(FIELDS - document.keys()):
        return f"It lacks a field that proofs have: {missing[0]}."
    if wrong := [name for name in _TEXTS if type(document[name]) is not str]:
        return f"Its field {wrong[0]} is no text."
    if type(document["delivery"]) is not dict:
        return "Its field delivery is no object."
    if document["algorithm"] != ALGORITHM:
        return f"It names another algorithm: {visible(document['algorithm'])}. Proofs are signed with {ALGORITHM}."
    return ""
