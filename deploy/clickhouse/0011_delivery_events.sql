-- What happened, in the order of time: each attempt, and each end that came without one (a rejection, an expiry). A mail
-- that was deferred last Tuesday and delivered since is two events. Pending is none: nothing has happened yet.
-- n numbers the events of one recipient within an hour. When a row is replaced, all of its events come again with its
-- version, so those of one hour replace what was told of this hour before, where a time or a status differs now too. A
-- tombstone brings them as tombstones, and one more at its last event, for an end that it does not tell.
-- Sharded by cityHash64(account_domain)
CREATE TABLE IF NOT EXISTS {database}.delivery_events
(
    k UInt64,
    at DateTime64(3, 'UTC'),
    n UInt16,
    queued_at DateTime64(3, 'UTC'),
    account_domain String,
    account String,
    direction LowCardinality(String),
    server LowCardinality(String),
    recipient_domain LowCardinality(String),
    is_aliased UInt8,
    size_bytes UInt64,
    status LowCardinality(String),
    is_attempt UInt8,
    smtp_code UInt16,
    reason LowCardinality(String),
    remote_host LowCardinality(String),
    remote_ip String,
    remote_provider LowCardinality(String),
    source_ip LowCardinality(String),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toMonday(at)
ORDER BY (toStartOfHour(at), k, n)
TTL toDateTime(at) + INTERVAL {retention_days} DAY DELETE
SETTINGS index_granularity = 2048,
    vertical_merge_algorithm_min_rows_to_activate = 1,
    min_columns_to_activate_adaptive_write_buffer = 11,
    min_age_to_force_merge_seconds = 86400,
    min_age_to_force_merge_on_partition_only = 1;
-- An end without an attempt follows the attempts. The last attempt of a row from before attempts had reasons gets the
-- row's. The remote server of an attempt is taken to be of the provider that the row names.
-- Backfilled
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.to_delivery_events TO {database}.delivery_events
AS SELECT
    cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction) AS k,
    event_at AS at,
    event_n AS n,
    queued_at,
    account_domain,
    account,
    direction,
    server,
    lower(substringIndex(recipient, '@', -1)) AS recipient_domain,
    direction = 'sent' AND original_recipient != '' AS is_aliased,
    size_bytes,
    event_status AS status,
    event_number <= length(attempts.at) AS is_attempt,
    event_code AS smtp_code,
    if(event_reason = '' AND NOT is_ended AND event_number = length(attempts.at), stored.reason, event_reason)
        AS reason,
    event_host AS remote_host,
    event_ip AS remote_ip,
    remote_provider,
    event_source_ip AS source_ip,
    version,
    is_deleted
FROM {database}.deliveries AS stored
ARRAY JOIN
    if(
        stored.is_deleted OR (stored.status NOT IN ('pending', 'deferred') AND attempts.status[-1] != stored.status)
            AS is_ended,
        arrayPushBack(attempts.at, updated_at),
        attempts.at
    ) AS event_at,
    arrayEnumerateUniq(arrayMap(
        event -> toStartOfHour(event),
        if(is_ended, arrayPushBack(attempts.at, updated_at), attempts.at)
    )) AS event_n,
    arrayEnumerate(if(is_ended, arrayPushBack(attempts.at, updated_at), attempts.at)) AS event_number,
    if(is_ended, arrayPushBack(attempts.status, stored.status), attempts.status) AS event_status,
    if(is_ended, arrayPushBack(attempts.smtp_code, stored.smtp_code), attempts.smtp_code) AS event_code,
    if(is_ended, arrayPushBack(attempts.reason, stored.reason), attempts.reason) AS event_reason,
    if(is_ended, arrayPushBack(attempts.remote_host, stored.remote_host), attempts.remote_host) AS event_host,
    if(is_ended, arrayPushBack(attempts.remote_ip, stored.remote_ip), attempts.remote_ip) AS event_ip,
    if(is_ended, arrayPushBack(attempts.source_ip, stored.source_ip), attempts.source_ip) AS event_source_ip;
-- For dashboards: every event once, and none of what was retracted.
CREATE OR REPLACE VIEW {database}.events
AS SELECT * EXCEPT (k, n, version, is_deleted), k AS delivery
FROM {database}.delivery_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
