"""The subcommands of the query side: report, trace, servers, serve."""
