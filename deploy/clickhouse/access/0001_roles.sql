-- A role for each part. The users are yours: CREATE USER … IDENTIFIED BY '…' DEFAULT ROLE postwatch_writer.
CREATE ROLE IF NOT EXISTS postwatch_writer{on_cluster};
CREATE ROLE IF NOT EXISTS postwatch_migrator{on_cluster};
CREATE ROLE IF NOT EXISTS postwatch_reports{on_cluster};
CREATE ROLE IF NOT EXISTS postwatch_dashboards{on_cluster};
CREATE ROLE IF NOT EXISTS postwatch_customer{on_cluster};
-- postwatch sink. It reads `deliveries` for the whole rows that withdraw partial ones.
GRANT{on_cluster} SELECT, INSERT ON {database}.deliveries TO postwatch_writer;
GRANT{on_cluster} SELECT, INSERT ON {database}.servers TO postwatch_writer;
GRANT{on_cluster} SELECT ON {database}.arrivals TO postwatch_writer;
-- postwatch migrate. The views that fill the slim tables run with the rights of the user that made them: keep that user.
GRANT{on_cluster} SELECT, INSERT, SHOW, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER TABLE, ALTER VIEW, OPTIMIZE ON {database}.* TO postwatch_migrator;
GRANT{on_cluster} SELECT ON system.* TO postwatch_migrator;
GRANT{on_cluster} CLUSTER, REMOTE ON *.* TO postwatch_migrator;
-- postwatch serve, the reports, doctor. To retire a server writes a row of `servers`.
GRANT{on_cluster} SELECT, SHOW ON {database}.* TO postwatch_reports;
GRANT{on_cluster} INSERT ON {database}.servers TO postwatch_reports;
GRANT{on_cluster} SELECT ON system.tables TO postwatch_reports;
-- Grafana: the documented views, and the tables below them, which a view asks with the rights of its reader.
GRANT{on_cluster} SELECT ON {database}.deliveries_now TO postwatch_dashboards, postwatch_customer;
GRANT{on_cluster} SELECT ON {database}.events TO postwatch_dashboards, postwatch_customer;
GRANT{on_cluster} SELECT ON {database}.delivery_states TO postwatch_dashboards, postwatch_customer;
GRANT{on_cluster} SELECT ON {database}.delivery_events TO postwatch_dashboards, postwatch_customer;
GRANT{on_cluster} SELECT ON {database}.servers TO postwatch_dashboards;
