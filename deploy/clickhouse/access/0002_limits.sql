-- What one statement of a dashboard may cost. Grafana's client sets max_execution_time itself, so that may be changed.
CREATE SETTINGS PROFILE IF NOT EXISTS postwatch_dashboards{on_cluster} SETTINGS
    readonly = 1,
    max_execution_time = 30 MIN 1 MAX 60 CHANGEABLE_IN_READONLY,
    max_memory_usage = 2000000000 READONLY,
    max_threads = 4,
    max_result_rows = 100000 READONLY,
    max_rows_to_read = 500000000 READONLY
    TO postwatch_dashboards, postwatch_customer;
-- serve limits each statement itself, by these settings too; POSTWATCH_QUERY_MAX_MEMORY_MIB and
-- POSTWATCH_QUERY_TIMEOUT_SECONDS can't exceed this.
CREATE SETTINGS PROFILE IF NOT EXISTS postwatch_reports{on_cluster} SETTINGS
    max_execution_time = 60 MIN 1 MAX 600,
    max_memory_usage = 4000000000 MIN 1 MAX 17179869184
    TO postwatch_reports;
-- Of each user in an hour. A dashboard of 20 panels that is refreshed each minute asks 1,200 times.
CREATE QUOTA IF NOT EXISTS postwatch_dashboards{on_cluster} KEYED BY user_name
    FOR INTERVAL 1 HOUR MAX queries = 20000, errors = 2000, execution_time = 7200
    TO postwatch_dashboards;
CREATE QUOTA IF NOT EXISTS postwatch_customer{on_cluster} KEYED BY user_name
    FOR INTERVAL 1 HOUR MAX queries = 3000, errors = 300, execution_time = 900
    TO postwatch_customer;
