"""Lets Java keep what it has read and linked of Kafka's classes, once: a broker starts with half the work afterwards.

    python -m postwatch.deploy.embedded.kafka_training

Java itself sees whether the file fits its own version and Kafka's jars, and does without one that does not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from postwatch.deploy.embedded.kafka import EmbeddedKafka, broker_command, kept_classes
from postwatch.producers.service.errors import PostwatchError, UnavailableError

_END_SECONDS = 300.0
"""Java writes the file when the broker has ended: ten seconds, on a busy machine more."""


class _TrainingKafka(EmbeddedKafka):
    """A broker that writes the file at its end."""

    def __init__(self, data_dir: Path, output: Path) -> None:
        super().__init__(data_dir)
        self._output = output

    def command(self) -> list[str]:
        java, *options = broker_command(self.data_dir, self.port, self._controller_port)
        return [java, f"-XX:AOTCacheOutput={self._output}", *options]


def train() -> Path:
    """Returns the file; one that is there already is left alone. Raises UnavailableError where none comes of it."""
    kept = kept_classes()
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory(prefix="postwatch-kafka-") as folder:
        output = kept.with_name(f"{kept.name}.{Path(folder).name}")
        broker = _TrainingKafka(Path(folder) / "data", output)
        try:
            broker.start()
            broker.stop(_END_SECONDS)
            if not output.exists():
                raise UnavailableError(f"Java did not write {output}:\n{broker.log_tail()}")
            output.replace(kept)
        finally:
            broker.kill()
            output.unlink(missing_ok=True)
    return kept


def main() -> None:
    try:
        print(train())
    except (PostwatchError, subprocess.SubprocessError) as error:
        sys.exit(f"kafka: {error}")


if __name__ == "__main__":
    main()
