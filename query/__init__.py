"""The only reader of the tables: reports as pure functions, and the command line, API and page on top."""
