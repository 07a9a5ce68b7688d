"""Roles, limits and row policies: valid to the real engine's parser, and what each role may on the official image.

The embedded engine has no users: to create a role is refused there as forbidden (497), to grant to it as unknown (511).
A statement that is not well formed is refused as that (62) before.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from postwatch.deploy import access
from postwatch.deploy.access import ROLES, access_statements, grant_access
from postwatch.deploy.migrate import Place, migrate
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.settings import QuerySettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.test_ask_the_tables import rows_of
from tests.mutations.mutation import ROOT
from tests.streams.sink.test_sink_containers import official_clickhouse, services  # noqa: F401 - fixtures

SYNTAX_ERROR, FORBIDDEN, UNKNOWN_ROLE = 62, 497, 511
NO_CLUSTER = (392, 701)
"""Prohibited there, or unknown."""
PAGE = (Path(ROOT) / "docs" / "secured-clickhouse.md").read_text()


def refusal(client: Client, statement: str) -> int:
    with pytest.raises(DatabaseError) as raised:
        client.command(statement)
    return int(getattr(raised.value, "code", 0) or 0)


@pytest.mark.stack
@pytest.mark.parametrize("cluster", ["", "fleet"])
def test_every_statement_is_well_formed(database: ClickHouseSettings, cluster: str) -> None:
    client = connect(database)
    statements = list(access_statements(Place(database.database, 30, cluster)))
    assert len(statements) > 20
    for name, statement in statements:
        assert refusal(client, statement) in (FORBIDDEN, UNKNOWN_ROLE, *NO_CLUSTER), (name, statement)
        assert "{" not in statement
        assert (" ON CLUSTER 'fleet'" in statement) == bool(cluster)
    assert refusal(client, "GRANT SELECTT ON a.b TO c") == SYNTAX_ERROR
    assert refusal(client, "CREATE QUOTA q FOR INTERVAL 1 HOUR MAX querys = 5 TO c") == SYNTAX_ERROR


@pytest.mark.stack
def test_who_may_not_manage_access_is_told(database: ClickHouseSettings) -> None:
    with pytest.raises(
        PostwatchError, match=r"0001_roles.sql stopped at .CREATE ROLE.* as a user of ClickHouse that may"
    ):
        grant_access(connect(database), Place(database.database, 30))


def test_each_role_is_made_granted_and_told_of() -> None:
    statements = [statement for _, statement in access_statements(Place("postwatch", 30))]
    for role in ROLES:
        assert f"CREATE ROLE IF NOT EXISTS {role}" in statements
        assert any(statement.startswith("GRANT") and role in statement for statement in statements)
        assert f"| `{role}` |" in PAGE
    named = {role for statement in statements for role in re.findall(r"\bpostwatch_(?!all)\w+", statement)}
    assert named == set(ROLES)


def test_on_a_cluster_the_tables_below_have_the_rights_and_the_policies_too() -> None:
    text = "\n".join(statement for _, statement in access_statements(Place("postwatch", 30, "fleet")))
    assert "SELECT ON postwatch.delivery_states_local TO postwatch_dashboards" in text
    assert re.search(
        r"POLICY IF NOT EXISTS postwatch_customer_local ON CLUSTER 'fleet' ON postwatch.delivery_states_loc", text
    )
    assert "deliveries_now_local" not in text


Users = dict[str, ClickHouseSettings]


@pytest.fixture(scope="module")
def users(official_clickhouse: tuple[ClickHouseSettings, Any]) -> Users:  # noqa: F811
    settings, container = official_clickhouse
    done = container.exec(
        [
            "sh",
            "-c",
            "echo '<clickhouse><users><postwatch><access_management>1</access_management></postwatch></users>"
            "<access_control_improvements><users_without_row_policies_can_read_rows>false"
            "</users_without_row_policies_can_read_rows></access_control_improvements></clickhouse>' "
            "> /etc/clickhouse-server/users.d/access.xml; sleep 3",
        ]
    )
    assert done.exit_code == 0
    admin = connect(settings, database="")
    grant_access(admin, Place(settings.database, 30))
    made = {role: f"u_{role}" for role in ROLES} | {"postwatch_customer": "d.example"}
    for role, user in made.items():
        admin.command(f"CREATE USER IF NOT EXISTS `{user}` IDENTIFIED BY 'secret' DEFAULT ROLE {role}")
    now_ms = int(str(admin.command("SELECT toUnixTimestamp64Milli(now64(3))")))
    rows = rows_of(now_ms) + [
        row._replace(account="x@e.example", account_domain="e.example") for row in rows_of(now_ms)
    ]
    writer = connect(replace(settings, user=made["postwatch_writer"], password="secret"))
    writer.insert_arrow("deliveries", pa.Table.from_batches([to_batch(rows)]))
    return {role: replace(settings, user=user, password="secret") for role, user in made.items()}


@pytest.mark.docker
def test_each_role_may_what_its_part_needs_and_no_more(users: Users) -> None:
    migrator, reports = connect(users["postwatch_migrator"], database=""), connect(users["postwatch_reports"])
    assert migrate(migrator, users["postwatch_migrator"]) == []
    assert int(str(reports.command("SELECT count() FROM deliveries"))) > 0
    for role in ("postwatch_writer", "postwatch_reports", "postwatch_dashboards", "postwatch_customer"):
        assert refusal(connect(users[role]), "DROP TABLE deliveries") in (FORBIDDEN, 164)
    assert refusal(reports, "INSERT INTO deliveries SELECT * FROM deliveries") == FORBIDDEN
    dashboards = connect(users["postwatch_dashboards"])
    assert refusal(dashboards, "SELECT count() FROM deliveries") == FORBIDDEN
    assert refusal(dashboards, "SELECT sleepEachRow(1) FROM numbers(10) SETTINGS max_execution_time = 1000") != 0


@pytest.mark.docker
def test_a_customer_sees_the_rows_of_his_domain_alone(users: Users) -> None:
    seen = connect(users["postwatch_customer"]).query("SELECT DISTINCT account_domain FROM deliveries_now").result_rows
    assert [tuple(row) for row in seen] == [("d.example",)]
    all_rows = connect(users["postwatch_dashboards"]).query("SELECT uniq(account_domain) FROM events").result_rows
    assert all_rows[0][0] == 2


@pytest.mark.docker
def test_a_wrong_password_is_named(users: Users) -> None:
    with pytest.raises(PostwatchError, match="check POSTWATCH_CLICKHOUSE_USER and POSTWATCH_CLICKHOUSE_PASSWORD"):
        connect(replace(users["postwatch_writer"], password="wrong"))


def test_what_reports_set_themselves_is_within_their_limits() -> None:
    """A setting that is READONLY in the profile would refuse every statement that sets it."""
    [profile] = [
        statement
        for _, statement in access_statements(Place("postwatch", 30))
        if statement.startswith("CREATE SETTINGS PROFILE IF NOT EXISTS postwatch_reports")
    ]
    assert "READONLY" not in profile
    limits = {
        name: (int(least), int(most)) for name, least, most in re.findall(r"(\w+) = \d+ MIN (\d+) MAX (\d+)", profile)
    }
    memory = QuerySettings().max_memory_mib * 1024**2
    assert limits["max_memory_usage"][0] <= memory <= limits["max_memory_usage"][1]
    assert limits["max_execution_time"][0] <= QuerySettings().timeout_seconds <= limits["max_execution_time"][1]


def test_the_files_are_found_as_a_package() -> None:
    assert access.access_statements(Place("postwatch", 30)) is not None
    assert {name for name, _ in access_statements(Place("postwatch", 30))} == {
        "0001_roles.sql",
        "0002_limits.sql",
        "0003_row_policies.sql",
    }
