-- The newest row of each recipient without its long texts, in the order of time: for counts, for what is queued now and
-- for checks. The view has no WHERE: a row is replaced by its newest version only if every version comes here.
-- k is the hash of a row's key, as query/statements.py and arrivals have it. queued_at never changes, so the versions of
-- a row lie in one partition. With the column itself in the sort key, a condition on it would not use the hour.
-- Sharded by cityHash64(account_domain)
CREATE TABLE IF NOT EXISTS {database}.delivery_states
(
    k UInt64,
    queued_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC'),
    account_domain String,
    account String,
    direction LowCardinality(String),
    server LowCardinality(String),
    queue_id String,
    recipient String,
    original_recipient String,
    recipient_domain LowCardinality(String),
    size_bytes UInt64,
    status LowCardinality(String),
    result LowCardinality(String),
    smtp_code UInt16,
    reason LowCardinality(String),
    remote_host LowCardinality(String),
    remote_ip String,
    remote_provider LowCardinality(String),
    source_ip LowCardinality(String),
    tries UInt16,
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toMonday(queued_at)
ORDER BY (toStartOfHour(queued_at), k)
TTL toDateTime(updated_at) + INTERVAL {retention_days} DAY DELETE
SETTINGS index_granularity = 2048,
    vertical_merge_algorithm_min_rows_to_activate = 1,
    min_columns_to_activate_adaptive_write_buffer = 11,
    min_age_to_force_merge_seconds = 86400,
    min_age_to_force_merge_on_partition_only = 1;
-- Backfilled
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.to_delivery_states TO {database}.delivery_states
AS SELECT
    cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction) AS k,
    queued_at,
    updated_at,
    account_domain,
    account,
    direction,
    server,
    queue_id,
    recipient,
    original_recipient,
    lower(substringIndex(recipient, '@', -1)) AS recipient_domain,
    size_bytes,
    status,
    result,
    smtp_code,
    reason,
    remote_host,
    remote_ip,
    remote_provider,
    source_ip,
    length(attempts.at) AS tries,
    version,
    is_deleted
FROM {database}.deliveries;
-- For dashboards: every recipient once, as it stands now.
CREATE OR REPLACE VIEW {database}.deliveries_now
AS SELECT * EXCEPT (k, version, is_deleted), k AS delivery
FROM {database}.delivery_states FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
