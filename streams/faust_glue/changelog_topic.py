"""The changelog topic of the join's table: its name and settings, for those who need no Faust."""

from __future__ import annotations

from postwatch.producers.service.kafka_settings import MAX_MESSAGE_BYTES
from postwatch.streams.settings import JoinSettings

TABLE = "parked"
CHANGELOG_CONFIG = {
    "cleanup.policy": "compact",
    "delete.retention.ms": str(7 * 86_400_000),
    "min.cleanable.dirty.ratio": "0.1",
    "segment.ms": str(6 * 3_600_000),
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
}


def changelog_topic(settings: JoinSettings) -> str:
    """As Faust names it."""
    return f"{settings.group}-{TABLE}-changelog"


def raise_marker(changelog: str) -> str:
    """The topic that is there while partitions are raised; see deploy/partitions.py."""
    return f"{changelog}-raise"
