"""The doctor's judgement on topics: those of `postwatch migrate --topics`, and the changelog of the join. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding
from postwatch.deploy.topics import APPEND_TIME, TIMESTAMP_TYPE, topic_configs
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.topic_copies import copies_among
from postwatch.streams.faust_glue.changelog_topic import CHANGELOG_CONFIG, changelog_topic
from postwatch.streams.faust_glue.topic_watch import raise_remedy
from postwatch.streams.settings import JoinSettings


@dataclass(frozen=True, slots=True)
class TopicFacts:
    partitions: int
    replicas: int
    settings: Mapping[str, str]


def judge_topic(
    topic: str,
    topics: Mapping[str, TopicFacts | None],
    wanted: Mapping[str, str],
    kafka: KafkaSettings,
    copies: int,
) -> Iterator[Finding]:
    """One finding: the worst that is true. `copies`: on how many brokers it should be."""
    check = f"topic {topic}"
    known = topics.get(topic)
    if known is None:
        yield _missing(check, kafka, "Run `postwatch migrate --topics`")
        return
    odd = []
    policy = known.settings.get("cleanup.policy", "delete")
    if policy != "delete":
        yield Finding(
            check,
            TROUBLE,
            f"cleanup.policy is {policy}: compaction removes records that nobody has read.",
            "Set cleanup.policy=delete on the topic.",
        )
        return
    for name in ("retention.ms", "max.message.bytes"):
        if name in wanted and 0 <= int(known.settings.get(name, "-1")) < int(wanted[name]):
            odd.append(f"{name} is {known.settings[name]}, less than {wanted[name]}")
    longest, usual = wanted.get("retention.ms"), topic_configs(kafka).get(topic, {}).get("retention.ms")
    kept_ms = int(known.settings.get("retention.ms", "-1"))
    if longest and longest != usual and not 0 <= kept_ms <= int(longest):  # else it is the operator's own
        odd.append(f"retention.ms is {kept_ms}, more than {longest}")
    if known.replicas < copies:
        odd.append(_few_copies(known, copies))
    if known.settings.get(TIMESTAMP_TYPE, APPEND_TIME) != APPEND_TIME:
        yield Finding(
            check,
            WARNING,
            f"{TIMESTAMP_TYPE} is {known.settings[TIMESTAMP_TYPE]}: a server whose clock is wrong may lose records.",
            "Run `postwatch migrate --topics`.",
        )
        return
    raw = topics.get(kafka.raw_topic)
    if raw is not None and topic == kafka.outcomes_topic and known.partitions < raw.partitions:
        odd.append(f"it has {known.partitions} partitions and {kafka.raw_topic} has {raw.partitions}")
    if too_few := _in_sync_trouble(check, known):
        yield too_few
        return
    odd += _one_in_sync(known)
    if odd:
        yield Finding(
            check,
            WARNING,
            f"{'; '.join(odd)}.",
            "Change it with kafka-configs.sh, kafka-topics.sh or, for copies, kafka-reassign-partitions.sh; or set "
            "POSTWATCH_TOPICS_* as you want it.",
        )
        return
    days = int(known.settings.get("retention.ms", "-1")) / 86_400_000
    kept = f"kept for {days:g} days" if days >= 0 else "kept forever"
    yield Finding(check, OK, f"{known.partitions} partitions on {known.replicas} brokers each, {kept}.")


def judge_changelog(
    topics: Mapping[str, TopicFacts | None],
    kafka: KafkaSettings,
    join: JoinSettings,
    brokers: int,
    has_worked: bool,
) -> Finding:
    """One finding: the worst that is true. `has_worked`: the join's group has acknowledged records."""
    topic = changelog_topic(join)
    check = f"topic {topic}"
    known, raw = topics.get(topic), topics.get(kafka.raw_topic)
    if known is None:
        if not has_worked:
            return Finding(check, OK, "It does not exist: the join makes it when it starts for the first time.")
        return _missing(check, kafka, "Start the join: it makes the topic anew, but messages that were parked are gone")
    if raw is not None and raw.partitions != known.partitions:
        seen = (
            f"It has {known.partitions} partitions and {kafka.raw_topic} has {raw.partitions}: the join does not start."
        )
        remedy = raise_remedy(max(raw.partitions, known.partitions))
        return Finding(check, TROUBLE, seen, f"{remedy[:1].upper()}{remedy[1:]}.")
    alter = f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config"
    policy = known.settings.get("cleanup.policy", "delete")
    if policy != "compact":
        seen = f"cleanup.policy is {policy}: Kafka deletes messages that are parked."
        return Finding(check, TROUBLE, seen, f"Run `{alter} cleanup.policy=compact`.")
    if too_few := _in_sync_trouble(check, known):
        return too_few
    odd, least = list(_one_in_sync(known)), []
    for name in ("delete.retention.ms", "max.message.bytes"):
        if 0 <= int(known.settings.get(name, "-1")) < int(CHANGELOG_CONFIG[name]):
            odd.append(f"{name} is {known.settings[name]}, less than {CHANGELOG_CONFIG[name]}")
            least.append(f"{name}={CHANGELOG_CONFIG[name]}")
    copies = copies_among(join.changelog_replication, brokers)
    if known.replicas < copies:
        odd.append(_few_copies(known, copies))
    if odd:
        remedy = f"Run `{alter} {','.join(least)}`. " if least else ""
        remedy += "Add copies with kafka-reassign-partitions.sh, or lower POSTWATCH_JOIN_CHANGELOG_REPLICATION. " * (
            known.replicas < copies
        )
        remedy += f"Run `{alter} min.insync.replicas=2`." * any(_one_in_sync(known))
        return Finding(check, WARNING, f"{'; '.join(odd)}.", remedy.strip())
    return Finding(check, OK, f"{known.partitions} partitions on {known.replicas} brokers each, compacted.")


def _missing(check: str, kafka: KafkaSettings, remedy: str) -> Finding:
    if kafka.security_protocol == "plaintext":
        return Finding(check, TROUBLE, "It does not exist.", f"{remedy}.")
    # brokers hide what a user may not describe
    rights = "or grant the rights that docs/secured-kafka.md lists"
    return Finding(check, TROUBLE, "It does not exist, or this user may not see it.", f"{remedy}, {rights}.")


def _in_sync_trouble(check: str, known: TopicFacts) -> Finding | None:
    if (in_sync := _in_sync(known)) <= known.replicas:
        return None
    return Finding(
        check,
        TROUBLE,
        f"min.insync.replicas is {in_sync} of {known.replicas} replicas: nothing can be written.",
        "Add replicas, or lower min.insync.replicas.",
    )


def _one_in_sync(known: TopicFacts) -> Iterator[str]:
    if known.replicas > 2 and _in_sync(known) < 2:
        yield "min.insync.replicas is 1: a record may be acknowledged by a single broker and die with it"


def _in_sync(known: TopicFacts) -> int:
    return int(known.settings.get("min.insync.replicas", "1"))


def _few_copies(known: TopicFacts, copies: int) -> str:
    return f"it is on {known.replicas} brokers, fewer than {copies}"
