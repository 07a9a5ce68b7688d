-- When an engineer said that a server is gone: it is not silent then. The next heartbeat replaces the row, and the server
-- is back.
ALTER TABLE {database}.servers ADD COLUMN IF NOT EXISTS retired_at DateTime64(3, 'UTC');
