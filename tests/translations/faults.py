"""What is wrong with a catalog: texts that it lacks or does not need, placeholders that differ, plural forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)(.)|(.))", re.DOTALL)
_OF_SCRIPTS = re.compile(r"\{\w+\}")
_TAG = re.compile(r"</?[a-z][^>]*>")


def faults(file: Path, template: Catalog) -> list[str]:
    """What a catalog lacks, each as a line; none: it is complete."""
    with file.open("rb") as text:
        catalog = read_po(text, locale=file.stem)
    return [f"{file.name}: {fault}" for fault in _faults(catalog, template)]


def _faults(catalog: Catalog, template: Catalog) -> Iterator[str]:
    wanted = {(message.context, _id(message)) for message in template if message.id}
    given = {(message.context, _id(message)) for message in catalog if message.id}
    for _context, text in sorted(wanted - given, key=str):
        yield f"lacks {text!r}"
    for _context, text in sorted(given - wanted, key=str):
        yield f"holds {text!r}, which no page says"
    for message in catalog:
        if message.id and (message.context, _id(message)) in wanted:
            yield from _message_faults(message, catalog.num_plurals)


def _id(message: Message) -> str:
    return message.id if isinstance(message.id, str) else str(message.id[0])


def _message_faults(message: Message, plurals: int) -> Iterator[str]:
    forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
    if message.fuzzy or not forms or not all(forms):
        yield f"{_id(message)!r} is not translated"
        return
    if not isinstance(message.id, str) and len(forms) != plurals:
        yield f"{_id(message)!r} has {len(forms)} plural forms, not {plurals}"
    ids = [message.id] if isinstance(message.id, str) else list(message.id)
    wanted = set().union(*map(placeholders, ids))
    for form in forms:
        # A form for one thing need not name the number.
        if placeholders(form) ^ wanted > {"num"} or (placeholders(form) ^ wanted) - {"num"}:
            yield f"{_id(message)!r}: placeholders of {form!r} differ"
        if sorted(_TAG.findall(form)) != sorted(_TAG.findall(ids[-1])):
            yield f"{_id(message)!r}: tags of {form!r} differ"


def placeholders(text: str) -> set[str]:
    """The names that a text has values for. Anything else after a `%` would break the page: it is told as it stands."""
    named = {name or f"%{kind or other}" for name, kind, other in _PLACEHOLDER.findall(text) if kind != "s" or name}
    return named | set(_OF_SCRIPTS.findall(text))
