"""Compiles the pure core (parsers, joining, enrichment) with mypyc, from the sources that also run interpreted."""
