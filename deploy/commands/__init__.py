"""The subcommands of the deploy side: migrate, up, demo, simulate."""
