"""The doctor's judgement: facts about Kafka, ClickHouse and the servers in, findings out. Pure.

Each finding has a state, one sentence of what was seen, and, unless all is well, what to do. What could not be looked
at is a finding too, never silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from postwatch.deploy.topics import APPEND_TIME, TIMESTAMP_TYPE
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS

OK, WARNING, TROUBLE = "ok", "warning", "trouble"
STATES = (OK, WARNING, TROUBLE)
"""Each one's place is the command's exit status."""

SKEW_WARNING_MS = 2_000
SKEW_TROUBLE_MS = 60_000
STALE_AFTER_MS = STALE_AFTER_SECONDS * 1000
GONE_AFTER_MS = 8 * 86_400_000
"""A server silent for so long was taken out of the fleet, and is not spoken of."""
RETENTION_WARNING, RETENTION_TROUBLE = 0.5, 0.8
"""The age of a consumer's oldest unread record, as a share of its topic's retention."""
LATE_MS = 180_000
"""The join acknowledges a record when its messages are closed or, a minute later, parked: less than this is usual."""
MANY_LETTERS = 1000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    state: str
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    partitions: int
    replicas: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LagFacts:
    """How far a consumer group is in one topic."""

    group: str
    topic: str
    has_committed: bool
    unread_records: int
    oldest_unread_ms: int
    """When the oldest record that it has not read came; 0: it has read all."""


@dataclass(frozen=True, slots=True)
class KafkaFacts:
    brokers: int
    topics: Mapping[str, TopicFacts | None]
    """By name; None: there is no such topic."""
    lags: Sequence[LagFacts]
    letters: Mapping[str, int]
    """Dead letters of the last day by reason."""


@dataclass(frozen=True, slots=True)
class ClickHouseFacts:
    version: str
    now_ms: int
    missing_tables: Sequence[str]
    missing_migrations: Sequence[str]
    edited_migrations: Sequence[str]
    heartbeats: Mapping[str, int]
    """Server → when its newest heartbeat was sent, by its own clock."""


def judge_kafka(
    facts: KafkaFacts, wanted: Mapping[str, Mapping[str, str]], raw_topic: str, now_ms: int
) -> list[Finding]:
    """`wanted`: topic → the settings that `postwatch migrate --topics` gives it."""
    found = [Finding("brokers", OK, f"{facts.brokers} answered.")]
    for topic, settings in wanted.items():
        found += _judge_topic(topic, facts, settings, raw_topic)
    for lag in facts.lags:
        topic_facts = facts.topics.get(lag.topic)
        if topic_facts is not None:
            found.append(_judge_lag(lag, int(topic_facts.settings.get("retention.ms", "-1")), now_ms))
    found.append(_judge_letters(facts.letters))
    return found


def _judge_topic(topic: str, facts: KafkaFacts, wanted: Mapping[str, str], raw_topic: str) -> Iterator[Finding]:
    check = f"topic {topic}"
    known = facts.topics.get(topic)
    if known is None:
        yield Finding(check, TROUBLE, "It does not exist.", "Run `postwatch migrate --topics`.")
        return
    odd = []
    policy = known.settings.get("cleanup.policy", "delete")
    if policy != "delete":
        yield Finding(
            check,
            TROUBLE,
            f"cleanup.policy is {policy}: compaction throws records away that nobody has read.",
            "Set cleanup.policy=delete on the topic.",
        )
        return
    for name in ("retention.ms", "max.message.bytes"):
        if name in wanted and 0 <= int(known.settings.get(name, "-1")) < int(wanted[name]):
            odd.append(f"{name} is {known.settings[name]}, less than {wanted[name]}")
    if known.settings.get(TIMESTAMP_TYPE, APPEND_TIME) != APPEND_TIME:
        yield Finding(
            check,
            WARNING,
            f"{TIMESTAMP_TYPE} is {known.settings[TIMESTAMP_TYPE]}: a server whose clock is wrong may lose records.",
            "Run `postwatch migrate --topics`.",
        )
        return
    raw = facts.topics.get(raw_topic)
    if raw is not None and topic != raw_topic and topic.endswith("outcomes") and known.partitions < raw.partitions:
        odd.append(f"it has {known.partitions} partitions and {raw_topic} has {raw.partitions}")
    in_sync = int(known.settings.get("min.insync.replicas", "1"))
    if in_sync > known.replicas:
        yield Finding(
            check,
            TROUBLE,
            f"min.insync.replicas is {in_sync} of {known.replicas} replicas: nothing can be written.",
            "Add replicas, or lower min.insync.replicas.",
        )
        return
    if known.replicas > 2 and in_sync < 2:
        odd.append("min.insync.replicas is 1: a record may be acknowledged by a single broker and die with it")
    if odd:
        yield Finding(check, WARNING, f"{'; '.join(odd)}.", "Change it with kafka-configs or kafka-topics --alter.")
        return
    days = int(known.settings.get("retention.ms", "-1")) / 86_400_000
    kept = f"kept for {days:g} days" if days >= 0 else "kept for ever"
    yield Finding(check, OK, f"{known.partitions} partitions on {known.replicas} brokers each, {kept}.")


def _judge_lag(lag: LagFacts, retention_ms: int, now_ms: int) -> Finding:
    check = f"lag of {lag.group}"
    if not lag.has_committed:
        if not lag.unread_records:
            return Finding(check, OK, f"It has read nothing of {lag.topic} yet, and there is nothing to read.")
        return Finding(
            check,
            WARNING,
            f"It has read nothing of {lag.topic} yet: {lag.unread_records} records wait.",
            "Start it, or set POSTWATCH_JOIN_GROUP and POSTWATCH_SINK_GROUP here as they are there.",
        )
    age_ms = max(0, now_ms - lag.oldest_unread_ms) if lag.oldest_unread_ms else 0
    if not age_ms:
        return Finding(check, OK, f"It has finished all of {lag.topic}.")
    seen = f"{lag.unread_records} records of {lag.topic} are not finished, the oldest came {span(age_ms)} ago"
    share = age_ms / retention_ms if retention_ms > 0 else 0.0
    if share >= RETENTION_WARNING:
        return Finding(
            check,
            TROUBLE if share >= RETENTION_TROUBLE else WARNING,
            f"{seen}; Kafka deletes them after {span(retention_ms)}.",
            f"Raise retention.ms of {lag.topic} now; then start the group's workers, or add some.",
        )
    if age_ms > LATE_MS:
        return Finding(check, WARNING, f"{seen}.", "See whether its workers run, and what their /health says.")
    return Finding(check, OK, f"{seen}.")


def _judge_letters(letters: Mapping[str, int]) -> Finding:
    total = sum(letters.values())
    if not total:
        return Finding("dead letters", OK, "None in the last day.")
    told = ", ".join(
        f"{count} {reason}" for reason, count in sorted(letters.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
    )
    number = f"{total} or more" if total >= MANY_LETTERS else str(total)
    return Finding(
        "dead letters",
        WARNING,
        f"{number} in the last day: {told}.",
        "Read their header `detail`; once the parser is mended, `postwatch join --from TIME` reads the lines again.",
    )


def judge_clickhouse(facts: ClickHouseFacts, now_ms: int) -> list[Finding]:
    found = [Finding("ClickHouse", OK, f"Version {facts.version} answered.")]
    if facts.edited_migrations:
        names = ", ".join(facts.edited_migrations)
        seen = f"Applied with another text than this version has: {names}."
        found.append(Finding("migrations", TROUBLE, seen, "Run the version of Postwatch that the tables are of."))
    elif facts.missing_migrations or facts.missing_tables:
        names = ", ".join([*facts.missing_migrations, *(f"table {name}" for name in facts.missing_tables)])
        found.append(Finding("migrations", TROUBLE, f"Missing: {names}.", "Run `postwatch migrate`."))
    else:
        found.append(Finding("migrations", OK, "All are applied."))
    found.append(_judge_clock("clock of ClickHouse", facts.now_ms - now_ms))
    if "servers" not in facts.missing_tables:
        found += _judge_servers(facts.heartbeats, now_ms)
    return found


def _judge_clock(check: str, ahead_ms: int) -> Finding:
    if abs(ahead_ms) < SKEW_WARNING_MS:
        return Finding(check, OK, "It agrees with this machine's.")
    state = TROUBLE if abs(ahead_ms) >= SKEW_TROUBLE_MS else WARNING
    seen = f"It is {span(abs(ahead_ms))} {'ahead of' if ahead_ms > 0 else 'behind'} this machine's."
    return Finding(check, state, seen, "Set the clocks by NTP: ages, retention and the order of events depend on them.")


def _judge_servers(heartbeats: Mapping[str, int], now_ms: int) -> Iterator[Finding]:
    known = {server: at for server, at in heartbeats.items() if now_ms - at < GONE_AFTER_MS}
    if not known:
        yield Finding("servers", WARNING, "No server has sent a heartbeat.", "Start `postwatch ship` on a mail server.")
        return
    ahead = sorted(server for server, at in known.items() if at - now_ms >= SKEW_WARNING_MS)
    if ahead:
        most = max(known.values()) - now_ms
        seen = f"Ahead of this machine's, by up to {span(most)}: {_names(ahead)}."
        state = TROUBLE if most >= SKEW_TROUBLE_MS else WARNING
        yield Finding("clocks of servers", state, seen, "Set the clocks of these servers by NTP.")
    stale = sorted(server for server, at in known.items() if now_ms - at > STALE_AFTER_MS)
    if not stale:
        yield Finding("servers", OK, f"{len(known)} sent a heartbeat within {span(STALE_AFTER_MS)}.")
        return
    yield Finding(
        "servers",
        TROUBLE if len(stale) == len(known) else WARNING,
        f"{len(stale)} of {len(known)} sent no heartbeat for {span(STALE_AFTER_MS)}: {_names(stale)}.",
        "See whether `postwatch ship` runs there, reaches Kafka, and has the right time; "
        "if all are silent, whether the join and the sink run.",
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def worst(findings: Sequence[Finding]) -> int:
    """The exit status: 0 all is well, 1 there are warnings, 2 there is trouble."""
    return max((STATES.index(finding.state) for finding in findings), default=0)


def span(milliseconds: int) -> str:
    """'90 s', '45 min', '20 h', '3 days': what a person wants to read."""
    seconds = milliseconds / 1000
    for most, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds <= most:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
