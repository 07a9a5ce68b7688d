-- Every role that may see all rows is named. Where a table has a policy, ClickHouse's setting
-- users_without_row_policies_can_read_rows decides about the rest: set it to false, and nobody else sees a row.
CREATE ROW POLICY IF NOT EXISTS postwatch_all{on_cluster} ON {database}.delivery_states
    FOR SELECT USING 1 AS PERMISSIVE
    TO postwatch_writer, postwatch_migrator, postwatch_reports, postwatch_dashboards;
CREATE ROW POLICY IF NOT EXISTS postwatch_all{on_cluster} ON {database}.delivery_events
    FOR SELECT USING 1 AS PERMISSIVE
    TO postwatch_writer, postwatch_migrator, postwatch_reports, postwatch_dashboards;
-- A customer's own dashboard: a user that is named like a domain sees the rows of that domain.
CREATE ROW POLICY IF NOT EXISTS postwatch_customer{on_cluster} ON {database}.delivery_states
    FOR SELECT USING account_domain = currentUser() AS PERMISSIVE
    TO postwatch_customer;
CREATE ROW POLICY IF NOT EXISTS postwatch_customer{on_cluster} ON {database}.delivery_events
    FOR SELECT USING account_domain = currentUser() AS PERMISSIVE
    TO postwatch_customer;
