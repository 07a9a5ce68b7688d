"""What can go wrong with a question to the tables, and what to tell whoever asked.

BadInputError
└── FilterError                the question itself is wrong: say which filter, and what it may hold
UnavailableError               ClickHouse does not answer
├── NotMigratedError           ClickHouse answers, but has not the tables: run the migrations
└── BusyError                  too many questions at a time: ask again in a moment
PostwatchError
├── TooLargeError              the answer is too large, or took too long: narrow the question
└── QueryError                 ClickHouse refused the query: a bug or a missing grant; its words are passed on
"""

from postwatch.producers.service.errors import BadInputError, PostwatchError, UnavailableError


class FilterError(BadInputError):
    """A filter can't be used; the text says which, and what it may hold."""


class NotMigratedError(UnavailableError):
    """The database or a table is missing."""


class BusyError(UnavailableError):
    """No turn came up within the time allowed."""


class TooLargeError(PostwatchError):
    """The query exceeded its time or size."""


class QueryError(PostwatchError):
    """ClickHouse refused the query."""
