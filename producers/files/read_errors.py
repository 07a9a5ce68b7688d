"""What can't be read at the moment, and why: logged and counted when it begins, logged when it's over."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection

import structlog
from postwatch.producers import ship_metrics as metrics

log = structlog.get_logger()


class ReadErrors:
    """Troubles by path. Those of a scan are replaced by the next scan; those of reading last until it succeeds."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._of_scan: set[str] = set()

    def complain(self, path: str, reason: str) -> None:
        if self._reasons.get(path) != reason:
            self._reasons[path] = reason
            metrics.FILE_ERRORS.inc()
            log.error("file_unreadable", path=path, reason=reason, remedy=_remedy(reason))

    def settle(self, path: str) -> None:
        if self._reasons.pop(path, None):
            log.info("file_readable", path=path)

    def replace_scan(self, seen: Collection[tuple[str, str]]) -> None:
        """All that a scan had trouble with; what the scan before had and this one hasn't is settled."""
        for path, reason in seen:
            self.complain(path, reason)
        now = {path for path, _ in seen}
        for path in self._of_scan - now:
            self.settle(path)
        self._of_scan = now

    def __str__(self) -> str:
        """For the health address; empty without trouble."""
        return "; ".join(f"{path}: {reason}" for path, reason in self._reasons.items())


def _remedy(reason: str) -> str:
    if reason == os.strerror(errno.EACCES):
        return "let the shipper's user read it, for instance through the group adm or mail; it is tried again"
    return "it is tried again; the other files go on"
