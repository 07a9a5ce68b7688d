"""What ClickHouse makes of rows as the sink inserts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from postwatch.query.statements import SETTINGS
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome_records import to_batch
from postwatch.streams.sink.writer import ClickHouseWriter

from tests.streams.sink.test_sink_stack import outcome

if TYPE_CHECKING:
    from postwatch.streams.settings import ClickHouseSettings


@pytest.mark.stack
def test_versions_of_a_row_in_one_insert_are_one_row_to_readers(lasting_database: ClickHouseSettings) -> None:
    """Nothing is replaced while it is inserted."""
    deferred = outcome(1, status="deferred", version=1)
    taken_back = outcome(2)
    rows = [
        outcome(1, version=2),
        deferred,
        taken_back,
        taken_back._replace(version=taken_back.version + 1, is_deleted=1),
    ]
    ClickHouseWriter(lasting_database).insert_deliveries(pa.Table.from_batches([to_batch(rows)]))
    client = connect(lasting_database)
    for table in ("deliveries", "delivery_states", "delivery_events", "delivery_hops"):
        found = client.query(f"SELECT status FROM {table} FINAL", settings=SETTINGS).result_rows
        assert found == [("delivered",)], table
