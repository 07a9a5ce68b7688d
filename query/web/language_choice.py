"""The language of each request: the viewer's choice (a cookie), else the browser's, else the setting's.

What is no page stays English. Choosing a language changes nothing else, so it asks for no log-in; it leads back to a
page of this site only.
"""

from __future__ import annotations

from contextvars import ContextVar

from fastapi import APIRouter, Request
from postwatch.query.errors import FilterError
from postwatch.query.translation import Language, speaking
from postwatch.query.web.choices import asks_for_page, cookie_of
from postwatch.query.web.forms import KEPT_SECONDS, own_address, read_form
from postwatch.query.web.languages import accepted_language, languages
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "postwatch_language"
PATH = "/language"

_address: ContextVar[str] = ContextVar("postwatch_page_address", default="/")


def page_address() -> str:
    """The address of the page that is being made, for the form to come back to."""
    return _address.get()


class LanguageChoice:
    """ASGI middleware: what is made inside is made in the viewer's language."""

    def __init__(self, app: ASGIApp, default: Language) -> None:
        self._app = app
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not asks_for_page(scope):
            await self._app(scope, receive, send)
            return
        chosen = self.choose(scope)

        async def send_labeled(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-language"] = chosen.code
                headers.add_vary_header("Accept-Language")
                headers.add_vary_header("Cookie")
            await send(message)

        query = scope["query_string"].decode("latin-1")
        with speaking(chosen):
            token = _address.set(_page_path(scope) + (f"?{query}" if query else ""))
            try:
                await self._app(scope, receive, send_labeled)
            finally:
                _address.reset(token)

    def choose(self, scope: Scope) -> Language:
        accepted = Headers(scope=scope).get("accept-language", "")
        return languages().get(cookie_of(scope, COOKIE)) or accepted_language(accepted) or self._default


def _page_path(scope: Scope) -> str:
    """Where a GET shows the page again: what a form was sent to may take nothing but forms."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path.decode("latin-1") if scope["method"] in ("GET", "HEAD") else "/"


def language_router() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.post(PATH)
    async def choose_language(request: Request) -> Response:
        asked = await read_form(request)
        code, back = asked.get("language", [""])[-1], asked.get("back", [""])[-1]
        if code not in languages():
            raise FilterError("%(code)s is not a language of these pages", code=repr(code))
        answer = RedirectResponse(own_address(back), 303)
        answer.set_cookie(
            COOKIE, code, max_age=KEPT_SECONDS, httponly=True, samesite="lax", secure=request.url.scheme == "https"
        )
        return answer

    return router
