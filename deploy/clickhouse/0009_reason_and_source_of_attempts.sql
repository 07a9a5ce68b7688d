-- Why each attempt failed: a mail that was deferred on Tuesday and delivered since has no reason in its row. And the
-- address of ours that it was made from, where the log tells it.
ALTER TABLE {database}.deliveries
    ADD COLUMN IF NOT EXISTS `attempts.reason` Array(LowCardinality(String)) AFTER `attempts.remote_ip`,
    ADD COLUMN IF NOT EXISTS `attempts.source_ip` Array(LowCardinality(String)) AFTER `attempts.reason`,
    ADD COLUMN IF NOT EXISTS source_ip LowCardinality(String);
