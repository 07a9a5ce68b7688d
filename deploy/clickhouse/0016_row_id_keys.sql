-- The secrets that the ids of deliveries are sealed with (query/row_id.py), as 64 hexadecimal digits. `postwatch migrate`
-- makes the first one. They lie beside the rows: whoever may read them may read the rows, and all readers share them.
-- Sharded by cityHash64(secret)
CREATE TABLE IF NOT EXISTS {database}.row_id_keys
(
    secret String,
    made_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(made_at)
ORDER BY secret;
