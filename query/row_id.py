"""The id of a delivery: opaque text that tells its row from every other, for links, the API, cursors and exports.

It holds the time when the message was received, so that a row is found in one week of the table, and the hash of the
row's key: that names the server, so ids that two servers share never mix. Both are one block of AES, sealed with a key
that lies in the tables. So an id tells nothing, and nobody can find out by trying which address, queue id or server
makes it.
"""

from __future__ import annotations

import base64
import binascii
import struct
import threading
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from postwatch.query.errors import NotFoundError
from postwatch.query.translation import N_

_PLACE = struct.Struct(">qQ")
_CHARACTERS = 22
_MOST_MS = 1 << 44
"""No time of a row is further from 1970. What another key has sealed is, but for one id in half a million."""
KEY_BYTES = 32


class RowPlace(NamedTuple):
    """Where a row is found."""

    queued_at: int
    row_hash: int
    """`statements.ROW_HASH`: of what an alias led to, for whoever may not see where it led, it is that of one line."""


class RowIds:
    """Seals and opens ids, in any thread. The first key seals; what the others sealed is still opened."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        # An id is one block, and the same place has the same id: that is what ECB is good for.
        self._ciphers = [Cipher(AES256(key), ECB()) for key in keys]
        self._seals = _Seals(self._ciphers[0])

    def encode(self, place: RowPlace) -> str:
        return _spelled(self._seals.seal.update(_PLACE.pack(*place)))

    def decode(self, word: str) -> RowPlace:
        """The inverse of `encode`. Raises NotFoundError for anything else, as for an id that no row has."""
        if len(word) == _CHARACTERS and word.isascii():
            try:
                sealed = base64.b64decode(f"{word}==", altchars=b"-_", validate=True)
            except binascii.Error:
                raise NotFoundError(NO_SUCH_ROW) from None
            if _spelled(sealed) == word:
                for cipher in self._ciphers:
                    place = RowPlace(*_PLACE.unpack(cipher.decryptor().update(sealed)))
                    if abs(place.queued_at) < _MOST_MS:
                        return place
        raise NotFoundError(NO_SUCH_ROW)


class _Seals(threading.local):
    """A thread's own: a file has a million ids, and to begin anew for each takes longer than to seal it."""

    def __init__(self, cipher: Cipher[ECB]) -> None:
        self.seal = cipher.encryptor()


def _spelled(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


NO_SUCH_ROW = N_("No delivery has this id, or you may not see it, or it is older than the reports go back.")
"""The same words for all of these: nobody can find out whether somebody else's row exists."""
