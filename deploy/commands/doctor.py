"""`postwatch doctor`: checks everything that Postwatch depends on, and says what is wrong and what to do."""

from __future__ import annotations

import argparse
import dataclasses
import json

from postwatch.deploy.doctor import judge_clickhouse, judge_core, judge_files, judge_kafka
from postwatch.deploy.doctor_certificates import collect_certificates, judge_certificates
from postwatch.deploy.doctor_facts import collect_clickhouse, collect_kafka
from postwatch.deploy.doctor_webhooks import WebhookFacts, collect_webhooks, judge_webhooks
from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding, worst
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.deploy.topics import topic_configs
from postwatch.producers.files.discovery import discover
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.settings import is_set, load
from postwatch.producers.ship_settings import ShipSettings, followed_globs
from postwatch.query.access.settings import AccessSettings
from postwatch.query.errors import StateError
from postwatch.query.push.settings import PushSettings
from postwatch.streams import core_build
from postwatch.streams.faust_glue.changelog_topic import changelog_topic
from postwatch.streams.settings import ClickHouseSettings, JoinSettings, SinkSettings
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {OK: "green", WARNING: "yellow", TROUBLE: "bold red"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Check which build of the join is here, certificates, brokers, topics, lag, retention, dead letters, tables, "
        "migrations, clocks, servers, webhooks and, where POSTWATCH_SHIP_FILES is set, the log files of this machine. "
        "Changes nothing. Exit status: 0 if all is well, 1 with warnings, 2 with trouble."
    )
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON array")


def run(arguments: argparse.Namespace) -> int:
    kafka, clickhouse = load(KafkaSettings), load(ClickHouseSettings)
    join, sink = load(JoinSettings), load(SinkSettings)
    globs = followed_globs(load(ShipSettings)) if is_set(ShipSettings, "files") else ()
    groups = [(join.group, kafka.raw_topic), (sink.group, kafka.outcomes_topic)]
    webhooks = _look_at_webhooks()
    if isinstance(webhooks, WebhookFacts):
        groups.append((load(PushSettings).group, kafka.outcomes_topic))
        webhooks = judge_webhooks(webhooks)
    findings = [
        judge_core(core_build.running),
        *judge_certificates(collect_certificates(kafka, clickhouse), now_ms()),
        *_look_at_kafka(kafka, join, groups),
        *_look_at_clickhouse(clickhouse),
        *([webhooks] if webhooks else []),
    ]
    if globs:
        files, errors = discover(globs)
        findings.append(judge_files(len(files), errors))
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        print_findings(Console(highlight=False), findings)
    return worst(findings)


def _look_at_webhooks() -> WebhookFacts | Finding | None:
    try:
        return collect_webhooks(load(AccessSettings).state)
    except StateError as error:
        return Finding("webhooks", WARNING, f"Not checked: {error}.")


def _look_at_kafka(kafka: KafkaSettings, join: JoinSettings, groups: list[tuple[str, str]]) -> list[Finding]:
    topics = load(TopicSettings)
    wanted = topic_configs(kafka, topics)
    at_ms = now_ms()
    try:
        facts = collect_kafka(kafka, [*wanted, changelog_topic(join)], groups, at_ms)
    except UnavailableError as error:
        return [_unanswered("brokers", error), Finding("topics, lag, dead letters", WARNING, "Not checked.")]
    return judge_kafka(facts, wanted, kafka, at_ms, topics, join)


def _look_at_clickhouse(settings: ClickHouseSettings) -> list[Finding]:
    try:
        facts = collect_clickhouse(settings)
    except UnavailableError as error:
        return [_unanswered("ClickHouse", error), Finding("tables, migrations, servers", WARNING, "Not checked.")]
    return judge_clickhouse(facts, now_ms())


def _unanswered(check: str, error: UnavailableError) -> Finding:
    seen, _, remedy = " ".join(str(error).split()).rpartition("; ")
    return Finding(check, TROUBLE, f"{seen}.", f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "")


def print_findings(console: Console, findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for finding in findings:
        words = Text(finding.seen)
        if finding.remedy:
            words.append(f"\n→ {finding.remedy}", "bold")
        table.add_row(Text(finding.state, _STYLES[finding.state]), Text(finding.check), words)
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in (TROUBLE, WARNING)}
    if any(counts.values()):
        console.print(Text(f"{counts[TROUBLE]} in trouble, {counts[WARNING]} warnings."))
    else:
        console.print(Text("All is well."))
