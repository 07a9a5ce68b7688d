"""What the sink tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("postwatch_sink_records_total", "Records read.", ["topic"])
EXPIRED = Counter(
    "postwatch_sink_expired_records_total", "Records that Kafka deleted before they were read.", ["topic"]
)
UNKNOWN_COLUMNS = Counter(
    "postwatch_sink_unknown_columns_total",
    "Columns of records that were left out because this version does not know them.",
    ["topic"],
)
MISSING_COLUMNS = Counter(
    "postwatch_sink_missing_columns_total", "Columns that records lacked and that got their default.", ["topic"]
)
ROWS = Counter("postwatch_sink_rows_total", "Rows that ClickHouse took.", ["table"])
INSERT_SECONDS = Histogram(
    "postwatch_sink_insert_seconds",
    "How long inserts took, failed ones included; its count is the number of inserts.",
    ["table"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RETRIES = Counter("postwatch_sink_retries_total", "Inserts that are retried; the rows are not at fault.", ["table"])
REFUSALS = Counter(
    "postwatch_sink_refused_inserts_total",
    "Inserts that were divided because of a refused row or their size.",
    ["table"],
)
PAUSED = Gauge("postwatch_sink_paused", "1 while reading is paused to wait for ClickHouse or for a dead letter.")
REBALANCES = Counter("postwatch_sink_rebalances_total", "Times that partitions were assigned anew.")
READ_TIME = Gauge(
    "postwatch_sink_read_timestamp_seconds",
    "When Kafka took the newest record that was read.",
    ["topic", "partition"],
)
PARTITIONS = Gauge("postwatch_sink_partitions", "Partitions assigned to this member.")
LAG = Gauge(
    "postwatch_sink_lag_records", "Records that are not written yet, at the last fetch.", ["topic", "partition"]
)
