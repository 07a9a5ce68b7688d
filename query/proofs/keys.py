"""Ed25519 keys: the one that signs, those that are published, and their ids.

A key's id is the beginning of the SHA-256 of its 32 bytes, so nobody chooses it, and two keys never share one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from postwatch.query.proofs.errors import KeyFileError

_ID_CHARACTERS = 32
_MAX_KEY_BYTES = 256 * 1024
PEM_PRIVATE = b"PRIVATE KEY-----"

PublicKeys = dict[str, Ed25519PublicKey]
"""By id."""


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:_ID_CHARACTERS]


def by_id(keys: Iterable[Ed25519PublicKey]) -> PublicKeys:
    return {key_id(key): key for key in keys}


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def make_key_file(path: Path) -> Ed25519PrivateKey:
    """A new private key in a new file that its owner alone may read. Raises KeyFileError: no file is replaced."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Made with its mode, not given it later: nobody reads the key in between.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileError(f"{path} is there already: a key is never replaced; name another file") from error
    except OSError as error:
        raise KeyFileError(f"can't write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return key


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """A PEM file's private key. Raises KeyFileError, also where everybody on the machine may read it."""
    raw = _read(path)
    if path.stat().st_mode & 0o007:
        raise KeyFileError(f"everybody on this machine may use the key in {path}: chmod 600 {path}")
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a key of another kind: proofs are signed with Ed25519")
    return key


def read_public_keys(path: Path) -> PublicKeys:
    """The keys of a PEM file, or of what a server publishes. Raises KeyFileError."""
    raw = _read(path)
    if raw.lstrip()[:1] == b"{":
        return _published_keys(raw, path)
    if PEM_PRIVATE in raw:
        raise KeyFileError(f"{path} holds a private key: use the public one, and keep this one secret")
    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no public key in PEM, and is no file of published keys") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{path} holds a key of another kind: proofs are signed with Ed25519")
    return by_id([key])


def _published_keys(raw: bytes, path: Path) -> PublicKeys:
    try:
        keys = [
            Ed25519PublicKey.from_public_bytes(from_base64url(one["x"]))
            for one in json.loads(raw)["keys"]
            if (one["kty"], one["crv"]) == ("OKP", "Ed25519")
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyFileError(f"{path} is no file of published keys") from error
    if not keys:
        raise KeyFileError(f"{path} holds no Ed25519 key")
    return by_id(keys)


def published(keys: PublicKeys, issuer: str) -> dict[str, Any]:
    """What a server publishes: a JWK set (RFC 7517, RFC 8037)."""
    return {
        "issuer": issuer,
        "keys": [
            {"alg": "EdDSA", "crv": "Ed25519", "kid": one, "kty": "OKP", "use": "sig", "x": to_base64url(raw)}
            for one, raw in ((one, key.public_bytes_raw()) for one, key in keys.items())
        ],
    }


def to_base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The inverse of `to_base64url`. Raises ValueError for any other spelling of the same bytes."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, AttributeError) as error:
        raise ValueError("not base64url") from error
    if to_base64url(raw) != text:
        raise ValueError("not the one spelling")
    return raw


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"can't read {path}: {error.strerror}") from error
    if len(raw) > _MAX_KEY_BYTES:
        raise KeyFileError(f"{path} is too large for a file of keys")
    return raw
