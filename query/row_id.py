"""The id of a delivery: opaque text that tells its row from every other, for links, the API and exports.

It holds the time when the message was received, so that a row is found in one week of the table, and the hash of the
row's key. It holds no address, and ids that two servers share never mix: the key names the server.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

from postwatch.query.errors import NotFoundError
from postwatch.query.translation import N_

_PLACE = struct.Struct(">qQ")
_CHARACTERS = 22


class RowPlace(NamedTuple):
    """Where a row is found."""

    queued_at: int
    row_hash: int
    """`statements.ROW_HASH`: of what an alias led to, for whoever may not see where it led, it is that of one line."""


def encode_row_id(place: RowPlace) -> str:
    return base64.urlsafe_b64encode(_PLACE.pack(*place)).decode().rstrip("=")


def decode_row_id(word: str) -> RowPlace:
    """The inverse of `encode_row_id`. Raises NotFoundError for anything else, as for an id that no row has."""
    if len(word) == _CHARACTERS and word.isascii():
        try:
            place = RowPlace(*_PLACE.unpack(base64.b64decode(f"{word}==", altchars=b"-_", validate=True)))
        except binascii.Error:
            raise NotFoundError(NO_SUCH_ROW) from None
        if encode_row_id(place) == word:
            return place
    raise NotFoundError(NO_SUCH_ROW)


NO_SUCH_ROW = N_("No delivery has this id, or you may not see it, or it is older than the reports go back.")
"""The same words for all of these: nobody can find out whether somebody else's row exists."""
