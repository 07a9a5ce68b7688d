"""The subcommands of the stream side: join, sink, outcomes, read."""
