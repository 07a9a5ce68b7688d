from __future__ import annotations

import pytest
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.downloads import measure_downloads

ROWS = 60_000
pytestmark = pytest.mark.stack


def test_a_file_takes_no_more_memory_than_a_few_of_its_pages(database: ClickHouseSettings) -> None:
    for speed in measure_downloads(database, ROWS, forms=("ndjson",)):
        assert ROWS - 20 <= speed.rows <= ROWS  # the oldest ones grow too old meanwhile
        assert speed.grown_bytes < 120_000_000
