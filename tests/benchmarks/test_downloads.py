from __future__ import annotations

import pytest
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.downloads import measure_downloads

ROWS = 25_000
MOST_BYTES = 90_000_000
"""A page of 5,000 rows takes 60 MB while it is read. 20,000 rows at once took 233; the text of all would be 42 more."""
pytestmark = pytest.mark.stack


def test_a_file_takes_no_more_memory_than_a_few_of_its_pages(database: ClickHouseSettings) -> None:
    for speed in measure_downloads(database, ROWS, forms=("ndjson",)):
        assert ROWS - 20 <= speed.rows <= ROWS  # the oldest ones grow too old meanwhile
        assert speed.grown_bytes < MOST_BYTES
