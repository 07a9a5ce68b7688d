"""`postwatch proof-key`: make the key that signs proofs of delivery. Nothing is ever replaced."""

from __future__ import annotations

import argparse
from pathlib import Path

from postwatch.query.proofs.errors import KeyFileError
from postwatch.query.proofs.keys import key_id, make_key_file, public_pem


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the new file of the private key; FILE.pub gets the public one")
    parser.epilog = (
        "Set POSTWATCH_PROOF_SIGNING_KEY_FILE to FILE. To replace a key, make a new one, and move the FILE.pub of the"
        " old one to the folder that POSTWATCH_PROOF_OLD_KEYS_FOLDER names: proofs that it signed stay good."
    )


def run(arguments: argparse.Namespace) -> int:
    path = Path(arguments.file)
    beside = path.with_name(f"{path.name}.pub")
    if beside.exists():
        raise KeyFileError(f"{beside} is there already: a key is never replaced; name another file")
    public = make_key_file(path).public_key()
    beside.write_bytes(public_pem(public))
    print(f"{path}: the private key {key_id(public)}. Only {path.owner()} may read it.")
    print(f"{beside}: the public key. Give it to whoever wants to check proofs.")
    return 0
