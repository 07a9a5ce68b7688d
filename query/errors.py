"""What can go wrong with a report. The text of each error is for the engineer; answers.py has the owner's words.

BadInputError
└── QuestionError              what was asked can't be answered; its text is for people, in their language
    ├── ForbiddenError         this viewer may not ask for it
    ├── NotFoundError          nothing has this id, or the viewer may not see what has it
    ├── TooManyTriesError      too many log-ins failed: wait
    └── FilterError            a filter is not valid: the text names it and what it takes
UnavailableError               ClickHouse does not answer
├── NotMigratedError           the tables are missing: run the migrations
├── BusyError                  too many queries at a time: try again soon
├── OpenIdAwayError            the OpenID provider can't be asked now
├── CheckAwayError             nobody can say now whether a password is right
├── StateError                 what `serve` remembers can't be read or written: nobody is let in meanwhile
└── TooManyPagesError          too many pages are open that get new rows by themselves
PostwatchError
├── TooLargeError              the report is too large or took too long: ask for less
│   └── TooManyRowsError       this statement would read too many rows; another way may do
└── QueryError                 ClickHouse refused the query: a bug or a missing grant; the text quotes it
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from postwatch.producers.service.errors import BadInputError, PostwatchError, UnavailableError
from postwatch.query.translation import N_, gettext


class QuestionError(BadInputError):
    """A message with `%(name)s` for its values, so that it can be translated. `str()` is the English text."""

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message % values if values else message)
        self.field = ""
        """The filter that it is about, if it is about one."""
        self._message = message
        self._values = values

    def words(self) -> str:
        """The text in the language spoken."""
        return gettext(self._message, **self._values)


class ForbiddenError(QuestionError):
    """The viewer may not ask for this; the text says what and who may."""


class NotFoundError(QuestionError):
    """Nothing that the viewer may see has this id; whether somebody else's row has it is not told."""


class TooManyTriesError(QuestionError):
    """Too many log-ins of this client failed; after `seconds` it may try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(N_("Too many attempts to log in. Wait some minutes, then try again."))
        self.seconds = seconds


class FilterError(QuestionError):
    """A filter is not valid; the text names it and what it takes."""


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """What is wrong inside is said next to this filter of the form."""
    try:
        yield
    except FilterError as error:
        error.field = field
        raise


class NotMigratedError(UnavailableError):
    """The database or a table is missing."""


class BusyError(UnavailableError):
    """Too many queries ran for the whole time allowed."""


class StateError(UnavailableError):
    """The state of the log-in is locked, full, read-only, corrupt or away; the text holds no password and no value."""


class TooManyPagesError(UnavailableError):
    """As many pages get new rows by themselves as the settings allow."""


class OpenIdAwayError(UnavailableError):
    """The OpenID provider does not answer, or not as one."""


class CheckAwayError(UnavailableError):
    """Nobody can say now whether a password is right: the IMAP server is away, or says so itself."""


class TooLargeError(PostwatchError):
    """The query exceeded its time or size."""


class TooMuchMemoryError(TooLargeError):
    """The query needed more memory than one may have."""


class TooManyRowsError(TooLargeError):
    """The statement would read more rows than it said; nothing was read."""


class QueryError(PostwatchError):
    """ClickHouse refused the query."""
