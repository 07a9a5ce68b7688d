"""The subcommands of the shipper: ship."""
