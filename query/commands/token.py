"""`postwatch token create|list|revoke`: API tokens. The token itself is shown once, by `create`."""

from __future__ import annotations

import argparse
import sys

from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.settings import load
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import Token, TokenBook
from postwatch.query.commands.scopes import minute_words, operator, read_scope, scope_words
from postwatch.streams.contracts.outcome import iso_time
from rich import box
from rich.console import Console
from rich.table import Table

_DAYS = 365


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser(
        "create",
        help="make a token and print it, once",
        description="Makes a token for the JSON API and prints it, once. Send it as `Authorization: Bearer TOKEN`.",
        epilog="Example: postwatch token create dashboard --domain example.org --days 90",
    )
    create.add_argument("name", help="what it is for, such as the name of a dashboard")
    create.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="ACCOUNT",
        help="may read this mailbox (user@domain); repeatable",
    )
    create.add_argument(
        "--domain",
        action="append",
        default=[],
        metavar="DOMAIN",
        help="may read every mailbox of it; repeatable",
    )
    create.add_argument("--all", action="store_true", help="may read every account")
    create.add_argument("--engineer", action="store_true", help="may read log lines and servers too; needs --all")
    create.add_argument(
        "--hand-over",
        action="store_true",
        help="for a panel: makes hand-over links for them, and reads nothing",
    )
    create.add_argument("--days", type=int, default=_DAYS, metavar="N", help=f"ends after N days (default: {_DAYS})")
    actions.add_parser("list", help="tokens, what they are for, and when they were last used")
    revoke = actions.add_parser("revoke", help="end a token; every server refuses it within 5 seconds")
    revoke.add_argument("token", help="its id, or its name for all tokens of that name")


def run(arguments: argparse.Namespace) -> int:
    configure_logs("token")
    store = StateStore(load(AccessSettings).state)
    try:
        book = TokenBook(store)
        if arguments.action == "create":
            return _create(book, arguments)
        if arguments.action == "revoke":
            ended = book.revoke(arguments.token, operator())
            print("\n".join(f"revoked: {token.id} {token.name}" for token in ended) or "it was revoked before")
            return 0
        Console(highlight=False).print(_table(book))
        return 0
    finally:
        store.close()


def _create(book: TokenBook, arguments: argparse.Namespace) -> int:
    scope = read_scope(arguments, hands_over=arguments.hand_over)
    secret, token = book.create(arguments.name, scope, arguments.days, operator())
    print(f"id {token.id}, until {iso_time(token.expires_at)}. The token is not shown again:", file=sys.stderr)
    print(secret)
    return 0


def _table(book: TokenBook) -> Table:
    table = Table(box=box.SIMPLE)
    for title in ("id", "name", "scope", "created by", "created", "ends", "last used", ""):
        table.add_column(title)
    now = now_ms()
    for token in book.listed():
        table.add_row(
            token.id,
            token.name,
            scope_words(token.scope),
            token.created_by,
            minute_words(token.created_at),
            minute_words(token.expires_at),
            minute_words(token.last_used_at) if token.last_used_at else "never",
            _standing(token, now),
        )
    return table


def _standing(token: Token, now: int) -> str:
    if token.revoked_at is not None:
        return f"revoked {minute_words(token.revoked_at)}"
    return "works" if token.works_at(now) else "ended"
