"""The document of a proof: what one viewer may see of one delivery, who says so and when, and the signature.

It speaks of what the mail log says, and of nothing else. Every part but the signature is signed.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from postwatch.query.proofs.canonical import Document, canonical_json
from postwatch.query.proofs.keys import key_id, to_base64url
from postwatch.query.sentences import say
from postwatch.query.shapes import DeliveryShape
from postwatch.query.statements import Delivery
from postwatch.query.story import story_of
from postwatch.query.translation import N_
from postwatch.streams.contracts.outcome import iso_time

TYPE = "postwatch proof of delivery"
VERSION = 1
ALGORITHM = "Ed25519"
FIELDS = frozenset(
    "type version algorithm key_id issuer issued_at statement scope retention delivery signature".split()
)

SCOPE = N_(
    "This document says what the mail logs of the issuer say about this delivery, as far as its holder may see it."
    " That a server accepted a message does not tell whether anybody has read it."
)


RETENTION = N_(
    "The issuer keeps this delivery for %(days)s days after its last event. Later only this document tells of it."
)
STILL_OPEN = N_("At %(at)s the log did not tell yet how this delivery ended.")


def make_proof(row: Delivery, issuer: str, key: Ed25519PrivateKey, issued_ms: int, retention_days: int) -> Document:
    """A row as its viewer may see it → the signed document. Raises NotCanonicalError for what can't be signed."""
    unsigned: dict[str, Any] = {
        "type": TYPE,
        "version": VERSION,
        "algorithm": ALGORITHM,
        "key_id": key_id(key.public_key()),
        "issuer": issuer,
        "issued_at": iso_time(issued_ms),
        "statement": _statement(row, issued_ms),
        "scope": SCOPE,
        "retention": RETENTION % {"days": retention_days},
        "delivery": DeliveryShape.of(row).model_dump(),
    }
    return {**unsigned, "signature": to_base64url(key.sign(signed_bytes(unsigned)))}


def signed_bytes(document: Document) -> bytes:
    """What the signature covers. Raises NotCanonicalError."""
    return canonical_json({name: part for name, part in document.items() if name != "signature"})


def _statement(row: Delivery, issued_ms: int) -> str:
    told = say(story_of(row).headline)
    if row.result != "pending":
        return told
    return f"{told} {STILL_OPEN % {'at': iso_time(issued_ms)}}"
