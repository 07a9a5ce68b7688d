-- A trace by any queue id that a message had on its way, and from a message to its bounces and forwards.
ALTER TABLE {database}.deliveries
    ADD INDEX IF NOT EXISTS by_next_queue_id splitByChar(' ', next_queue_id) TYPE bloom_filter(0.001) GRANULARITY 4;
ALTER TABLE {database}.deliveries
    ADD INDEX IF NOT EXISTS by_parent_queue_id parent_queue_id TYPE bloom_filter(0.001) GRANULARITY 4;
