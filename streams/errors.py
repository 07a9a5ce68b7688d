"""What can go wrong on the way of a row, and what to do; the rest of the tree is in producers/service/errors.py.

PostwatchError
├── UnavailableError               retry with backoff, for ever, and complain in /health: it is not the rows' fault
├── RefusedRowsError               bisect: some of these rows can't be stored; those found are dead-lettered
├── StoreError                     ends the process: the table of parked messages can't be read
└── OversizedInsertError           halve: too much for one insert, though nothing is wrong with any row
"""

from postwatch.producers.service.errors import PostwatchError

EXIT_FAILED = 70
"""Exit status of a part that can't go on and has said why; its supervisor starts it again."""


class RefusedRowsError(PostwatchError):
    """ClickHouse answered, and found fault with at least one of the rows."""


class OversizedInsertError(PostwatchError):
    """ClickHouse answered that this was too much at once."""


class StoreError(PostwatchError):
    """The table of parked messages can't be read: a broken disk, or an entry of a newer Postwatch."""
