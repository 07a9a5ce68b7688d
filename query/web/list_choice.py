"""How a viewer wants his list: the columns, the order and the time zone, kept in cookies for the next visit.

Invariant: a cookie holds names of ours and nothing else; what is not known in it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from fastapi import APIRouter, Request
from postwatch.query.errors import FilterError
from postwatch.query.orders import BY_NAME, ORDERS
from postwatch.query.web.columns import COLUMNS
from postwatch.query.web.forms import KEPT_SECONDS, own_address, read_form
from postwatch.query.web.zone_choice import COOKIE as ZONE_COOKIE
from postwatch.query.zones import find_zone
from starlette.responses import RedirectResponse, Response

PATH = "/list"
COOKIE = "postwatch_list"
_ASCENDING = "-up"


@dataclass(frozen=True, slots=True)
class ListChoice:
    """Names of columns, and the order; no columns: the usual ones."""

    columns: tuple[str, ...] = ()
    by: str = ORDERS[0]
    is_ascending: bool = False
    zone: str = ""
    """The zone that the viewer chose; empty: his browser's, or the setting's."""

    def to_cookie(self) -> str:
        return ".".join((f"{self.by}{_ASCENDING if self.is_ascending else ''}", *self.columns))


def choice_of(request: Request) -> ListChoice:
    """The choice that came with a request."""
    order, *columns = unquote(request.cookies.get(COOKIE, "")).split(".")
    by = order.removesuffix(_ASCENDING)
    known = {column.name for column in COLUMNS}
    found = tuple(dict.fromkeys(name for name in columns if name in known))
    zone = unquote(request.cookies.get(ZONE_COOKIE, ""))
    zone = zone if find_zone(zone) else ""
    return ListChoice(found, by, order != by, zone) if by in BY_NAME else ListChoice(found, zone=zone)


def choice_router() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post(PATH)
    async def choose_list(request: Request) -> Response:
        asked = await read_form(request)
        answer = RedirectResponse(own_address(asked.get("back", [""])[-1]), 303)
        by, zone = asked.get("by", [""])[-1], asked.get("zone", [""])[-1]
        if by and by not in BY_NAME:
            raise FilterError(
                "%(text)s is not a valid order: use %(choices)s", text=repr(by), choices=", ".join(ORDERS)
            )
        if zone and find_zone(zone) is None:
            raise FilterError("%(text)s is not a time zone: use a name such as Europe/Berlin", text=repr(zone))
        known = {column.name for column in COLUMNS}
        columns = tuple(name for name in dict.fromkeys(asked.get("column", [])) if name in known)
        if "reset" in asked:
            answer.delete_cookie(COOKIE)
        else:
            choice = ListChoice(columns, by or ORDERS[0], "ascending" in asked)
            _keep(request, answer, COOKIE, choice.to_cookie(), is_script_s=False)
        if zone:
            _keep(request, answer, ZONE_COOKIE, quote(zone, safe="/"), is_script_s=True)
        else:  # the browser's own, which the script knows
            answer.delete_cookie(ZONE_COOKIE)
        return answer

    return router


def _keep(request: Request, answer: Response, name: str, value: str, is_script_s: bool) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=KEPT_SECONDS,
        httponly=not is_script_s,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
