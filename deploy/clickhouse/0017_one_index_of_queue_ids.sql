-- A search by any queue id that a message had on its way asks one index in place of three one after another, for what a
-- question costs ClickHouse is mostly planning. An OR of the three would not do: of each four granules that an index can
-- leave out, ClickHouse 26.9 then leaves out one. The array is as query/statements.py has it.
-- Materialized by week
ALTER TABLE {database}.deliveries
    ADD INDEX IF NOT EXISTS by_any_queue_id arrayConcat([queue_id, parent_queue_id], splitByChar(' ', next_queue_id)) TYPE bloom_filter(0.001) GRANULARITY 4;
ALTER TABLE {database}.deliveries
    DROP INDEX IF EXISTS by_queue_id,
    DROP INDEX IF EXISTS by_next_queue_id,
    DROP INDEX IF EXISTS by_parent_queue_id;
