-- What was inserted into deliveries lately, so that an open page finds new and changed rows however old their events are.
-- Only keys and versions: the rows are read from deliveries. row_key is the hash of a row's key; group_key is the same for
-- all recipients that one alias led to. Both as query/statements.py has them.
-- Sharded by cityHash64(account_domain)
CREATE TABLE IF NOT EXISTS {database}.arrivals
(
    inserted_at DateTime64(3, 'UTC'),
    row_key UInt64,
    group_key UInt64,
    account_domain String,
    account String,
    queued_at DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = MergeTree()
PARTITION BY toStartOfHour(inserted_at)
ORDER BY inserted_at
TTL toDateTime(inserted_at) + INTERVAL 1 HOUR DELETE
SETTINGS ttl_only_drop_parts = 1;
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.to_arrivals TO {database}.arrivals
AS SELECT
    now64(3) AS inserted_at,
    cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction) AS row_key,
    cityHash64(account_domain, account, queued_at, server, queue_id,
        if(direction = 'sent' AND original_recipient != '', original_recipient, recipient), direction) AS group_key,
    account_domain,
    account,
    queued_at,
    version
FROM {database}.deliveries;
