-- A merge that builds the text index holds all its words, 350 bytes for each row whose response has unique ones, until
-- it writes a segment: by default at 1 GiB. At 32 MiB the index is the same in the end, and no slower to build.
ALTER TABLE {database}.deliveries MODIFY SETTING text_index_max_memory_usage_before_flush = 33554432;
