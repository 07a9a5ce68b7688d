"""The shipper's Prometheus metrics: every loss, retry and refusal moves one of them."""

from __future__ import annotations

from postwatch.producers.service.small_metrics import SmallMetrics

SHIP = SmallMetrics()

LINES = SHIP.counter("postwatch_ship_lines_total", "Lines that Kafka has acknowledged.")
BYTES = SHIP.counter("postwatch_ship_bytes_total", "Bytes of lines that Kafka has acknowledged.")
RECORDS = SHIP.counter("postwatch_ship_records_total", "Records of lines that Kafka has acknowledged.")
HEARTBEATS = SHIP.counter("postwatch_ship_heartbeats_total", "Heartbeats that Kafka has acknowledged.")
CUT_LINES = SHIP.counter("postwatch_ship_cut_lines_total", "Lines longer than 64 KiB, cut to that size.")
SKIPPED_NUL_BYTES = SHIP.counter(
    "postwatch_ship_skipped_nul_bytes_total", "NUL bytes skipped at the beginning of files."
)
UNFINISHED_LINES = SHIP.counter(
    "postwatch_ship_unfinished_lines_total", "Rotated files whose last line had no newline."
)
ROTATIONS = SHIP.counter("postwatch_ship_rotations_total", "Followed files that were renamed or deleted.")
TRUNCATIONS = SHIP.counter("postwatch_ship_truncations_total", "Followed files that were truncated.")
UNREAD_ROTATIONS = SHIP.counter(
    "postwatch_ship_unread_rotations_total", "Files that disappeared before they were read to the end."
)
FILE_ERRORS = SHIP.counter("postwatch_ship_file_errors_total", "Files, folders or globs found unreadable or missing.")
CHECKPOINT_ERRORS = SHIP.counter("postwatch_ship_checkpoint_errors_total", "Failures to write the checkpoint.")
KAFKA_ERRORS = SHIP.counter("postwatch_ship_kafka_errors_total", "Errors that Kafka's client reported.")
PAUSES = SHIP.counter(
    "postwatch_ship_pauses_total", "Times that reading paused because the in-flight limit was reached."
)

FILES = SHIP.gauge("postwatch_ship_files", "Files followed now.")
LAG_BYTES = SHIP.gauge("postwatch_ship_lag_bytes", "Bytes in the followed files that Kafka has not acknowledged yet.")
IN_FLIGHT_BYTES = SHIP.gauge("postwatch_ship_in_flight_bytes", "Bytes sent to Kafka and not acknowledged yet.")
CHECKPOINT_TIME = SHIP.gauge("postwatch_ship_checkpoint_timestamp_seconds", "When the checkpoint was last written.")
