"""Settings of the query side: reports, API and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Where the pages are served, and what a query may cost."""

    SECTION: ClassVar[str] = "query"

    listen: str = setting("127.0.0.1:8080", doc="host:port of the pages and the API; only loopback addresses.")
    page_rows: int = setting(
        50, doc="Rows on a page of a report unless the request says otherwise, at most 1000.", least=1
    )
    timeout_seconds: float = setting(10.0, doc="A query that takes longer is cancelled.", least=1)
    max_memory_mib: int = setting(
        2048, doc="A query that needs more memory of ClickHouse than so many MiB is cancelled.", least=16
    )
    max_queries: int = setting(8, doc="Most queries at a time; further ones wait.", least=1)
    max_downloads: int = setting(4, doc="Most files that are downloaded at a time; one viewer may have two.", least=1)
    language: str = setting(
        "en",
        doc="Language of the pages for browsers that ask for none that there is: en, de, es, id.",
    )
    live_pages: int = setting(
        1000, doc="Most open pages, a process, on which new rows appear by themselves; 0: none.", least=0
    )
    live_seconds: float = setting(
        0.25, doc="New rows are looked for this often, for all open pages together.", least=0.1
    )
    own_servers: tuple[str, ...] = setting(
        (),
        doc="Names and networks of your mail servers, as the logs of others name them, beside the names of those that "
        "send logs: what one hands to another is told by the last one. Name none whose log is not read.",
    )
    time_zone: str = setting(
        "UTC",
        doc="Time zone of the pages, such as Europe/Berlin, for browsers without scripts. Others show their own.",
    )
