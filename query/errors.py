"""What can go wrong with a report. The text of each error is for the engineer; answers.py has the owner's words.

BadInputError
├── ForbiddenError             this viewer may not ask for it
└── FilterError                a filter is not valid: the text names it and what it takes
UnavailableError               ClickHouse does not answer
├── NotMigratedError           the tables are missing: run the migrations
└── BusyError                  too many queries at a time: try again soon
PostwatchError
├── TooLargeError              the report is too large or took too long: ask for less
└── QueryError                 ClickHouse refused the query: a bug or a missing grant; the text quotes it
"""

from postwatch.producers.service.errors import BadInputError, PostwatchError, UnavailableError


class ForbiddenError(BadInputError):
    """The viewer may not ask for this; the text says what and who may."""


class FilterError(BadInputError):
    """A filter is not valid; the text names it and what it takes."""


class NotMigratedError(UnavailableError):
    """The database or a table is missing."""


class BusyError(UnavailableError):
    """Too many queries ran for the whole time allowed."""


class TooLargeError(PostwatchError):
    """The query exceeded its time or size."""


class QueryError(PostwatchError):
    """ClickHouse refused the query."""
