"""The shipper's Prometheus metrics: every loss, retry and refusal moves one of them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

LINES = Counter("postwatch_ship_lines_total", "Lines that Kafka has acknowledged.")
BYTES = Counter("postwatch_ship_bytes_total", "Bytes of lines that Kafka has acknowledged.")
RECORDS = Counter("postwatch_ship_records_total", "Records of lines that Kafka has acknowledged.")
HEARTBEATS = Counter("postwatch_ship_heartbeats_total", "Heartbeats that Kafka has acknowledged.")
CUT_LINES = Counter("postwatch_ship_cut_lines_total", "Lines over 64 KiB, which were cut.")
SKIPPED_NUL_BYTES = Counter("postwatch_ship_skipped_nul_bytes_total", "NULs at the beginning of a file, skipped.")
UNFINISHED_LINES = Counter("postwatch_ship_unfinished_lines_total", "Rotated files whose last line never ended.")
ROTATIONS = Counter("postwatch_ship_rotations_total", "Followed files that were renamed or deleted.")
TRUNCATIONS = Counter("postwatch_ship_truncations_total", "Followed files that were truncated.")
UNREAD_ROTATIONS = Counter(
    "postwatch_ship_unread_rotations_total", "Files that were gone before they were read to their end, size unknown."
)
FILE_ERRORS = Counter("postwatch_ship_file_errors_total", "Files, folders or globs found unreadable or missing.")
CHECKPOINT_ERRORS = Counter("postwatch_ship_checkpoint_errors_total", "Failures to write the checkpoint.")
KAFKA_ERRORS = Counter("postwatch_ship_kafka_errors_total", "Errors that Kafka's client reported.")
PAUSES = Counter("postwatch_ship_pauses_total", "Times that reading waited because enough was under way to Kafka.")

FILES = Gauge("postwatch_ship_files", "Files that are followed now.")
LAG_BYTES = Gauge("postwatch_ship_lag_bytes", "Bytes in the followed files that Kafka has not acknowledged yet.")
IN_FLIGHT_BYTES = Gauge("postwatch_ship_in_flight_bytes", "Bytes handed to Kafka's client and not yet acknowledged.")
CHECKPOINT_TIME = Gauge("postwatch_ship_checkpoint_timestamp_seconds", "When the checkpoint was last written.")
