"""The join: parsers and joiner are pure; Faust, confluent-kafka and ClickHouse are glue around them."""
