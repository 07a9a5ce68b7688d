"""Settings of the query side: the reports, the API and the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Where the page is served, and how much a single question may cost."""

    SECTION: ClassVar[str] = "query"

    listen: str = setting("127.0.0.1:8080", doc="host:port of the page and the API; this machine's own addresses only.")
    page_rows: int = setting(50, doc="Rows of a report's page where none are asked for; at most 1000.", least=1)
    timeout_seconds: float = setting(10.0, doc="A query that takes longer is ended.", least=1)
    max_queries: int = setting(8, doc="Most queries at a time; more wait for their turn.", least=1)
