-- A report goes by the last event, so a message that expired today is kept for as long as one that was delivered today.
ALTER TABLE {database}.deliveries
    MODIFY TTL toDateTime(updated_at) + INTERVAL {retention_days} DAY DELETE;
