"""Builds the log-in as the settings say: the state, the door, and the routes of each way in.

The invariant: log-in is on as soon as one way in is set; then nothing is shown to whoever has not logged in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from fastapi import APIRouter
from postwatch.query.access.door import Door
from postwatch.query.access.handover import HandOverDesk
from postwatch.query.access.handover_routes import handover_api_router, handover_page_router
from postwatch.query.access.imap import ImapCheck
from postwatch.query.access.keys import shared_key
from postwatch.query.access.log_in_routes import admit_by, log_in_router
from postwatch.query.access.openid import OpenIdDoor
from postwatch.query.access.openid_again import OpenIdAgain
from postwatch.query.access.openid_routes import DEPART_PATH, openid_router
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.people import People
from postwatch.query.access.sessions import SessionBook
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.site import Site, read_site
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenBook
from postwatch.query.access.tries import TryBook

_MINUTE_MS = 60_000


@dataclass(slots=True)
class Entrance:
    """All of the log-in. Ended by `close`."""

    store: StateStore
    door: Door
    people: People
    tokens: TokenBook
    routers: list[APIRouter]
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Follows the lists, and writes when tokens were used last."""
        self.people.follow(self._stopped.wait)
        self.tokens.start()

    def close(self) -> None:
        self._stopped.set()
        self.tokens.stop()
        self.store.close()


def site_of(settings: AccessSettings) -> Site:
    """Raises SettingsError."""
    return read_site(settings.public_url, settings.public_names, settings.trusted_proxies)


def open_entrance(settings: AccessSettings, openid: OpenIdSettings) -> Entrance | None:
    """None: no way to log in is set. Raises SettingsError, and StateError for a state that can't be used."""
    if not (settings.imap or settings.passwords or openid.issuer):
        return None
    site = site_of(settings)
    imap = (
        ImapCheck(settings.imap, settings.imap_ca_file, settings.imap_timeout_seconds, settings.imap_connections)
        if settings.imap
        else None
    )
    people = People(settings)
    store = StateStore(settings.state)
    sessions = SessionBook(store, settings.idle_minutes * _MINUTE_MS, settings.session_hours * 60 * _MINUTE_MS)
    tokens = TokenBook(store)
    door = Door(site, sessions, TryBook(store), people, tokens, imap)
    admit = admit_by(door, store)
    desk = HandOverDesk(store, shared_key(store, "hand-over"))
    routers = [
        log_in_router(door, store, DEPART_PATH if openid.issuer else ""),
        handover_api_router(desk, tokens, store, site.url),
        handover_page_router(desk, store, admit),
    ]
    if openid.issuer:
        provider = OpenIdDoor(openid, shared_key(store, "openid"))
        routers.append(openid_router(provider, admit, site.url, OpenIdAgain(door, store)))
    return Entrance(store, door, people, tokens, routers)
