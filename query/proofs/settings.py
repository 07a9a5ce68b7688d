"""Settings of proofs of delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """Who signs proofs of delivery, and with what. Without a key none are made."""

    SECTION: ClassVar[str] = "proof"

    signing_key_file: str = setting(
        "", doc="The Ed25519 key in PEM that signs proofs of delivery; `postwatch proof-key FILE` makes one."
    )
    old_keys_folder: str = setting(
        "", doc="A folder of public keys (`*.pub`, `*.pem`) that signed earlier proofs; they stay published."
    )
    issuer: str = setting("", doc="Your company's name, as proofs of delivery show it; needed with a key.")
