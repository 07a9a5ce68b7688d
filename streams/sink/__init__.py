"""Delivery rows from Kafka into ClickHouse."""
