"""The state of the log-in, in SQLite and in Debian's PostgreSQL; the hashes that passwords are tried against."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import argon2
import pytest
from postwatch.deploy.embedded.ports import choose_port
from postwatch.query.access.state import StateStore, metadata
from postwatch.query.errors import StateError
from sqlalchemy import create_engine

from tests.waiting import PATIENCE, wait_until

_INSTALL = "apt-get install postgresql"


def _postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip(f"no PostgreSQL server is installed: {_INSTALL}")
    return found[-1].parent


def _as_owner() -> dict[str, int]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip(f"there is no user postgres: {_INSTALL}")
    return {"user": user.pw_uid, "group": user.pw_gid}


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """A PostgreSQL server of its own on loopback."""
    programs = _postgres_bin()
    owner = _as_owner()
    folder = Path(tempfile.mkdtemp(prefix="postwatch-pg-"))
    try:
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        initdb = [
            programs / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postwatch",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **owner)  # type: ignore[call-overload]
        port = choose_port()
        server = subprocess.Popen(  # type: ignore[call-overload]
            [programs / "postgres", "-D", folder / "data", "-k", folder, "-h", "127.0.0.1", "-p", str(port), "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **owner,
        )
        try:
            address = f"postgresql://postwatch@127.0.0.1:{port}/postgres"
            wait_until(lambda: server.poll() is not None or _takes_statements(address), "PostgreSQL answers")
            yield address
        finally:
            server.send_signal(signal.SIGINT)  # fast: it ends the connections that are open
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(folder)


def _takes_statements(address: str) -> bool:
    store = StateStore(address)
    try:
        store.prepare()
    except StateError:
        return False
    finally:
        store.close()
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def state_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty state of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "access.sqlite")
    address: str = request.getfixturevalue("postgres_address")
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    metadata.drop_all(engine)
    engine.dispose()
    return address


@pytest.fixture
def store(state_address: str) -> Iterator[StateStore]:
    opened = StateStore(state_address)
    yield opened
    opened.close()


@pytest.fixture
def hashes_tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each hash that a password is tried against, in order: as many, with the same costs, take as long."""
    tried: list[str] = []

    class Listening(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            tried.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(argon2, "PasswordHasher", Listening)
    return tried
