"""Settings of the log-in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may come in to `postwatch serve`, and what it remembers of them."""

    SECTION: ClassVar[str] = "access"

    state: str = setting(
        "/var/lib/postwatch/access.sqlite",
        doc="Where sessions, log-in tries, tokens and used links are kept: an SQLite file; for several servers"
        " postgresql://USER:PASSWORD@HOST/DATABASE.",
        secret=True,
    )
