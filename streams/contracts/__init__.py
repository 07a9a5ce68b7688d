"""What stands in topics and tables: outcomes, heartbeats, dead letters."""
