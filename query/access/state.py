"""What `serve` must remember: sessions, log-in tries, tokens, used links. Whoever can't be remembered is not let in.

One SQLite file, or a PostgreSQL database that several servers share. Each module of this room declares its tables on
`metadata`. Every failure of the store (locked, full, read-only, corrupt, away) is a StateError, and nothing is allowed
after one. No statement's values appear in an error or a log line.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import sqlalchemy as sa
import structlog
from postwatch.producers.service.errors import SettingsError
from postwatch.query.errors import StateError
from prometheus_client import Counter
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, Connection, Engine, make_url

log = structlog.get_logger()

STATE_VARIABLE = "POSTWATCH_ACCESS_STATE"
BUSY_MS = 2000
"""How long a statement waits for another writer, or for PostgreSQL."""
SCHEMA = 1
"""Counted up by a change of the tables that an older Postwatch can't work with."""

_THREADS = 16
_PREPARE_LOCK = 7_065_617
"""PostgreSQL's advisory lock: workers that start together make the tables one after the other."""

_ERRORS = Counter("postwatch_access_state_errors_total", "Failures of the state of the log-in.")

metadata = sa.MetaData()
facts = sa.Table(
    "postwatch_facts",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
"""Single values: the version of the tables, the keys that cookies are signed with."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class StateStore:
    """Statements against the state. Any thread may ask; the event loop uses `apart`. Every failure is a StateError."""

    def __init__(self, address: str) -> None:
        """A path, `sqlite:///path` or `postgresql://…`. Raises SettingsError for another address; opens nothing yet."""
        self._url = _read_address(address)
        self._is_sqlite = self._url.drivername.startswith("sqlite")
        engine = _sqlite_engine(self._url) if self._is_sqlite else _postgres_engine(self._url)
        # Without it an INSERT into PostgreSQL has a row count of -1, so nobody would know who came first.
        self._engine = engine.execution_options(preserve_rowcount=True)
        self._prepare_lock = threading.Lock()
        self._is_prepared = False
        self._threads: anyio.CapacityLimiter | None = None

    def read(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """Every row of the answer."""
        self.prepare()
        with self._failures(), self._engine.connect() as connection:
            return connection.execution_options(isolation_level="AUTOCOMMIT").execute(statement).all()

    def write(self, statement: sa.Executable) -> int:
        """Runs one statement in a transaction of its own → the number of rows that it changed."""
        with self.transaction() as connection:
            return connection.execute(statement).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Several statements, all or none; committed on leaving. One writer at a time in SQLite, so keep it short."""
        self.prepare()
        with self._failures(), self._engine.begin() as connection:
            yield connection

    def insert(self, table: sa.Table) -> SqliteInsert | PostgresInsert:
        """An INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        return sqlite_insert(table) if self._is_sqlite else postgres_insert(table)

    async def apart(
        self, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Calls a function that uses the state in a thread of the store's own, so that no report has to wait for it."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=self._threads)

    def prepare(self) -> None:
        """Makes the file and the tables where they are missing. Tried again with each call until it has worked."""
        if self._is_prepared:
            return
        with self._prepare_lock, self._failures():
            if self._is_prepared:
                return
            if self._is_sqlite and "uri" not in self._url.query:  # else it is no path, and SQLite's own to open
                _make_private_file(Path(self._url.database or ""))
            with self._engine.begin() as connection:
                if not self._is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARE_LOCK)))
                metadata.create_all(connection)
                connection.execute(
                    self.insert(facts).values(name="schema", value=str(SCHEMA).encode()).on_conflict_do_nothing()
                )
                found = int(connection.execute(sa.select(facts.c.value).where(facts.c.name == "schema")).scalar_one())
            if found > SCHEMA:
                raise StateError(f"{self} was written by a newer Postwatch: update this one")
            self._is_prepared = True

    def check(self) -> None:
        """Raises StateError where the state could not be written just now."""
        self.prepare()
        with self.transaction() as connection:
            connection.execute(facts.update().where(facts.c.name == "schema").values(value=str(SCHEMA).encode()))

    def close(self) -> None:
        self._engine.dispose()

    def __str__(self) -> str:
        return f"the state {self._url.database if self._is_sqlite else self._url.render_as_string(hide_password=True)}"

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:
            _ERRORS.inc()
            words = _cause(error)
            log.warning("access_state_failed", cause=words)
            raise StateError(f"{self} can't be used ({words}): check {STATE_VARIABLE}") from None


def _cause(error: Exception) -> str:
    """The driver's first line; PostgreSQL's further ones hold values."""
    if isinstance(error, sa.exc.StatementError) and error.orig is None:
        return type(error).__name__
    return next(iter(str(getattr(error, "orig", None) or error).splitlines()), "")


def _read_address(address: str) -> URL:
    if "://" not in address:
        if not address:
            raise SettingsError(f"{STATE_VARIABLE} is empty: give the path of a file, or postgresql://…")
        return URL.create("sqlite", database=str(Path(address).expanduser().absolute()))
    try:
        url = make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(f"{STATE_VARIABLE} is not an address: use a path, or postgresql://HOST/DATABASE") from None
    if url.drivername == "sqlite" and url.database:
        return url
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise SettingsError(
        f"{STATE_VARIABLE} has the scheme {url.drivername!r}: use a path, or postgresql://HOST/DATABASE"
    )


def _make_private_file(path: Path) -> None:
    """The file with mode 0600; SQLite gives the files beside it (-wal, -shm) the mode of this one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _sqlite_engine(url: URL) -> Engine:
    engine = sa.create_engine(
        url, connect_args={"timeout": BUSY_MS / 1000}, pool_timeout=BUSY_MS / 1000, hide_parameters=True
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself: `begin` below does
        _begin_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")  # a revoked token stays revoked after a power failure
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes then would fail at once beside another writer.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _begin_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for other workers here, whatever the time-out is."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)


def _postgres_engine(url: URL) -> Engine:
    try:
        return sa.create_engine(
            url,
            connect_args={
                "connect_timeout": 5,
                "options": f"-c statement_timeout={BUSY_MS} -c lock_timeout={BUSY_MS}",
            },
            pool_pre_ping=True,
            pool_timeout=BUSY_MS / 1000,
            hide_parameters=True,
        )
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{STATE_VARIABLE} is in PostgreSQL, but its driver is missing: pip install 'postwatch[postgresql]'"
        ) from error
