"""From the schema of one ClickHouse server to that of a cluster: the same files, so columns are written once.

Each table becomes a replicated one, NAME_local, on every shard, and a Distributed table NAME over them, by which the
sink writes and reports read. Rows of one key meet on one shard, where the newest version wins. The servers' macros
`shard` and `replica` must be set, as ClickHouse's own documentation of clusters has it.
"""

from __future__ import annotations

import re

from postwatch.producers.service.errors import PostwatchError

_ALTER = re.compile(r"ALTER TABLE (\w+)\.(\w+)\n? +(?=ADD INDEX |MODIFY SETTING )")
_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\.(\w+)")
_ENGINE = re.compile(r"ENGINE = (\w*MergeTree)\(([^)]*)\)")
_SHARDED_BY = re.compile(r"^-- Sharded by (.+)$", re.MULTILINE)


def spread(statement: str, cluster: str) -> list[str]:
    """A CREATE TABLE, ADD INDEX or MODIFY SETTING of a migration → the same on all servers of the cluster."""
    if _ALTER.search(statement):  # of what is stored; a Distributed table stores nothing
        return [_ALTER.sub(rf"ALTER TABLE \1.\2_local ON CLUSTER '{cluster}' ", statement)]
    created, key = _CREATE.search(statement), _SHARDED_BY.search(statement)
    if created is None or key is None:
        raise PostwatchError(f"this statement can't be applied to a cluster:\n{statement}")
    database, table = created.groups()
    local = _CREATE.sub(rf"CREATE TABLE IF NOT EXISTS \1.\2_local ON CLUSTER '{cluster}'", statement)
    path = f"/clickhouse/tables/{{shard}}/{database}/{table}"
    local = _ENGINE.sub(rf"ENGINE = Replicated\1('{path}', '{{replica}}', \2)", local)
    distributed = (
        f"CREATE TABLE IF NOT EXISTS {database}.{table} ON CLUSTER '{cluster}' AS {database}.{table}_local\n"
        f"ENGINE = Distributed('{cluster}', {database}, {table}_local, {key[1]})"
    )
    return [local, distributed]
