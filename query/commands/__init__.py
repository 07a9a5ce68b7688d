"""The commands of the query side: those of the reports, and `serve`."""
