"""The application (API, pages and static files behind one guard) and the loop that serves it."""

from __future__ import annotations

import asyncio
import signal
import socket

import structlog
import uvicorn
from fastapi import FastAPI
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.health import Health
from postwatch.producers.service.systemd import Systemd
from postwatch.query.access.entrance import Entrance
from postwatch.query.access.site import Site
from postwatch.query.answers import install_error_answers
from postwatch.query.api import OPENAPI_PATH, api_router
from postwatch.query.cpanel.routes import cpanel_router
from postwatch.query.download_routes import download_router
from postwatch.query.downloads import Downloads
from postwatch.query.guards import LISTEN_VARIABLE, Guard, listen_address
from postwatch.query.identity import Identify
from postwatch.query.live.hub import LiveHub
from postwatch.query.live.stream import ABORT_KEY
from postwatch.query.proofs.issuer import ProofIssuer
from postwatch.query.proofs.routes import proof_router
from postwatch.query.report_service import ReportService
from postwatch.query.reports.registry import load_reports
from postwatch.query.viewer import ENGINEER
from postwatch.query.web.language_choice import LanguageChoice, language_router
from postwatch.query.web.languages import ENGLISH, language_of_setting
from postwatch.query.web.list_choice import choice_router
from postwatch.query.web.live import live_router
from postwatch.query.web.pages import page_router
from postwatch.query.web.rendering import FOLDER
from postwatch.query.web.row_details import row_details_router
from postwatch.query.web.zone_choice import ZoneChoice, zone_of_setting
from postwatch.query.zones import UTC_NAME
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger()

NO_PROOFS = ProofIssuer()
"""Without a key none are made."""
_IDLE_SECONDS = 75
"""How long a connection without a request stays open. Proxies keep theirs for a minute, and the request that they send
just when it is closed here fails."""
_GRACE_SECONDS = 5
_BACKLOG = 256


class _FreshFiles(StaticFiles):
    """Static files that browsers cache but revalidate, so that an upgrade shows at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


class Application:
    """The application, and the open pages that have to end with it. What is inside knows no base path."""

    def __init__(self, app: ASGIApp, hub: LiveHub, site: Site) -> None:
        self._app = app
        self._site = site
        self.hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = self._site.inside(scope)
            # The server hands over a method of its connection. Only there can a connection be closed that does not take
            # what is sent.
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            if isinstance(transport, asyncio.Transport):
                scope[ABORT_KEY] = transport.abort
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """A server that ends the streams of open pages before it waits for the requests in flight."""

    systemd: Systemd | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.systemd is not None and self.started:
            self.systemd.ready()
            self.systemd.watch_loop(asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.systemd is not None:
            self.systemd.stopping()
        if isinstance(self.config.app, Application):
            await self.config.app.hub.close()
        await super().shutdown(sockets)


def create_app(
    service: ReportService,
    identify: Identify = lambda _scope: ENGINEER,
    language: str = ENGLISH,
    zone: str = UTC_NAME,
    max_downloads: int = 4,
    entrance: Entrance | None = None,
    proofs: ProofIssuer = NO_PROOFS,
) -> Application:
    """The application, which speaks `language` and shows times of `zone` to whoever asks for no other.
    Raises SettingsError where it can't. Without an entrance there is no log-in, and whoever reaches it is an engineer.

    The framework's own documentation pages load scripts from other sites, so they are off.
    """
    app = FastAPI(
        title="Postwatch",
        summary="What happened to every message on every mail server.",
        version="1",
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    reports = load_reports().values()
    app.include_router(api_router(service, reports))
    door = entrance.door if entrance else None
    recognize = door.identify if door else identify
    hub = LiveHub(
        service.arrivals(),
        lambda page: recognize(page.scope) == page.window.viewer,
        service.live_pages,
        service.live_seconds,
    )
    app.include_router(page_router(service, reports, hub, proofs.is_on))
    app.include_router(row_details_router(service))
    app.include_router(live_router(service, hub))
    app.include_router(download_router(Downloads(service, max_downloads), reports))
    app.include_router(proof_router(service, proofs))
    if entrance:
        service.owners = entrance.people.names
    app.include_router(cpanel_router(service, service.owners))
    app.include_router(language_router())
    app.include_router(choice_router())
    for router in entrance.routers if entrance else ():
        app.include_router(router)
    app.mount("/static", _FreshFiles(directory=FOLDER / "static"))
    install_error_answers(app)
    site = door.site if door else Site()
    guard = Guard(app, recognize, site, door)
    # Around all of it: a middleware of the framework would not see its answer to a bug.
    spoken = LanguageChoice(ZoneChoice(guard, zone_of_setting(zone)), language_of_setting(language))
    return Application(spoken, hub, site)


def open_listener(listen: str, site: Site | None = None) -> socket.socket:
    """A socket; port 0 picks a free one. Without a site, which means log-in, on loopback only. Raises SettingsError."""
    host, port = listen_address(listen, site or Site(), has_log_in=site is not None)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # from here on a request waits instead of being refused
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"can't listen on {LISTEN_VARIABLE}={listen!r} ({(error.strerror or str(error)).lower()}): use another port"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(app: ASGIApp, systemd: Systemd | None = None) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # it would believe every program on loopback; site.py says who is believed
        ws="none",
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)
    server.systemd = systemd
    return server


def serve(app: ASGIApp, listener: socket.socket, health: Health) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight get a few seconds to finish."""
    server = make_server(app, Systemd(health))

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    # The server has a handler of its own, but only while it runs. It raises the signal again at its end, and without
    # this handler that would end the process by signal.
    signal.signal(signal.SIGTERM, stop)
    log.info("serving", address=address_of(listener))
    server.run(sockets=[listener])
    log.info("serving_ended")
