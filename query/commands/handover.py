"""`postwatch handover MAILBOX`: a link that opens the page for one mailbox, once, within a minute."""

from __future__ import annotations

import argparse

from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.settings import load
from postwatch.query.access.handover import HandOverDesk
from postwatch.query.access.handover_routes import link_of
from postwatch.query.access.keys import shared_key
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.state import StateStore
from postwatch.query.commands.scopes import operator
from postwatch.query.settings import QuerySettings


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mailbox", help="user@domain")
    parser.epilog = (
        "Panels ask for links by POST /api/v1/hand-over, with a token of `postwatch token create --hand-over`."
    )


def run(arguments: argparse.Namespace) -> int:
    configure_logs("handover")
    settings = load(AccessSettings)
    store = StateStore(settings.state)
    try:
        link = HandOverDesk(store, shared_key(store, "hand-over")).make(arguments.mailbox, operator())
        print(link_of(settings.public_url or f"http://{load(QuerySettings).listen}", link.code))
    finally:
        store.close()
    return 0
