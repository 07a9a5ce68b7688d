"""Erasing on the real engine: nothing of the account is left in any table, and nothing else is gone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from postwatch.deploy import erase
from postwatch.deploy.cli import main
from postwatch.deploy.migrate import Place, read_migrations
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.settings import ClickHouseSettings

from tests.query.conftest import NOW_MS, make_row

pytestmark = pytest.mark.stack

ANN = "ann@a.example"
OTHERS: dict[str, dict[str, Any]] = {
    "recipient": {"account": "ben@a.example", "recipient": "Ann@a.example"},
    "original": {"account": "ben@a.example", "original_recipient": ANN, "queue_id": "2"},
    "login": {"account": "ben@a.example", "authenticated_as": ANN, "queue_id": "3"},
    "log line": {"account": "cy@c.example", "log_lines": (f"to=<{ANN}>, <x@c.example>",), "queue_id": "4"},
    "reply": {"account": "cy@c.example", "response": f"550 <{ANN}> unknown", "queue_id": "5"},
    "attempt": {
        "account": "cy@c.example",
        "attempts": (Attempt(NOW_MS - 5000, "deferred", 450, f"450 {ANN} later"),),
        "queue_id": "6",
    },
}
APART = [
    make_row(account="joann@a.example", queue_id="7", message_id="m7"),
    make_row(account="ann@b.example", queue_id="8", message_id="m8"),
]


def fill(place: ClickHouseSettings) -> None:
    own = [
        make_row(account=ANN, status=status, version=version, queue_id="1", message_id="m1")
        for version, status in ((1, "deferred"), (2, "delivered"))
    ]
    rows: list[Outcome] = [*own, *(make_row(**known) for known in OTHERS.values()), *APART]
    client = connect(place)
    for row in rows:  # versions in parts of their own
        client.insert_arrow("deliveries", pa.Table.from_batches([to_batch([row])]))


def left(place: ClickHouseSettings, table: str) -> set[str]:
    """The accounts that any version in the table is of."""
    return {str(name) for (name,) in connect(place).query(f"SELECT DISTINCT account FROM {table}").result_rows}


def test_nothing_of_the_account_is_left_and_all_else_stays(database: ClickHouseSettings) -> None:
    fill(database)
    client, place = connect(database), Place(database.database, 30)
    account = erase.read_address("ANN@a.example")
    assert erase.find(client, place, account) == erase.Found(own=1, naming=3, mentioning=3)
    said: list[str] = []
    erase.erase(client, place, account, everywhere=False, say=said.append)
    assert [one.partition(":")[0] for one in said] == [*erase.SLIM_TABLES, "deliveries"]
    for table in (*erase.SLIM_TABLES, "deliveries"):
        assert left(database, table) == {"ben@a.example", "cy@c.example", "joann@a.example", "ann@b.example"}, table
    assert erase.find(client, place, account) == erase.Found(own=0, naming=3, mentioning=3)


def test_everywhere_means_every_row_and_old_version_that_names_it(database: ClickHouseSettings) -> None:
    fill(database)
    renamed = make_row(account="dan@d.example", sender=ANN, queue_id="9", version=1)
    later = renamed._replace(sender="dan@d.example", version=2)
    client, place = connect(database), Place(database.database, 30)
    for row in (renamed, later):
        client.insert_arrow("deliveries", pa.Table.from_batches([to_batch([row])]))
    erase.erase(client, place, erase.read_address(ANN), everywhere=True, say=lambda _: None)
    for table in (*erase.SLIM_TABLES, "deliveries"):
        assert not {"ben@a.example", "cy@c.example", ANN} & left(database, table), table
        assert "dan@d.example" not in left(database, table), table
    words = client.query("SELECT * FROM deliveries").result_rows
    assert ANN.lower() not in repr(words).lower().replace("joann@a.example", "")


def test_every_table_with_rows_of_accounts_is_erased() -> None:
    made = "\n".join(migration.text for migration in read_migrations())
    tables = {part.split()[0] for part in made.split("CREATE TABLE IF NOT EXISTS {database}.")[1:]}
    assert tables == {*erase.SLIM_TABLES, "deliveries", "servers", "row_id_keys"}


@pytest.mark.parametrize(
    "word", ["@a.example", "a.example", "%@a.example", "*", "ann", "ann@*", "", "a?n@a.example", "@*"]
)
def test_what_would_take_more_is_refused(word: str) -> None:
    with pytest.raises(BadInputError):
        erase.read_address(word)


def test_the_command_asks_for_yes_and_tells_what_kafka_holds(
    database: ClickHouseSettings,
    topics: KafkaSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(database)
    for name, value in {
        "POSTWATCH_CLICKHOUSE_URL": database.url,
        "POSTWATCH_CLICKHOUSE_DATABASE": database.database,
        "POSTWATCH_KAFKA_BROKERS": topics.brokers,
        "POSTWATCH_KAFKA_RAW_TOPIC": topics.raw_topic,
        "POSTWATCH_KAFKA_OUTCOMES_TOPIC": topics.outcomes_topic,
        "POSTWATCH_KAFKA_HEARTBEATS_TOPIC": topics.heartbeats_topic,
        "POSTWATCH_KAFKA_DEAD_LETTERS_TOPIC": topics.dead_letters_topic,
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["erase", ANN]) == 1
    assert "add --yes" in capsys.readouterr().err
    assert ANN in left(database, "deliveries")
    assert main(["migrate", "--topics", "--partitions", "1"]) == 0
    capsys.readouterr()
    assert main(["erase", ANN, "--yes"]) == 0
    told = capsys.readouterr()
    assert ANN not in left(database, "deliveries")
    assert f"topic {topics.dead_letters_topic}: may hold it until " in told.out
    assert "account_erased" in told.err
    assert "the rows of other accounts stay" in told.out
