"""JSON that a shipper put around a line, and that no setting takes off: it is told, never passed over. Pure."""

from __future__ import annotations

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import Unreadable

_FIELD = compiled(r'[{,]\s*+"(?:message|MESSAGE|log|msg|line|_line|raw|event)"\s*+:')
"""How shippers name the field. Within a JSON text the quotes would have a backslash before them."""
_LOOKED_AT = 16_384
_UNNAMED = Unreadable("JSON around a line: name the field of the text in POSTWATCH_JOIN_LINE_FIELDS")


def around_a_line(line: str) -> Unreadable | None:
    """What to say of an object, or of a list with one, that has such a field; None: it is nothing of the kind."""
    return _UNNAMED if line[:1] in ("{", "[") and _FIELD.search(line, 0, _LOOKED_AT) else None
