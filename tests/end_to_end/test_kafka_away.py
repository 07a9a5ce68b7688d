"""Kafka goes away for a while and comes back: a shipper, a join, a sink and push say so in a few lines, and go on.

They run as their systemd units would have it: what they tell systemd is read, and the units' filter of system calls and
of memory is on, where this machine has what that takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.simulator import exim
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import now_ms
from postwatch.streams.settings import ClickHouseSettings

from tests import unit_sandbox
from tests.end_to_end.pipeline import Part, Pipeline, running
from tests.notify_socket import listening
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

AWAY_SECONDS = 8.0
"""Long enough that the sink's session and the join's lease end."""
REBALANCE = {"partitions_assigned", "partitions_revoked", "partition_begun", "batch_abandoned"}
"""What a join and a sink may say besides: their partitions go and come again."""
UNITS = {
    "ship": "postwatch-ship.service",
    "join": "postwatch-join@.service",
    "sink": "postwatch-sink.service",
    "push": "postwatch-push.service",
}
LAUNCHERS = {name: [sys.executable, "-m", "tests.unit_sandbox", unit] for name, unit in UNITS.items()}
WATCHDOG_SECONDS = 4.0
LOST_SESSION = {"committed_offsets_unknown", "kafka_client"}


def message(number: int) -> str:
    now = now_ms()
    head = f"{exim.stamp(now)} {exim.queue_id(now, number)}"
    return (
        f"{head} <= info@example.org H=client.example [192.0.2.1] P=esmtp S=700\n"
        f'{head} => someone@example.net R=dnslookup T=remote_smtp H=mx.example.net [192.0.2.2] C="250 OK"\n'
        f"{head} Completed\n"
    )


def events(part: Part, begin: int = 0) -> list[str]:
    """What the part logged from that byte on; a line that is not JSON stands for itself."""
    found = []
    for line in part.log_file.read_bytes()[begin:].decode().splitlines():
        try:
            found.append(str(json.loads(line)["event"]))
        except ValueError:
            found.append(line)
    return found


def of_push(folder: Path, topics: KafkaSettings) -> dict[str, str]:
    return {
        "POSTWATCH_ACCESS_STATE": str(folder / "state.sqlite"),
        "POSTWATCH_PUSH_GROUP": f"{topics.raw_topic.removesuffix('mail.raw')}push",
        "POSTWATCH_PUSH_METRICS_ADDRESS": "",
    }


def says(part: Part, begin: int, event: str) -> bool:
    return event in events(part, begin)


def test_an_outage_of_kafka_is_a_line_when_it_begins_and_one_when_it_ends(
    tmp_path: Path, kafka: EmbeddedKafka, topics: KafkaSettings, database: ClickHouseSettings
) -> None:
    pipeline = Pipeline(tmp_path, topics, database, launchers={} if unit_sandbox.unavailable() else LAUNCHERS)
    with ExitStack() as stack:
        told = {name: stack.enter_context(listening(tmp_path / f"{name}.notify")) for name in UNITS}
        stack.enter_context(running(pipeline))
        systemd = {name: socket.environment(WATCHDOG_SECONDS) for name, socket in told.items()}
        parts = [
            pipeline.start("join", **systemd["join"]),
            pipeline.start("sink", **systemd["sink"]),
            pipeline.start_shipper("mail1", **systemd["ship"]),
            pipeline.start("push", **systemd["push"], **of_push(tmp_path, topics)),
        ]
        log = pipeline.log_of("mail1")
        log.write_text(message(1))
        wait_until(lambda: pipeline.count() == 1, "the first row is there", seconds=120)
        wait_until(lambda: [socket.count("READY=1") for socket in told.values()] == [1, 1, 1, 1], "all are ready")
        before = {part.name: part.log_file.stat().st_size for part in parts}
        kafka.kill()
        try:
            for part in parts:
                wait_until(partial(says, part, before[part.name], "kafka_away"), f"{part.name} says so")
            beats = {name: socket.count("WATCHDOG=1") for name, socket in told.items()}
            time.sleep(AWAY_SECONDS)
            for name, socket in told.items():
                assert socket.count("WATCHDOG=1") - beats[name] >= AWAY_SECONDS / WATCHDOG_SECONDS, name
                assert "kafka: " in socket.said("STATUS")[-1], name
        finally:
            kafka.start()
        for part in parts:
            wait_until(partial(says, part, before[part.name], "kafka_back"), f"{part.name} is content")
        with log.open("a") as stream:
            stream.write(message(2))
        wait_until(lambda: pipeline.count() == 2, "the second row is there", seconds=120)
        for part in parts:
            said = Counter(events(part, before[part.name]))
            assert (said.pop("kafka_away"), said.pop("kafka_back")) == (1, 1), part.name
            said.pop("kafka_still_away", 0)
            assert said.keys() <= REBALANCE | LOST_SESSION, part.name
            assert said.total() <= 12, part.name
        for part in parts:
            assert part.terminate() == 0, part.name
        for name, socket in told.items():
            assert socket.said("STATUS")[-1] == "stopping", name
