"""What takes too long for every landing: `make fleet-test`."""
