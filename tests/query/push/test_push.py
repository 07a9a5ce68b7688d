"""Webhooks over a real broker, engine and endpoint: each final status once, and as its viewer may see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from postwatch.deploy.cli import main
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenScope
from postwatch.query.commands.push import _consumer_config
from postwatch.query.push.outbox import DEAD, WAITING, Counts, Event, Outbox
from postwatch.query.push.payloads import events_of
from postwatch.query.push.pusher import Pusher
from postwatch.query.push.sender import EVENT_ID, Sender
from postwatch.query.push.settings import PushSettings
from postwatch.query.push.webhooks import Webhook, WebhookBook
from postwatch.query.settings import QuerySettings
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import encode_outcomes

from tests.query.conftest import NOW_MS, Office, make_row
from tests.query.push.conftest import LOOPBACK, Endpoint
from tests.streams.sink.sink_process import send
from tests.waiting import wait_until

OF_BOB = TokenScope(accounts=frozenset(("bob@example.org",)))
LATER_MS = NOW_MS + 10_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore(str(tmp_path / "state.sqlite"))
    yield opened
    opened.close()


def row(number: int = 1, **known: Any) -> Outcome:
    return make_row(**{"queue_id": f"q{number}", "updated_at": LATER_MS, **known})


def add(outbox: Outbox, webhook: Webhook, *rows: Outcome) -> int:
    return outbox.add(list(events_of([webhook], rows)), NOW_MS)


@pytest.fixture
def bob(store: StateStore) -> Webhook:
    return WebhookBook(store).create("bob", "https://hook.example/", OF_BOB, (), "me")


def test_a_replay_a_repeat_and_an_old_version_tell_nothing(store: StateStore, bob: Webhook) -> None:
    outbox = Outbox(store)
    assert add(outbox, bob, row(version=2)) == 1
    assert add(outbox, bob, row(version=2), row(version=2)) == 0
    assert add(outbox, bob, row(version=1, status="bounced")) == 0
    assert add(outbox, bob, row(version=3, size_bytes=7)) == 0  # another version of the same end
    [due] = outbox.due(bob.id, NOW_MS, 10)
    outbox.settle(due, "sent")
    assert add(outbox, bob, row(version=3), row(version=4)) == 0
    assert add(outbox, bob, row(version=5, status="bounced")) == 1
    assert outbox.due(bob.id, NOW_MS, 10)[0].id != due.id


def test_a_tombstone_takes_back_what_was_not_sent_and_tells_nothing(store: StateStore, bob: Webhook) -> None:
    outbox = Outbox(store)
    assert add(outbox, bob, row(version=2)) == 1
    assert add(outbox, bob, row(version=3, is_deleted=1)) == 0
    assert outbox.due(bob.id, NOW_MS, 10) == []
    assert add(outbox, bob, row(2, version=3, is_deleted=1), row(2, version=2)) == 0
    assert outbox.due(bob.id, NOW_MS, 10) == []


def test_only_what_ended_after_it_was_made_and_what_its_viewer_may_see(store: StateStore, bob: Webhook) -> None:
    outbox = Outbox(store)
    others = [
        row(1, status="deferred"),
        row(2, status="pending"),
        row(3, account="eve@example.org"),
        row(4, account="bob@example.com"),
        row(5, updated_at=bob.created_at - 1),
    ]
    assert add(outbox, bob, *others) == 0


def test_one_of_two_processes_sends_an_event(store: StateStore, bob: Webhook) -> None:
    outbox = Outbox(store)
    add(outbox, bob, row())
    [due] = outbox.due(bob.id, NOW_MS, 10)
    assert [outbox.claim(due, NOW_MS + 5), outbox.claim(due, NOW_MS + 5)] == [True, False]


class Push:
    """A pusher with its two threads, over the topics and tables of a test."""

    def __init__(self, office: Office, kafka: KafkaSettings, store: StateStore, **changes: Any) -> None:
        self.settings = PushSettings(**{"first_retry_seconds": 0.1, "timeout_seconds": 3.0, **changes})
        self.stopping = threading.Event()
        self.book, self.outbox = WebhookBook(store), Outbox(store)
        sender = Sender(LOOPBACK, self.settings.timeout_seconds)
        pusher = Pusher(self.settings, self.book, self.outbox, office.service, sender, Health(), self.stopping)
        self.consumer = Consumer({**_consumer_config(self.settings, kafka), "auto.offset.reset": "earliest"})
        self.threads = [
            threading.Thread(target=pusher.send),
            threading.Thread(target=pusher.read, args=(self.consumer, kafka.outcomes_topic)),
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        self.consumer.close()


@pytest.fixture
def begin(office: Office, topics: KafkaSettings, store: StateStore) -> Iterator[Callable[..., Push]]:
    create_topics(topics, partitions=2)
    office.query_settings = QuerySettings(own_servers=("10.1.0.0/16",))
    begun: list[Push] = []

    def make(**changes: Any) -> Push:
        begun.append(Push(office, topics, store, **changes))
        return begun[-1]

    yield make
    for push in begun:
        push.stop()


def told(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in endpoint.taken]


def test_each_end_is_told_once_through_restarts_replays_and_a_slow_neighbour(
    begin: Callable[..., Push], topics: KafkaSettings, store: StateStore, endpoint: Endpoint, office: Office
) -> None:
    slow = Endpoint()
    slow.waits = True
    book = WebhookBook(store)
    book.create("bob", endpoint.url, OF_BOB, (), "me")
    book.create("slow", slow.url, OF_BOB, (), "me")
    rows = [row(number, log_lines=("to=<eve@x.example>",), response="250 for <eve@x.example>") for number in range(5)]
    office.insert(rows)
    send(topics, topics.outcomes_topic, [encode_outcomes(rows[:3]), b"noise", encode_outcomes(rows[:2])])
    first = begin()
    wait_until(lambda: len(endpoint.taken) >= 3, "three events are told beside an endpoint that is slow")
    assert slow.taken == []
    first.stop()
    endpoint.status = 500
    send(topics, topics.outcomes_topic, [encode_outcomes(rows), encode_outcomes(rows)])
    second = begin()
    wait_until(lambda: len(endpoint.taken) >= 6, "what fails is tried again")
    endpoint.status = 204
    wait_until(lambda: second.outbox.counts()[book.listed()[1].id].waiting == 0, "all is told")
    second.stop()
    slow.wait.set()
    slow.shutdown()
    slow.server_close()
    taken = [one["event"] for one in told(endpoint)]
    assert len(set(taken)) == 5
    assert {headers[EVENT_ID] for _, headers, _ in endpoint.taken} == set(taken)
    delivery = told(endpoint)[0]["delivery"]
    assert (delivery["server"], delivery["log_lines"]) == ("", [])
    assert "eve@" not in json.dumps(told(endpoint))
    assert {one["delivery"]["id"] for one in told(endpoint)} == {one.id for one in office.report().rows}


def test_what_was_handed_over_is_told_when_the_last_server_has_told(
    begin: Callable[..., Push], topics: KafkaSettings, store: StateStore, endpoint: Endpoint, office: Office
) -> None:
    WebhookBook(store).create("bob", endpoint.url, OF_BOB, (), "me")
    handed = row(
        message_id="m@example.org",
        next_queue_id="4NEXT01",
        response="250 Ok: queued as 4NEXT01",
        remote_host="gateway2.example.org",
        remote_ip="10.1.0.2",
    )
    far = row(queue_id="4NEXT01", account="", account_domain="", server="gateway2", message_id="m@example.org")
    office.insert([handed])
    send(topics, topics.outcomes_topic, [encode_outcomes([handed])])
    push = begin()
    wait_until(lambda: any("not told yet" in one.note for one in push.outbox.counts().values()), "it is looked at")
    assert endpoint.taken == []
    office.insert([far._replace(status="bounced", result="failed", response="550 no", queued_at=LATER_MS)])
    wait_until(lambda: bool(endpoint.taken), "it is told")
    assert told(endpoint)[0]["delivery"]["status"] == "bounced"


def test_what_nobody_takes_for_days_is_dead_with_a_note(
    begin: Callable[..., Push], topics: KafkaSettings, store: StateStore, endpoint: Endpoint
) -> None:
    webhook = WebhookBook(store).create("bob", endpoint.url, OF_BOB, (), "me")
    endpoint.status = 503
    send(topics, topics.outcomes_topic, [encode_outcomes([row()])])
    push = begin(give_up_days=0.00001)
    wait_until(lambda: push.outbox.counts().get(webhook.id, Counts(0, 0, 0, "")).dead == 1, "it is dead")
    assert push.outbox.counts()[webhook.id].note == "it answered 503"


def test_the_command_makes_lists_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSTWATCH_ACCESS_STATE", str(tmp_path / "state.sqlite"))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["webhook", "create", "crm", "https://crm.example/in", "--domain", "example.org"]) == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("whsec_")
    assert main(["webhook", "list"]) == 0
    listed = capsys.readouterr().out
    assert "crm" in listed
    assert secret not in listed
    assert main(["webhook", "revoke", "crm"]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["webhook", "create", "crm", "https://crm.example/in"]) == 1
    assert main(["webhook", "create", "crm", "ftp://crm.example/in", "--all"]) == 1


def test_an_unusual_thing_is_told_once_a_day(store: StateStore, bob: Webhook) -> None:
    outbox = Outbox(store)
    trouble = Event(bob.id, "a trouble of today", 1, "unusual", b"{}")
    assert [outbox.add([trouble], NOW_MS), outbox.add([trouble], NOW_MS)] == [1, 0]
    assert (WAITING, DEAD) == ("waiting", "dead")
    with pytest.raises(BadInputError):
        WebhookBook(store).revoke("nobody", "me")
