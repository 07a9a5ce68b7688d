#!/bin/sh
# ClickHouse's image runs this at its first start: the user of the dashboards, who can only read.
set -eu
clickhouse-client --user "$CLICKHOUSE_USER" --password "$(cat "$CLICKHOUSE_PASSWORD_FILE")" --multiquery <<SQL
CREATE USER IF NOT EXISTS dashboards IDENTIFIED BY '$(cat /run/secrets/dashboards-password)' SETTINGS readonly = 1,
    max_execution_time = 30 CHANGEABLE_IN_READONLY;
GRANT SELECT ON postwatch.* TO dashboards;
SQL
