"""How ClickHouse is reached, and what its error codes mean."""
