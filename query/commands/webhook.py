"""`postwatch webhook create|list|revoke`: where new final statuses are sent. The secret is shown once, by `create`."""

from __future__ import annotations

import argparse
import sys

from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.settings import load
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.state import StateStore
from postwatch.query.commands.scopes import minute_words, operator, read_scope, scope_words
from postwatch.query.push.outbox import Counts, Outbox
from postwatch.query.push.webhooks import KINDS, WebhookBook
from postwatch.query.wording import visible
from rich import box
from rich.console import Console
from rich.table import Table


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser(
        "create",
        help="make a webhook and print its secret, once",
        description="Makes a webhook, and prints the secret that signs what it is sent, once.",
        epilog="Example: postwatch webhook create crm https://crm.example.org/mail --domain example.org",
    )
    create.add_argument("name", help="what it is for")
    create.add_argument("url", help="where to send: https://HOST/PATH")
    create.add_argument(
        "--account", action="append", default=[], metavar="ACCOUNT", help="of this mailbox (user@domain); repeatable"
    )
    create.add_argument(
        "--domain", action="append", default=[], metavar="DOMAIN", help="of every mailbox of it; repeatable"
    )
    create.add_argument("--all", action="store_true", help="of every account")
    create.add_argument("--engineer", action="store_true", help="with log lines and servers; needs --all")
    create.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=KINDS,
        help="final: each new final status (the default); unusual: bounces above what is usual; repeatable",
    )
    actions.add_parser("list", help="webhooks, what waits, what is dead, and why")
    revoke = actions.add_parser("revoke", help="end a webhook; nothing is sent to it after a few seconds")
    revoke.add_argument("webhook", help="its id, or its name for all of that name")


def run(arguments: argparse.Namespace) -> int:
    configure_logs("webhook")
    store = StateStore(load(AccessSettings).state)
    try:
        book = WebhookBook(store)
        if arguments.action == "create":
            scope = read_scope(arguments)
            made = book.create(arguments.name, arguments.url, scope, arguments.kind, operator())
            print(f"id {made.id}. The secret is not shown again:", file=sys.stderr)
            print(made.secret)
            return 0
        if arguments.action == "revoke":
            ended = book.revoke(arguments.webhook, operator())
            print("\n".join(f"revoked: {one.id} {one.name}" for one in ended) or "it was revoked before")
            return 0
        Console(highlight=False).print(_table(book, Outbox(store).counts()))
        return 0
    finally:
        store.close()


def _table(book: WebhookBook, counts: dict[str, Counts]) -> Table:
    table = Table(box=box.SIMPLE)
    for title in ("id", "name", "to", "of", "tells", "waiting", "sent", "dead", "last failure", ""):
        table.add_column(title, overflow="fold")
    for one in book.listed():
        known = counts.get(one.id, Counts(0, 0, 0, ""))
        ended = f"revoked {minute_words(one.revoked_at)}" if one.revoked_at else "works"
        words = [one.id, one.name, one.url, scope_words(one.scope), " ".join(sorted(one.kinds))]
        numbers = [str(known.waiting), str(known.sent), str(known.dead)]
        table.add_row(*map(visible, [*words, *numbers, known.note, ended]))
    return table
