"""`postwatch verify`: is a proof of delivery good? It needs the file and the published key, and no server.

Exit status: 0 good, 1 not good, 2 a file can't be read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from postwatch.producers.service.errors import BadInputError
from postwatch.query.proofs.canonical import MAX_BYTES
from postwatch.query.proofs.check import check_proof
from postwatch.query.proofs.keys import read_public_keys
from postwatch.query.wording import visible

GOOD, NOT_GOOD = 0, 1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the proof, a .json file")
    parser.add_argument(
        "--key",
        required=True,
        metavar="FILE",
        help="the provider's public key: a PEM file, or what it publishes at /.well-known/postwatch-keys.json",
    )
    parser.add_argument("--show", action="store_true", help="print all that was signed, too")
    parser.epilog = "Exit status: 0 the proof is good, 1 it is not, 2 a file can't be read."


def run(arguments: argparse.Namespace) -> int:
    keys = read_public_keys(Path(arguments.key))
    verdict = check_proof(_read(Path(arguments.file)), keys)
    if verdict.document is None:
        print(f"NOT GOOD. {verdict.words}")
        return NOT_GOOD
    document = verdict.document
    print(f"GOOD. {verdict.words}")
    delivery = document["delivery"]
    for label, words in (
        ("Says", document["statement"]),
        ("From", delivery.get("sender", "")),
        ("To", delivery.get("recipient", "")),
        ("Message-ID", delivery.get("message_id", "")),
        ("Key", document["key_id"]),
    ):
        print(f"{label + ':':12}{visible(str(words))}")
    if arguments.show:
        print(json.dumps(document, indent=1))
    return GOOD


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"can't read {path}: {error.strerror}") from error
