"""Small forms that change how pages look: their fields, bounded, and the page that they lead back to.

Invariant: no form leads to another site.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from fastapi import Request
from postwatch.query.errors import FilterError
from postwatch.query.translation import N_

KEPT_SECONDS = 365 * 24 * 60 * 60
"""How long a browser keeps such a choice."""
_MAX_BODY_BYTES = 16 * 1024
_MAX_FIELDS = 100
_OWN_ADDRESS = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this site: `//host` and `/\\\\host` lead elsewhere."""


def own_address(text: str) -> str:
    """The address if it is one of this site, else that of the first page."""
    return text if _OWN_ADDRESS.fullmatch(text) else "/"


async def read_form(request: Request) -> dict[str, list[str]]:
    """The fields of a form that was sent, each with its values. Raises FilterError where it is too long."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise FilterError(N_("The form is too long"))
    try:
        return parse_qs(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise FilterError(N_("The form is too long")) from error
