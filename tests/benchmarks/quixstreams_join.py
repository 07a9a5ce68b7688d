"""Groups the lines of each message of a raw topic, and reads no field. Runs in an environment that has quixstreams.

    python quixstreams_join.py BROKERS TOPIC LINES

Prints JSON: lines, messages that are complete, seconds and CPU seconds from the first record to the last.
"""

import contextlib
import json
import logging
import sys
import time

from quixstreams import Application  # type: ignore[import-not-found,unused-ignore]

_STAMP = len("2026-11-23 13:42:18 ")


class Joined(Exception):
    """All lines were seen."""


def main(brokers: str, topic: str, expected: int) -> None:
    logging.disable(logging.INFO)
    application = Application(
        broker_address=brokers, consumer_group=f"{topic}.quixstreams", auto_offset_reset="earliest", loglevel="ERROR"
    )
    open_messages: dict[bytes, list[bytes]] = {}
    lines = messages = 0
    started = cpu = 0.0

    def take(value: bytes) -> None:
        nonlocal lines, messages, started, cpu
        if not started:
            started, cpu = time.monotonic(), time.process_time()
        for line in value.splitlines():
            lines += 1
            queue_id = line[_STAMP : line.find(b" ", _STAMP)]
            open_messages.setdefault(queue_id, []).append(line)
            if line.endswith(b"Completed"):
                del open_messages[queue_id]
                messages += 1
        if lines >= expected:
            raise Joined

    frame = application.dataframe(application.topic(topic, value_deserializer="bytes", key_deserializer="bytes"))
    frame.update(take)
    with contextlib.suppress(Joined):
        application.run()
    told = {
        "lines": lines,
        "messages": messages,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - cpu,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
