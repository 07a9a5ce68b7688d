"""Apache Kafka and ClickHouse on one machine without containers, under one small supervisor."""
