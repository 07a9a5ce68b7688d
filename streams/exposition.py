"""What prometheus_client knows of this process, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


def expose() -> tuple[str, bytes]:
    """The content type and the text."""
    return CONTENT_TYPE_LATEST, generate_latest()
