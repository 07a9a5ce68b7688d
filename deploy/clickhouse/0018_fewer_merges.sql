-- What a row costs in the end is how often it is written anew. To delete what expired, ClickHouse writes all that is left
-- of a week's part anew, by default every four hours: 21 times a row, on an average. Once a day it is 3 to 4 times.
-- And parts are merged when there are about ten of a size, by default five: a table of the same rows has a few parts more,
-- and each row is written a third less often.
ALTER TABLE {database}.deliveries
    MODIFY SETTING merge_with_ttl_timeout = 86400, merge_selector_base = 10;
ALTER TABLE {database}.delivery_states
    MODIFY SETTING merge_with_ttl_timeout = 86400, merge_selector_base = 10;
ALTER TABLE {database}.delivery_events
    MODIFY SETTING merge_with_ttl_timeout = 86400, merge_selector_base = 10;
ALTER TABLE {database}.delivery_hops
    MODIFY SETTING merge_with_ttl_timeout = 86400, merge_selector_base = 10;
ALTER TABLE {database}.arrivals
    MODIFY SETTING merge_selector_base = 10;
