"""What the join writes to Kafka except its table: outcomes, heartbeats, dead letters.

One idempotent confluent-kafka producer, whose threads keep the work off the event loop. A send is confirmed on the loop
once the brokers have it. A permanent failure ends the process; nothing of it was acknowledged, so it is read again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence

import structlog
from confluent_kafka import KafkaError, Message, Producer
from postwatch.producers.record import Headers, Heartbeat
from postwatch.producers.service.kafka import KafkaWatch
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.contracts.dead_letters import (
    JOINER_ERROR,
    LINE,
    MAX_VALUE_BYTES,
    RECORD,
    SENT,
    DeadLetter,
    count_from_zero,
    dead_letter_headers,
)
from postwatch.streams.contracts.heartbeat import JoinedLines, encode_heartbeat
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.parsers.lines import PARSER_ERROR
from postwatch.streams.partition.outcome_batches import encode_rows
from postwatch.streams.partition.ports import Confirm

log = structlog.get_logger()

_QUEUE_KBYTES = 32_768


class KafkaOutlet:
    """The outlet of one worker. `fail` is called from the producer's thread with an error that can't be retried."""

    def __init__(
        self, kafka: KafkaSettings, loop: asyncio.AbstractEventLoop, fail: Callable[[str], None], watch: KafkaWatch
    ) -> None:
        self._kafka = kafka
        self._loop = loop
        self._fail = fail
        self._producer = Producer(
            {
                **kafka.producer_config("postwatch-join"),
                "queue.buffering.max.kbytes": _QUEUE_KBYTES,
                **watch.config(),
            },
            logger=watch.logger,
        )
        count_from_zero(LINE, RECORD, PARSER_ERROR, JOINER_ERROR)
        self.bytes_in_flight = 0
        """Bytes of values that are not confirmed yet; read and written on the loop only."""
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="outlet", daemon=True)
        self._poller.start()

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        sent = 0
        for value in encode_rows(turns):
            self._produce(self._kafka.outcomes_topic, confirm, value, partition=partition)
            sent += 1
        return sent

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None:
        value = encode_heartbeat(server, beat, joined)
        self._produce(self._kafka.heartbeats_topic, confirm, value, key=server.encode())

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        def sent() -> None:
            SENT.labels(letter.reason).inc()
            confirm()

        value = letter.value[:MAX_VALUE_BYTES]
        self._produce(self._kafka.dead_letters_topic, sent, value, headers=dead_letter_headers(letter))

    def close(self, timeout_seconds: float) -> int:
        """Wait for what is in flight; returns the number of records that are still unconfirmed."""
        remaining = self._producer.flush(timeout_seconds)
        self._stopping.set()
        self._poller.join(1.0)
        return int(remaining)

    def _produce(
        self,
        topic: str,
        confirm: Confirm,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers | None = None,
    ) -> None:
        size = len(value)
        self.bytes_in_flight += size

        def confirmed() -> None:
            self.bytes_in_flight -= size
            confirm()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._fail(f"{topic} did not take a record: {error}")
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(confirmed)

        while True:
            try:
                self._producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    headers=[*headers] if headers else None,
                    on_delivery=delivered,
                )
                return
            except BufferError:
                # The bound of what may be in flight: the join stops here, and upstream with it, until brokers answer.
                self._producer.poll(0.05)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)
