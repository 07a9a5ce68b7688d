"""How the topics are made: copies and how long records are kept. `postwatch migrate --topics` and doctor read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting
from postwatch.producers.service.topic_copies import copies_among


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """New topics; those that are there are compared with it by doctor, and changed with Kafka's own tools."""

    SECTION: ClassVar[str] = "topics"

    replication: int = setting(
        0, doc="Brokers that have a copy of each record. 0: 3, or all where there are fewer.", least=0, most=32
    )
    raw_retention_hours: int = setting(
        72, doc="Hours for which raw lines are kept: how long the join may be away, and how far a replay goes.", least=1
    )
    outcomes_retention_hours: int = setting(
        72, doc="Hours for which outcomes are kept: how long the sink or ClickHouse may be away.", least=1
    )
    heartbeats_retention_hours: int = setting(24, doc="Hours for which heartbeats are kept.", least=1)
    dead_letters_retention_hours: int = setting(336, doc="Hours for which dead letters are kept.", least=1)

    def copies(self, brokers: int) -> int:
        """How many a topic is to have in a cluster of so many brokers."""
        return copies_among(self.replication, brokers)
