"""The way to the OpenID provider and back, as two addresses: `/log-in/openid` and `/log-in/openid/back`.

The invariant: what was asked of the provider stays in one cookie of this browser, for ten minutes and for one answer.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.admission import Admit, cookie_name, is_own_path
from postwatch.query.access.openid import TRANSACTION_SECONDS, OpenIdDoor
from starlette.responses import RedirectResponse

DEPART_PATH = "/log-in/openid"
BACK_PATH = "/log-in/openid/back"
_COOKIE = "postwatch_openid"


def openid_router(door: OpenIdDoor, admit: Admit, public_url: str) -> APIRouter:
    """`public_url`: the address of the pages as browsers see it, such as https://track.example.net/mail.

    Raises SettingsError where there is none: the provider sends browsers back to an address that it knows.
    """
    if not public_url:
        raise SettingsError("POSTWATCH_OPENID_ISSUER is set, but POSTWATCH_ACCESS_PUBLIC_URL is not")
    router = APIRouter(include_in_schema=False)
    base = public_url.rstrip("/")
    is_secure = base.startswith("https:")
    cookie = cookie_name(_COOKIE, is_secure)

    @router.get(DEPART_PATH)
    async def depart(next: str = "/") -> Response:
        departure = await door.depart(base + BACK_PATH, next if is_own_path(next) else "/")
        answer = RedirectResponse(departure.address, 303)
        # Lax: the way back is a navigation from another site.
        answer.set_cookie(
            cookie,
            departure.cookie,
            max_age=TRANSACTION_SECONDS,
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    @router.get(BACK_PATH)
    async def come_back(request: Request) -> Response:
        arrival = await door.arrive(request, request.cookies.get(cookie, ""))
        answer = await admit(request, arrival.identity, arrival.next_path, "")
        answer.delete_cookie(cookie, path="/", secure=is_secure, httponly=True, samesite="lax")
        return answer

    return router
