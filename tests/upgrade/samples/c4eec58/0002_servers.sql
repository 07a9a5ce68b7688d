-- The newest heartbeat of each server, so that "no data" never looks like "no mail". Columns as in streams/heartbeat.py.
-- Sharded by cityHash64(server)
CREATE TABLE IF NOT EXISTS {database}.servers
(
    server String,
    sent_at DateTime64(3, 'UTC'),
    last_line_at DateTime64(3, 'UTC'),
    lag_bytes UInt64,
    files UInt32,
    shipper_version String
)
ENGINE = ReplacingMergeTree(sent_at)
ORDER BY server;
