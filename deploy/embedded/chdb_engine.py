"""The real ClickHouse engine, in this process: statements as ClickHouse's HTTP interface takes them → answers.

One process owns a data folder (chDB locks it), and survives kill -9. A few connections serve all threads, each used by
one statement at a time; a setting of a statement never outlives it.
"""

from __future__ import annotations

import os
import queue
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

_CONNECTIONS = 6
_MIB = 1024 * 1024
SERVER_SETTINGS = {
    "max_server_memory_usage": 2048 * _MIB,
    "index_uncompressed_cache_size": 128 * _MIB,
    "mark_cache_size": 256 * _MIB,
    "index_mark_cache_size": 64 * _MIB,
    "primary_index_cache_size": 64 * _MIB,
    "text_index_tokens_cache_size": 64 * _MIB,
    "text_index_header_cache_size": 64 * _MIB,
    "text_index_postings_cache_size": 64 * _MIB,
    "query_condition_cache_size": 32 * _MIB,
    "os_threads_nice_value_merge_mutate": 5,
}
"""The engine shares its machine with the broker and the workers; by default it takes nine tenths of the memory. Merges
give way to inserts and questions, where the process may say so (CAP_SYS_NICE)."""
_ALLOCATOR = {"JE_MALLOC_CONF": "dirty_decay_ms:1000,tcache_max:4096"}
"""Free pages go back within a second, by default five, and each of its hundreds of threads keeps 50 kB, not 150: some
40 MB less at any time, for a seventh more work. Read when the library is loaded."""
_DEFAULT_FORMAT = "TabSeparated"
_INSERT = re.compile(rb"\s*(?:/\*.*?\*/\s*)?INSERT\s+INTO\s", re.IGNORECASE | re.DOTALL)
_INSERT_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)[ \t]*(?:;\s*)?(?:\r?\n|$)", re.IGNORECASE)
_INSERT_VALUES = re.compile(rb"\sVALUES\b", re.IGNORECASE)
_LONGEST_INSERT_TEXT = 64 * 1024
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]*")
_QUOTING = str.maketrans({"'": "\\'", "\\": "\\\\"})


class Statement(NamedTuple):
    """One statement, and what came with it."""

    text: bytes
    """The statement itself; empty where the body holds it."""
    body: bytes
    """The rows of an INSERT, the statement, or the statement followed by the rows."""
    database: str = "default"
    parameters: Mapping[str, str] = {}
    """Values of {name:Type} in the statement."""
    settings: Mapping[str, str] = {}
    default_format: str = _DEFAULT_FORMAT


class Answer(NamedTuple):
    body: bytes
    format: str
    rows_read: int
    rows_written: int


class ChdbEngine:
    """chDB over one data folder. Errors are RuntimeError with the engine's words, `Code: 60. DB::Exception: …`."""

    def __init__(self, data_dir: Path) -> None:
        os.environ.update(_ALLOCATOR)
        from chdb.state import sqlitelike  # the engine itself, some 500 MB

        data_dir.mkdir(parents=True, exist_ok=True)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(sqlitelike.Connection(f"{data_dir}?{urlencode(SERVER_SETTINGS)}"))

    def run(self, statement: Statement) -> Answer:
        """Run one statement; waits while all connections are busy."""
        connection = self._idle.get()
        try:
            connection.query(f"USE `{statement.database.replace('`', '')}`", _DEFAULT_FORMAT)
            with _settings(connection, statement.settings):
                return _run(connection, statement)
        finally:
            self._idle.put(connection)


def _run(connection: Any, statement: Statement) -> Answer:
    text, body = statement.text, statement.body
    if text and body and not _INSERT.match(text):
        text, body = text + b" " + body, b""  # ClickHouse joins the address and the body
    if not text:
        text, body = split_insert(body) if _INSERT.match(body) else (body, b"")
    if not text.strip():
        raise RuntimeError("Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
    named = _INSERT_FORMAT.search(text) if body else None
    if named is None:
        return _query(connection, (text + body).decode(), statement)
    # By way of a file: chDB's send_insert raises nothing when the table refuses the rows, and they would be lost; and
    # a query takes no more than a megabyte of rows behind its text.
    with tempfile.NamedTemporaryFile(prefix="postwatch-insert-") as file:
        file.write(body)
        file.flush()
        name = file.name.translate(_QUOTING)
        insert = f"{text[: named.start()].decode()} FROM INFILE '{name}' FORMAT {named[1].decode()}"
        result = connection.query(insert, _DEFAULT_FORMAT)
    return Answer(b"", statement.default_format, 0, result.rows_written())


def split_insert(whole: bytes) -> tuple[bytes, bytes]:
    """`INSERT … FORMAT x` and a line's end, then the rows → the two. Without rows of a format all is statement."""
    head = whole[:_LONGEST_INSERT_TEXT]
    named = _INSERT_FORMAT.search(head)
    values = _INSERT_VALUES.search(head)
    if named is None or (values and values.start() < named.start()):
        return whole, b""
    return whole[: named.end()], whole[named.end() :]


def _query(connection: Any, text: str, statement: Statement) -> Answer:
    named = _FORMAT.search(text)
    form = named[1] if named else statement.default_format
    result = connection.query(text, form, params=dict(statement.parameters))
    return Answer(bytes(result.bytes()), form, result.rows_read(), result.rows_written())


@contextmanager
def _settings(connection: Any, settings: Mapping[str, str]) -> Iterator[None]:
    names = [name for name in settings if _SETTING_NAME.fullmatch(name)]
    if not names:
        yield
        return
    pairs = ", ".join(f"{name} = '{settings[name].translate(_QUOTING)}'" for name in names)
    connection.query(f"SET {pairs}", _DEFAULT_FORMAT)
    try:
        yield
    finally:
        defaults = ", ".join(f"{name} = DEFAULT" for name in names)
        connection.query(f"SET {defaults}", _DEFAULT_FORMAT)
