"""`postwatch push` at work: from the topic of outcomes into the outbox, and from there to the endpoints.

Invariants: an offset is acknowledged after its events are in the outbox. Each webhook with something to send has a
thread of its own, so a slow endpoint holds no other up. After a failure the event waits twice as long as before, up to
an hour; after the days set it is dead, and what the endpoint last said is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from postwatch.producers.service.errors import PostwatchError
from postwatch.producers.service.health import Health
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.errors import StateError
from postwatch.query.push.outbox import SENT, Due, Outbox
from postwatch.query.push.payloads import body_of, events_of, troubles_of
from postwatch.query.push.sender import NotTakenError, Sender
from postwatch.query.push.settings import PushSettings
from postwatch.query.push.webhooks import UNUSUAL, Webhook, WebhookBook
from postwatch.query.report_service import ReportService
from postwatch.streams.contracts.outcome_records import decode_outcomes, from_table
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

_EVENTS = Counter("postwatch_push_events_total", "Events of webhooks, by what became of them.", ["end"])
_WAITING = Gauge("postwatch_push_waiting_events", "Events that wait to be sent.")
_UNREADABLE = Counter("postwatch_push_unreadable_records_total", "Records of outcomes that could not be read.")

LONGEST_WAIT_MS = 3_600_000
AT_ONCE = 50
"""Events that a webhook's thread sends before it looks again what is due."""
_LOOK_SECONDS = 0.25
_KNOWN_SECONDS = 2.0
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(slots=True)
class Pusher:
    settings: PushSettings
    book: WebhookBook
    outbox: Outbox
    service: ReportService
    sender: Sender
    health: Health
    stopping: threading.Event
    alive: Callable[[], None] = lambda: None
    """Called by the thread that reads."""
    clock: Callable[[], int] = now_ms
    _busy: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[float, list[Webhook]] = (-1e9, [])

    def webhooks(self) -> list[Webhook]:
        """Those that work, as of the last seconds. Raises StateError."""
        known_at, known = self._known
        if time.monotonic() - known_at >= _KNOWN_SECONDS:
            known = list(self.book.working())
            self._known = (time.monotonic(), known)
        return known

    def read(self, consumer: Consumer, topic: str) -> None:
        """From Kafka into the outbox, until `stopping`."""
        consumer.subscribe([topic])
        while not self.stopping.is_set():
            self.alive()
            message = consumer.poll(0.2)
            if message is None:
                continue
            if error := message.error():
                if error.code() != KafkaError._PARTITION_EOF:
                    log.warning("record_not_read", reason=error.str())
                continue
            if self._keep(message):
                try:
                    consumer.store_offsets(message)
                except KafkaException as gone:  # the partition is another member's by now, which reads it again
                    log.info("offset_not_stored", reason=str(gone.args[0]))

    def _keep(self, message: Message) -> bool:
        """Until it is kept; False: it is time to stop."""
        try:
            rows = from_table(decode_outcomes(message.value() or b""))
        except ValueError as error:
            _UNREADABLE.inc()
            log.warning("record_unreadable", partition=message.partition(), offset=message.offset(), reason=str(error))
            return True
        while not self.stopping.is_set():
            try:
                found = list(events_of(self.webhooks(), rows))
                new = self.outbox.add(found, self.clock()) if found else 0
            except StateError as error:
                self.health.complain("state", str(error))
                self.alive()
                self.stopping.wait(1.0)
                continue
            self.health.settle("state")
            _EVENTS.labels("kept").inc(new)
            return True
        return False

    def send(self) -> None:
        """From the outbox to the endpoints, until `stopping`."""
        looked_at = forgot_at = 0
        while not self.stopping.wait(_LOOK_SECONDS):
            try:
                for webhook in self.webhooks():
                    self._begin(webhook)
                now = self.clock()
                if now - looked_at >= self.settings.unusual_minutes * 60_000:
                    looked_at = now
                    self._look_for_troubles(now)
                if now - forgot_at >= _DAY_MS // 24:
                    forgot_at = now
                    self.outbox.forget(now)
            except StateError as error:
                self.health.complain("state", str(error))

    def _look_for_troubles(self, now: int) -> None:
        for webhook in self.webhooks():
            if UNUSUAL in webhook.kinds:
                try:
                    self.outbox.add(list(troubles_of(self.service, webhook, now)), now)
                except StateError:
                    raise
                except PostwatchError as error:
                    log.warning("bounces_not_read", webhook=webhook.id, reason=str(error))
        _WAITING.set(sum(one.waiting for one in self.outbox.counts().values()))

    def _begin(self, webhook: Webhook) -> None:
        due = [] if webhook.id in self._busy else self.outbox.due(webhook.id, self.clock(), AT_ONCE)
        if due:
            with self._lock:
                self._busy.add(webhook.id)
            threading.Thread(target=self._tell, args=(webhook, due), name=f"push-{webhook.id}", daemon=True).start()

    def _tell(self, webhook: Webhook, due: list[Due]) -> None:
        try:
            for one in due:
                if self.stopping.is_set() or not self._try(webhook, one):
                    return
        except StateError as error:
            self.health.complain("state", str(error))
        except Exception:
            log.exception("push_failed", webhook=webhook.id)
        finally:
            with self._lock:
                self._busy.discard(webhook.id)

    def _try(self, webhook: Webhook, due: Due) -> bool:
        """Whether the endpoint may be tried with the next event at once."""
        now = self.clock()
        lease_ms = int(self.settings.timeout_seconds * 3000) + 60_000
        if not self.outbox.claim(due, now + lease_ms):
            return True
        try:
            body = body_of(self.service, webhook, due)
        except PostwatchError as error:  # ClickHouse is away
            self._put_off(webhook, due, f"the row could not be made ready: {error}", "put off")
            return False
        if body is None:
            self._put_off(webhook, due, "the last of our servers has not told yet", "handed over")
            return True
        try:
            self.sender.send(webhook.url, webhook.secret, due.id, body, now // 1000)
        except NotTakenError as error:
            self._put_off(webhook, due, str(error), "failed")
            return False
        self.outbox.settle(due, SENT)
        _EVENTS.labels("sent").inc()
        return True

    def _put_off(self, webhook: Webhook, due: Due, note: str, end: str) -> None:
        now = self.clock()
        is_dead = now - due.made_at >= self.settings.give_up_days * _DAY_MS
        wait_ms = min(int(self.settings.first_retry_seconds * 1000) << min(due.tries, 20), LONGEST_WAIT_MS)
        self.outbox.put_off(due, now + wait_ms, note, is_dead=is_dead)
        _EVENTS.labels("dead" if is_dead else end).inc()
        say = log.warning if is_dead else log.info
        say("event_dead" if is_dead else "event_put_off", webhook=webhook.id, id=due.id, reason=note)
