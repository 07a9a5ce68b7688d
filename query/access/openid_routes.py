"""The way to the OpenID provider and back: `/log-in/openid`, `/log-in/openid/again` and `/log-in/openid/back`.

The invariant: what was asked of the provider stays in one cookie of this browser, for ten minutes and for one answer.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.admission import Admit, cookie_name
from postwatch.query.access.openid import REFUSED, TRANSACTION_SECONDS, Departure, OpenIdDoor, hint_of
from postwatch.query.access.openid_again import AGAIN_PATH, OpenIdAgain
from postwatch.query.errors import ForbiddenError
from postwatch.query.web.forms import own_address
from postwatch.query.web.rendering import render
from starlette.responses import RedirectResponse

DEPART_PATH = "/log-in/openid"
BACK_PATH = "/log-in/openid/back"
_COOKIE = "postwatch_openid"


def openid_router(door: OpenIdDoor, admit: Admit, public_url: str, again: OpenIdAgain | None = None) -> APIRouter:
    """`public_url`: the address of the pages as browsers see it, such as https://track.example.net/mail.

    `again`: proves sessions again; without it there are none. Raises SettingsError where there is no address: the
    provider sends browsers back to one that it knows.
    """
    if not public_url:
        raise SettingsError("POSTWATCH_OPENID_ISSUER is set, but POSTWATCH_ACCESS_PUBLIC_URL is not")
    router = APIRouter(include_in_schema=False)
    base = public_url.rstrip("/")
    is_secure = base.startswith("https:")
    cookie = cookie_name(_COOKIE, is_secure)

    def keep(answer: Response, departure: Departure) -> Response:
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

    @router.get(DEPART_PATH)
    async def depart(next: str = "/") -> Response:
        departure = await door.depart(base + BACK_PATH, own_address(next))
        return keep(RedirectResponse(departure.address, 303), departure)

    @router.get(AGAIN_PATH)
    async def depart_again(request: Request, next: str = "/") -> Response:
        next_path = own_address(next)
        session = await again.to_prove(request) if again else None
        if session is None:
            return RedirectResponse(next_path, 303)
        departure = await door.depart(base + BACK_PATH, next_path, session.id_hash, hint_of(session.identity))
        if "." in next_path.partition("?")[0].rpartition("/")[2]:  # a file, which would leave our page on the screen
            return keep(RedirectResponse(departure.address, 303), departure)
        # No redirect: a form that was sent may lead to this site alone (`form-action`), and a page may go on anywhere.
        return keep(HTMLResponse(render("again.html", None, address=departure.address)), departure)

    @router.get(BACK_PATH)
    async def come_back(request: Request) -> Response:
        arrival = await door.arrive(request, request.cookies.get(cookie, ""))
        if again and arrival.again:
            answer = await again.arrive(request, arrival)
        elif arrival.identity:
            answer = await admit(request, arrival.identity, arrival.next_path, arrival.subject)
        else:
            raise ForbiddenError(REFUSED)
        answer.delete_cookie(cookie, path="/", secure=is_secure, httponly=True, samesite="lax")
        return answer

    return router
