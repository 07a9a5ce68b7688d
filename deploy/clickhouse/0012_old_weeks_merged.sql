-- A week that has had no insert for a day is merged to one part: a report then reads it without comparing versions.
ALTER TABLE {database}.deliveries
    MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
