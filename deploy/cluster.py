"""From the schema of one ClickHouse server to that of a cluster: the same files, so columns are written once.

Each table becomes a replicated one, NAME_local, on every shard, and a Distributed table NAME over them, by which the
sink writes and reports read. Rows of one key meet on one shard, where the newest version wins. The servers' macros
`shard` and `replica` must be set, as ClickHouse's own documentation of clusters has it.

A statement whose meaning on a cluster is not known here is never passed on as it is: UnknownStatementError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from postwatch.producers.service.errors import PostwatchError

_SHARDED_BY = re.compile(r"^-- Sharded by (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_CREATE_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\.(\w+)")
_ENGINE = re.compile(r"ENGINE = (\w*MergeTree)\(([^)]*)\)")
_ALTER_TABLE = re.compile(r"ALTER TABLE (\w+)\.(\w+)\s+(.*)", re.DOTALL)
_VIEW = re.compile(r"(CREATE VIEW IF NOT EXISTS|CREATE OR REPLACE VIEW) (\w+\.\w+)\s+(AS\s.*)", re.DOTALL)
_MATERIALIZED_VIEW = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+\.\w+)\s+TO (\w+\.\w+)\s+(AS\s.*)", re.DOTALL
)
_SOURCE = re.compile(r"\bFROM\s+(\w+\.\w+)")
_OTHER_SOURCES = re.compile(r"\bFROM\s*\(|\bWITH\b|(?<!ARRAY )\bJOIN\b")
_CHANGE = re.compile(r"(ADD COLUMN|ADD INDEX|DROP INDEX|MODIFY SETTING|MODIFY TTL)\b")
_FOLLOWING_CHANGE = re.compile(r",\s*(?=[A-Z]+ [A-Z]+\b)")
"""The comma before the next of several changes; settings and types have commas too, but no two words in capitals."""


class UnknownStatementError(PostwatchError):
    """A migration's statement of a kind that is not known on a cluster."""


def spread(statement: str, cluster: str) -> list[str]:
    """One statement of a migration → what does the same on all servers of the cluster. Raises UnknownStatementError."""
    bare = _COMMENT.sub("", statement).strip()
    if _CREATE_TABLE.match(bare):
        return _create_table(statement, bare, cluster)
    if found := _ALTER_TABLE.match(bare):
        return list(_alter_table(found, cluster))
    if found := _VIEW.match(bare):  # reads all shards through the Distributed tables
        create, view, query = found.groups()
        return [f"{create} {view} ON CLUSTER '{cluster}' {query}"]
    if found := _MATERIALIZED_VIEW.match(bare):
        return [_materialized_view(found, cluster)]
    raise _unknown(bare)


def _create_table(statement: str, bare: str, cluster: str) -> list[str]:
    created, key = _CREATE_TABLE.match(bare), _SHARDED_BY.search(statement)
    if created is None or key is None or not _ENGINE.search(bare):
        raise _unknown(bare)
    database, table = created.groups()
    local = _CREATE_TABLE.sub(rf"CREATE TABLE IF NOT EXISTS \1.\2_local ON CLUSTER '{cluster}'", bare)
    replica = f"'/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}'"
    local = _ENGINE.sub(
        lambda engine: f"ENGINE = Replicated{engine[1]}({', '.join(filter(None, [replica, engine[2]]))})", local
    )
    distributed = (
        f"CREATE TABLE IF NOT EXISTS {database}.{table} ON CLUSTER '{cluster}' AS {database}.{table}_local\n"
        f"ENGINE = Distributed('{cluster}', {database}, {table}_local, {key[1]})"
    )
    return [local, distributed]


def _alter_table(statement: re.Match[str], cluster: str) -> Iterator[str]:
    """A Distributed table has the columns too; indexes, settings and the TTL are those of what is stored."""
    database, table, changes = statement.groups()
    kinds = {found[1] if (found := _CHANGE.match(change)) else "" for change in _FOLLOWING_CHANGE.split(changes)}
    if "" in kinds or len(kinds) > 1:
        raise _unknown(statement[0])
    yield f"ALTER TABLE {database}.{table}_local ON CLUSTER '{cluster}' {changes}"
    if kinds == {"ADD COLUMN"}:
        yield f"ALTER TABLE {database}.{table} ON CLUSTER '{cluster}' {changes}"


def _materialized_view(statement: re.Match[str], cluster: str) -> str:
    """The view of a shard sees the rows that are stored there; what it makes of them goes to the shard of its key."""
    view, target, query = statement.groups()
    if len(_SOURCE.findall(query)) != 1 or _OTHER_SOURCES.search(query):
        raise _unknown(statement[0])
    query = _SOURCE.sub(r"FROM \1_local", query)
    return f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} ON CLUSTER '{cluster}' TO {target} {query}"


def _unknown(statement: str) -> UnknownStatementError:
    shown = " ".join(statement.split())
    shown = shown if len(shown) <= 120 else f"{shown[:119]}…"
    return UnknownStatementError(
        f"this statement can't be applied to a cluster: {shown!r}; known there are CREATE TABLE, CREATE VIEW, CREATE "
        "MATERIALIZED VIEW … TO … of one table, and ALTER TABLE with only ADD COLUMN, ADD INDEX, DROP INDEX, "
        "MODIFY SETTING or MODIFY TTL"
    )
