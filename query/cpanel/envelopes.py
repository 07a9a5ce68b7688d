"""The JSON around an answer, as WHM API 1 and cPanel API 2 write it. Pure.

Whatever reached a function is answered with HTTP status 200, and `result` says whether it worked. Who may not come in
gets 403 and the words `Access denied`, as from cPanel's own server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from postwatch.query.cpanel.shaping import Chunk, Match

Document = dict[str, Any]
PLACES = ("/json-api", "/execute", "/xml-api")
"""What is asked below these paths is answered as cPanel's server answers."""
ACCESS_DENIED = "Access denied"
HOW_TO_COME_IN = (
    f"{ACCESS_DENIED}: send an API token of Postwatch as `Authorization: whm USER:TOKEN` or `cpanel USER:TOKEN`."
    " Passwords (Basic) are not taken."
)
MODULE = "EmailTrack"


_SESSION = re.compile(r"/cpsess[0-9]{1,20}(?=/)")
"""Scripts that were made for a session of cPanel have its number in front. The token alone says who asks."""


def is_cpanel_path(path: str) -> bool:
    path = _SESSION.sub("", path, count=1) if path.startswith("/cpsess") else path
    return any(path == place or path.startswith(f"{place}/") for place in PLACES)


def refusal(error: str, reason: str) -> Document:
    """Of a request that reached no function."""
    data = {"reason": reason, "result": "0"}
    return {"cpanelresult": {"apiversion": "2", "error": error, "data": data, "type": "text"}}


@dataclass(frozen=True, slots=True)
class Listed:
    """Records, and what is told of all of them."""

    records: Sequence[Mapping[str, Any]]
    found: int
    """With those of other pages."""
    overflowed: bool = False
    warnings: tuple[str, ...] = ()
    chunk: Chunk | None = None
    filters: tuple[Match, ...] = ()
    """What the answer repeats of the question."""


def whm_answer(function: str, listed: Listed) -> Document:
    metadata: Document = {
        "version": 1,
        "command": function,
        "result": 1,
        "reason": "OK",
        "overflowed": int(listed.overflowed),
    }
    if listed.warnings:
        metadata["output"] = {"warnings": list(listed.warnings)}
    if listed.filters:
        metadata["filter"] = {
            letter: {"field": one.field, "type": one.operator, "arg0": one.word}
            for letter, one in zip(ascii_lowercase, listed.filters, strict=False)
        }
    if listed.chunk:
        metadata["__chunked"] = 1
        if listed.chunk.is_verbose:
            metadata["chunk"] = _chunk_told(listed.chunk, listed.found)
    return {"data": {"records": list(listed.records)}, "metadata": metadata}


def whm_failure(function: str, reason: str) -> Document:
    return {"data": {}, "metadata": {"version": 1, "command": function, "result": 0, "reason": reason}}


def api2_answer(function: str, listed: Listed) -> Document:
    metadata: Document = {"overflowed": int(listed.overflowed)}
    if listed.warnings:
        metadata["warnings"] = list(listed.warnings)
    result: Document = {
        "apiversion": 2,
        "module": MODULE,
        "func": function,
        "data": list(listed.records),
        "event": {"result": 1},
        "metadata": metadata,
    }
    if listed.chunk:
        result["paginate"] = metadata["paginate"] = _page_told(listed.chunk, listed.found)
    return {"cpanelresult": result}


def api2_failure(module: str, function: str, reason: str) -> Document:
    result: Document = {
        "apiversion": 2,
        "module": module,
        "func": function,
        "data": [],
        "event": {"result": 0, "reason": reason},
        "error": reason,
    }
    return {"cpanelresult": result}


def uapi_failure(module: str, function: str, reason: str) -> Document:
    result: Document = {
        "status": 0,
        "data": None,
        "errors": [reason],
        "messages": None,
        "warnings": None,
        "metadata": {},
    }
    return {"apiversion": 3, "module": module, "func": function, "result": result}


def _chunk_told(chunk: Chunk, found: int) -> Document:
    size = chunk.size or max(found, 1)
    return {
        "start": chunk.start,
        "size": size,
        "records": found,
        "chunks": -(-found // size),
        "current": (chunk.start - 1) // size + 1,
    }


def _page_told(chunk: Chunk, found: int) -> Document:
    told = _chunk_told(chunk, found)
    return {
        "total_results": found,
        "total_pages": told["chunks"],
        "current_page": told["current"],
        "results_per_page": told["size"],
        "start_result": str(chunk.start),
    }
