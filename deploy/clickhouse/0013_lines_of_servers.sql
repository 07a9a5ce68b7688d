-- What a server's page tells: what its shipper lost, and what the join knows of its lines.
ALTER TABLE {database}.servers
    ADD COLUMN IF NOT EXISTS shipper_started_at DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS truncations UInt32,
    ADD COLUMN IF NOT EXISTS unread_files UInt32,
    ADD COLUMN IF NOT EXISTS cut_lines UInt64,
    ADD COLUMN IF NOT EXISTS joined_since DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS lines UInt64,
    ADD COLUMN IF NOT EXISTS recent_lines UInt64,
    ADD COLUMN IF NOT EXISTS recent_ms UInt32,
    ADD COLUMN IF NOT EXISTS formats Array(String),
    ADD COLUMN IF NOT EXISTS letter_reasons Array(String),
    ADD COLUMN IF NOT EXISTS letter_counts Array(UInt64),
    ADD COLUMN IF NOT EXISTS suppressed_lines UInt64,
    ADD COLUMN IF NOT EXISTS clock_skew_ms Int64;
