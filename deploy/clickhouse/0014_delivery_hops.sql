-- What ties the rows of one message on several of our servers: for reports, which tell its last fate (query/hops).
-- tie is the id under which this server queued the message, with its Message-ID and the address that it was given;
-- next_tie is the same as the answer of the next server tells it, 0 where no id or no Message-ID is told. message is the
-- first of the sort key, so all rows of a message lie together. What is tied is a matter of reading: no setting is here.
-- The view has no WHERE: a row is replaced by its newest version only if every version comes here.
-- Sharded by cityHash64(account_domain)
CREATE TABLE IF NOT EXISTS {database}.delivery_hops
(
    message UInt64,
    k UInt64,
    tie UInt64,
    next_tie UInt64,
    queued_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC'),
    server LowCardinality(String),
    account_domain LowCardinality(String),
    account String,
    status LowCardinality(String),
    remote_host LowCardinality(String),
    remote_ip LowCardinality(String),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toMonday(queued_at)
ORDER BY (message, k)
TTL toDateTime(updated_at) + INTERVAL {retention_days} DAY DELETE
SETTINGS index_granularity = 512,
    vertical_merge_algorithm_min_rows_to_activate = 1,
    min_columns_to_activate_adaptive_write_buffer = 11,
    min_age_to_force_merge_seconds = 86400,
    min_age_to_force_merge_on_partition_only = 1;
-- Backfilled
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.to_delivery_hops TO {database}.delivery_hops
AS SELECT
    cityHash64(message_id) AS message,
    cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction) AS k,
    cityHash64(queue_id, message_id, lower(if(original_recipient != '', original_recipient, recipient))) AS tie,
    if(
        status = 'delivered' AND message_id != '' AND next_queue_id != ''
            AND position(response, substringIndex(next_queue_id, ' ', -1)) > 0,
        cityHash64(substringIndex(next_queue_id, ' ', -1), message_id, lower(recipient)),
        0
    ) AS next_tie,
    queued_at,
    updated_at,
    server,
    account_domain,
    account,
    status,
    remote_host,
    remote_ip,
    version,
    is_deleted
FROM {database}.deliveries;
