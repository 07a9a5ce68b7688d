"""The doctor's judgement: facts about Kafka, ClickHouse and the servers in, findings out. Pure.

What could not be checked is a finding too, never silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from postwatch.deploy.doctor_lag import LagFacts, judge_lag
from postwatch.deploy.doctor_topics import TopicFacts, judge_changelog, judge_topic
from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query.wording import time_span
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.core_build import CoreBuild
from postwatch.streams.settings import LONGEST_RETRY_MS, JoinSettings

SKEW_WARNING_MS = 2_000
SKEW_TROUBLE_MS = 60_000
STALE_AFTER_MS = STALE_AFTER_SECONDS * 1000
GONE_AFTER_MS = LONGEST_RETRY_MS
"""A server that was silent for this long was taken out of the fleet: none of its messages is tried any more."""
MANY_LETTERS = 1000
_SHOWN = 5


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
    without_files: Sequence[str] = ()
    """Servers whose newest heartbeat says that their shipper follows no file."""
    without_shipper: Sequence[str] = ()
    """Servers that rsyslog or the like feeds: their lines are known, and no shipper sends heartbeats."""
    user: str = "default"
    rights: Mapping[str, bool] = field(default_factory=dict)
    """Whether the user has each of the rights that parts need."""


def judge_kafka(
    facts: KafkaFacts,
    wanted: Mapping[str, Mapping[str, str]],
    kafka: KafkaSettings,
    now_ms: int,
    topics: TopicSettings | None = None,
    join: JoinSettings | None = None,
) -> list[Finding]:
    """`wanted`: topic → the settings that `postwatch migrate --topics` gives it, as `topics` says; `join`: whose
    changelog is judged too."""
    copies = (topics or TopicSettings()).copies(facts.brokers)
    found = [Finding("brokers", OK, f"{facts.brokers} answered.")]
    for topic, settings in wanted.items():
        found += judge_topic(topic, facts.topics, settings, kafka, copies)
    if join is not None:
        has_worked = any(lag.has_committed for lag in facts.lags if lag.group == join.group)
        found.append(judge_changelog(facts.topics, kafka, join, facts.brokers, has_worked))
    for lag in facts.lags:
        topic_facts = facts.topics.get(lag.topic)
        if topic_facts is not None:
            found.append(judge_lag(lag, int(topic_facts.settings.get("retention.ms", "-1")), now_ms))
    found.append(_judge_letters(facts.letters))
    return found


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
        "The header `detail` says why. After the parser is fixed, `postwatch join --from TIME` reads the lines again.",
    )


def judge_clickhouse(facts: ClickHouseFacts, now_ms: int) -> list[Finding]:
    found = [Finding("ClickHouse", OK, f"Version {facts.version} answered.")]
    if facts.edited_migrations:
        names = ", ".join(facts.edited_migrations)
        seen = f"Applied by another version of Postwatch, with another text: {names}."
        found.append(
            Finding(
                "migrations", TROUBLE, seen, "Run the version of Postwatch that created the tables, or a newer one."
            )
        )
    elif facts.missing_migrations or facts.missing_tables:
        names = ", ".join([*facts.missing_migrations, *(f"table {name}" for name in facts.missing_tables)])
        found.append(Finding("migrations", TROUBLE, f"Missing: {names}.", "Run `postwatch migrate`."))
    else:
        found.append(Finding("migrations", OK, "All migrations are applied."))
    if facts.rights:
        found.append(_judge_rights(facts))
    found.append(_judge_clock("clock of ClickHouse", facts.now_ms - now_ms))
    if "servers" not in facts.missing_tables:
        found += _judge_servers(facts, now_ms)
    return found


def judge_core(build: CoreBuild) -> Finding:
    """Which build of parsers and joiner runs on this machine; either is right, the compiled one is faster."""
    return Finding("join", OK, f"Parsers and joiner run {build.kind} here ({build.reason}).")


_PARTS_OF_RIGHTS = {"SELECT": "serve", "INSERT": "sink", "CREATE TABLE": "migrate"}


def _judge_rights(facts: ClickHouseFacts) -> Finding:
    """Each part may have a user of its own: what this one may is told, and only nothing at all is trouble."""
    can = [f"{part} ({right})" for right, part in _PARTS_OF_RIGHTS.items() if facts.rights[right]]
    if not can:
        seen = f"The user {facts.user!r} may neither read nor write the tables."
        return Finding("rights in ClickHouse", TROUBLE, seen, "Give it a role: see docs/secured-clickhouse.md.")
    return Finding("rights in ClickHouse", OK, f"The user {facts.user!r} may do what these need: {', '.join(can)}.")


def judge_files(found: int, errors: Sequence[tuple[str, str]]) -> Finding:
    """The log files that POSTWATCH_SHIP_FILES names here: how many were found, and (path, reason) of what was not."""
    if not errors:
        return Finding("log files here", OK, f"{found} found.")
    return Finding(
        "log files here",
        WARNING,
        f"{_names([f'{path}: {reason}' for path, reason in errors])}.",
        "Check POSTWATCH_SHIP_FILES and the rights of the files; a file that appears later is followed by itself.",
    )


def _judge_clock(check: str, ahead_ms: int) -> Finding:
    if abs(ahead_ms) < SKEW_WARNING_MS:
        return Finding(check, OK, "It agrees with the clock of this machine.")
    state = TROUBLE if abs(ahead_ms) >= SKEW_TROUBLE_MS else WARNING
    seen = f"It is {time_span(abs(ahead_ms))} {'ahead of' if ahead_ms > 0 else 'behind'} the clock of this machine."
    return Finding(
        check, state, seen, "Synchronise the clocks with NTP: ages, retention and the order of events depend on them."
    )


def _judge_servers(facts: ClickHouseFacts, now_ms: int) -> Iterator[Finding]:
    known = {server: at for server, at in facts.heartbeats.items() if now_ms - at < GONE_AFTER_MS}
    if not known and facts.without_shipper:
        number = len(facts.without_shipper)
        seen = (
            f"{number} fed by rsyslog or the like, which sends no heartbeats; `postwatch servers` tells who is silent."
        )
        yield Finding("servers", OK, seen)
        return
    if not known:
        yield Finding("servers", WARNING, "No server has sent a heartbeat.", "Start `postwatch ship` on a mail server.")
        return
    ahead = sorted(server for server, at in known.items() if at - now_ms >= SKEW_WARNING_MS)
    if ahead:
        most = max(known.values()) - now_ms
        seen = f"Up to {time_span(most)} ahead of the clock of this machine: {_names(ahead)}."
        state = TROUBLE if most >= SKEW_TROUBLE_MS else WARNING
        yield Finding("clocks of servers", state, seen, "Synchronise the clocks of these servers with NTP.")
    if without_files := sorted(server for server in facts.without_files if server in known):
        seen = f"{len(without_files)} of {len(known)} follow no log file: {_names(without_files)}."
        remedy = "Run `postwatch doctor` there with POSTWATCH_SHIP_FILES set, or read /health of `postwatch ship`."
        yield Finding("log files of servers", WARNING, seen, remedy)
    stale = sorted(server for server, at in known.items() if now_ms - at > STALE_AFTER_MS)
    if not stale:
        yield Finding("servers", OK, f"{len(known)} sent a heartbeat in the last {time_span(STALE_AFTER_MS)}.")
        return
    yield Finding(
        "servers",
        TROUBLE if len(stale) == len(known) else WARNING,
        f"{len(stale)} of {len(known)} sent no heartbeat for {time_span(STALE_AFTER_MS)}: {_names(stale)}.",
        "Check there that `postwatch ship` runs and reaches Kafka, and that the clock is right; "
        "if all servers are silent, check the join and the sink.",
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
