"""The issuer of proofs: the signing key, the keys that are published, and the name that stands in each proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from postwatch.producers.service.errors import SettingsError
from postwatch.query.errors import QueryError
from postwatch.query.proofs.canonical import Document, NotCanonicalError
from postwatch.query.proofs.document import make_proof
from postwatch.query.proofs.errors import KeyFileError
from postwatch.query.proofs.keys import PublicKeys, by_id, published, read_public_keys, read_signing_key
from postwatch.query.proofs.settings import ProofSettings
from postwatch.query.statements import Delivery

_KEY_FILE, _OLD_KEYS, _ISSUER = (
    f"POSTWATCH_PROOF_{name}" for name in ("SIGNING_KEY_FILE", "OLD_KEYS_FOLDER", "ISSUER")
)


@dataclass(frozen=True, slots=True)
class ProofIssuer:
    """Signs proofs where there is a key, and publishes the keys of all proofs."""

    name: str = ""
    key: Ed25519PrivateKey | None = None
    old_keys: tuple[tuple[str, Any], ...] = ()

    @property
    def is_on(self) -> bool:
        return self.key is not None

    def prove(self, row: Delivery, issued_ms: int, retention_days: int) -> Document:
        """A proof of the row, which is what its viewer may see."""
        if self.key is None:
            raise QueryError("no proof can be signed without a key")
        try:
            return make_proof(row, self.name, self.key, issued_ms, retention_days)
        except NotCanonicalError as error:
            raise QueryError(f"this delivery can't be signed: {error}") from error

    def published(self) -> dict[str, Any]:
        """The keys that check proofs, the newest first."""
        keys: PublicKeys = by_id([self.key.public_key()]) if self.key else {}
        return published({**keys, **dict(self.old_keys)}, self.name)


def open_issuer(settings: ProofSettings) -> ProofIssuer:
    """Raises SettingsError that names the setting."""
    old = _old_keys(settings.old_keys_folder)
    if not settings.signing_key_file:
        return ProofIssuer(settings.issuer, None, tuple(old.items()))
    if not settings.issuer.strip():
        raise SettingsError(f"{_ISSUER} is not set: a proof of delivery says who signed it")
    try:
        key = read_signing_key(Path(settings.signing_key_file))
    except KeyFileError as error:
        raise SettingsError(f"{_KEY_FILE}: {error}") from error
    return ProofIssuer(settings.issuer.strip(), key, tuple(old.items()))


def _old_keys(folder: str) -> PublicKeys:
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise SettingsError(f"{_OLD_KEYS}={folder!r} is no folder")
    found: PublicKeys = {}
    try:
        for path in sorted(Path(folder).iterdir()):
            if path.suffix in (".pub", ".pem"):
                found |= read_public_keys(path)
    except KeyFileError as error:
        raise SettingsError(f"{_OLD_KEYS}: {error}") from error
    return found
