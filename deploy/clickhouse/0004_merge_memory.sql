-- A merge that reads and writes all columns at once takes some 250 MB, however few the rows. One after another they
-- take a fifth of it, with write buffers that begin small.
ALTER TABLE {database}.deliveries
    MODIFY SETTING vertical_merge_algorithm_min_rows_to_activate = 1,
    min_columns_to_activate_adaptive_write_buffer = 11;
