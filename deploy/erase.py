"""Erases an account, or every row that names an address, from the tables; and tells what Kafka still holds.

Invariant: one whole address, and no row of which it is not a part. A table is told to be free of it only when its
mutation has ended on every server. Slim tables come first, so an erasure that was cut off is simply repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from postwatch.deploy.cluster_ddl import run_everywhere
from postwatch.deploy.migrate import Place
from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.query.errors import FilterError
from postwatch.query.filters import Mailbox, read_account

SLIM_TABLES = ("arrivals", "delivery_states", "delivery_events", "delivery_hops")
WAIT_SECONDS = 3600.0
_KEY_HASH = "cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction)"
_HASHES = {"arrivals": "row_key", "deliveries": _KEY_HASH}
_OF_ACCOUNT = "account_domain = {domain:String} AND account = {address:String}"
_NAMES = "({address:String} IN (lower(sender), lower(recipient), lower(original_recipient), lower(authenticated_as)))"
_MENTIONS = (
    "(positionCaseInsensitiveUTF8(response, {address:String}) > 0"
    " OR arrayExists(text -> positionCaseInsensitiveUTF8(text, {address:String}) > 0, attempts.response)"
    " OR arrayExists(text -> positionCaseInsensitiveUTF8(text, {address:String}) > 0, log_lines))"
)
"""A longer address that has it as its end is mentioned too: too many rows are told, and none too few."""
_PATTERN = frozenset("*%?\\")


@dataclass(frozen=True, slots=True)
class Found:
    """How many rows there are, in their last versions."""

    own: int
    """Of the account."""
    naming: int
    """Of other accounts: the address is the sender, the recipient or the login."""
    mentioning: int
    """Of other accounts: the address stands in a reply or in a log line."""


def read_address(word: str) -> Mailbox:
    """One whole address. Raises BadInputError for what would take more than one account."""
    if _PATTERN & set(word):
        raise BadInputError(f"{word!r} may stand for many addresses: erase one account or address at a time")
    try:
        scope = read_account(word)
    except FilterError as error:
        raise BadInputError(str(error)) from error
    if not isinstance(scope, Mailbox):
        raise BadInputError(
            f"{word!r} is no single account: use user@domain, or user@server for a system user; a domain is not erased "
            "at once"
        )
    return scope


def find(client: Client, place: Place, account: Mailbox) -> Found:
    sql = (
        f"SELECT countIf({_OF_ACCOUNT}), countIf(NOT ({_OF_ACCOUNT}) AND {_NAMES}),"
        f" countIf(NOT ({_OF_ACCOUNT}) AND NOT {_NAMES} AND {_MENTIONS}) FROM {place.database}.deliveries FINAL"
    )
    [[own, naming, mentioning]] = client.query(sql, parameters=_values(account)).result_rows
    return Found(int(own), int(naming), int(mentioning))


def erase(client: Client, place: Place, account: Mailbox, *, everywhere: bool, say: Callable[[str], None]) -> None:
    """Deletes the rows of the account in every table; `everywhere`: those of others that name or mention it too, in
    every version. Raises UnavailableError where a mutation does not end."""
    # The rows of a key lie on one shard, in every table. All versions are looked at, and go: an old one may name it.
    rows = f"{place.database}.{place.stored('deliveries')}"
    hashes = f"SELECT {_KEY_HASH} FROM {rows} WHERE {_NAMES} OR {_MENTIONS}"
    for table in (*SLIM_TABLES, "deliveries"):
        where = f"({_OF_ACCOUNT})"
        if everywhere:
            where += f" OR {_HASHES.get(table, 'k')} IN ({hashes})"
        _mutate(client, place, place.stored(table), where, account)
        say(f"{table}: gone")


def _mutate(client: Client, place: Place, stored: str, where: str, account: Mailbox) -> None:
    """Without waiting in the statement, which a proxy or a timeout would cut off."""
    run_everywhere(
        client,
        f"ALTER TABLE {place.database}.{stored}{place.on_cluster} DELETE WHERE {where}",
        parameters=_values(account),
        settings={"mutations_sync": 0, "allow_nondeterministic_mutations": 1},
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while running := _running(client, place, stored):
        failed = [reason for _, reason in running if reason]
        if failed:
            raise UnavailableError(f"{stored} can't be rewritten: {failed[0][:200]}; mend the cause, and it goes on")
        if time.monotonic() > deadline:
            raise UnavailableError(f"{stored} is still being rewritten: see system.mutations, and run this again")
        time.sleep(0.2)


def _running(client: Client, place: Place, stored: str) -> Sequence[tuple[str, str]]:
    mutations = f"clusterAllReplicas('{place.cluster}', system.mutations)" if place.cluster else "system.mutations"
    sql = (
        f"SELECT mutation_id, latest_fail_reason FROM {mutations} WHERE database = {{database:String}}"
        " AND table = {table:String} AND NOT is_done"
    )
    rows = client.query(sql, parameters={"database": place.database, "table": stored}).result_rows
    return [(str(name), str(reason)) for name, reason in rows]


def _values(account: Mailbox) -> dict[str, str]:
    return {"domain": account.domain, "address": account.name}
