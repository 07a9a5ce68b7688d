"""What a report is: a question in, an answer out, and how the answer is shown.

A report names its filters once, as the fields of its `question`. The options of the command, the parameters of the API
and the fields of the page are read from there, so they can't disagree.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.errors import FilterError
from postwatch.query.filters import MAX_PAGE_ROWS
from postwatch.query.hops.fates import LastStatus
from postwatch.query.hops.follow import FIELDS as FOLLOWED
from postwatch.query.hops.follow import follow
from postwatch.query.hops.own_servers import NO_NAMES, OwnNames, OwnServers, no_names, no_own_servers
from postwatch.query.hops.walk import last_status
from postwatch.query.letters import ReadLetters, no_letters
from postwatch.query.privacy import visible_row
from postwatch.query.row_id import NO_SUCH_ROW, RowIds
from postwatch.query.row_keys import FindRowIds, ids_of_nobody_else
from postwatch.query.shapes import Shape
from postwatch.query.statements import Delivery, Read, RowColumns, row_columns
from postwatch.query.translation import gettext
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import iso_time
from rich.console import RenderableType
from rich.text import Text

DAY_MS = 24 * 60 * 60 * 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Tables:
    """What a report reads from, the limits it keeps, and the time it goes by."""

    read: Read
    database: str
    retention_days: int
    page_rows: int
    open_ms: int
    """The longest time from a message's first event to its last."""
    now_ms: int
    viewer: Viewer
    letters: ReadLetters = no_letters
    fields: frozenset[str] | None = None
    """What is needed of each row; None: all of it."""
    find_own: Callable[[], OwnServers | None] = no_own_servers
    find_owners: Callable[[], OwnerNames] = OwnerNames
    find_ids: FindRowIds = ids_of_nobody_else
    find_names: Callable[[], OwnNames] = no_names

    @property
    def ids(self) -> RowIds:
        """Seals and opens the ids of deliveries. Raises what reading raises."""
        return self.find_ids()

    @property
    def names(self) -> OwnNames:
        """Of our servers: what an engineer alone is told."""
        return NO_NAMES if self.viewer.is_engineer else self.find_names()

    def visible(self, rows: Iterable[Delivery]) -> tuple[Delivery, ...]:
        """The rows as the viewer may see them."""
        names = self.names
        return tuple(visible_row(self.viewer, row, names) for row in rows)

    @property
    def owners(self) -> OwnerNames:
        """Whose each domain is, as the lists say. Raises SettingsError where they can't be read."""
        return self.find_owners()

    @property
    def own(self) -> OwnServers | None:
        """Which servers are ours, for what one hands to another; None: nothing is followed."""
        return self.find_own()

    @property
    def followed_columns(self) -> RowColumns:
        """What is read of each row: what is needed of it, and what it is followed by."""
        return row_columns(self.fields if self.fields is None or self.own is None else self.fields | FOLLOWED)

    def follow(self, rows: Iterable[Delivery]) -> list[Delivery]:
        """The rows, each with its last fate; privacy.py is still to see them."""
        return follow(self.read, self.database, self.own, self.viewer, rows)

    def last_status(self, where: str, parameters: Mapping[str, Any]) -> LastStatus:
        """How a statement reads the status of the rows that meet `where`."""
        return last_status(self.read, self.database, self.own, self.viewer, where, parameters)


class Answer(Protocol):
    """What a report gives back."""

    @property
    def rows(self) -> Sequence[Any]:
        """What was found, newest first; empty: nothing."""


Question = TypeVar("Question")
Answered = TypeVar("Answered", bound=Answer)


def asked(default: Any = dataclasses.MISSING, *, doc: str, choices: tuple[str, ...] = (), is_bare: bool = False) -> Any:
    """A field of a question: its default (none: it must be given), and what it takes, in a few words for people.
    The command takes a bare one without its name, as it does what must be given."""
    metadata = {"doc": doc, "choices": choices, "is_bare": is_bare or default is dataclasses.MISSING}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Filter(NamedTuple):
    """A field of a question, as the command, the API and the page need it."""

    name: str
    type: Any
    """str, bool (a flag) or `int | None`."""
    default: Any
    is_required: bool
    doc: str
    choices: tuple[str, ...]
    is_bare: bool
    """The command takes it without its name."""

    @property
    def is_flag(self) -> bool:
        return self.type is bool

    @property
    def is_number(self) -> bool:
        return bool(self.type == (int | None))


def filters_of(question: type) -> tuple[Filter, ...]:
    """The fields of a question in order."""
    types = typing.get_type_hints(question)
    return tuple(
        Filter(
            field.name,
            types[field.name],
            None if field.default is dataclasses.MISSING else field.default,
            field.default is dataclasses.MISSING,
            field.metadata["doc"],
            field.metadata["choices"],
            field.metadata["is_bare"],
        )
        for field in dataclasses.fields(question)
    )


class Report(ABC, Generic[Question, Answered]):
    """One report. The docstring of a subclass describes it in the API's document."""

    question: ClassVar[type]
    """A frozen dataclass whose fields are made by `asked`."""
    path: ClassVar[str]
    """Its address in the API, with required filters in it or not: `/api/v1/servers/{server}/failed`."""
    operation: ClassVar[str]
    """Its name in the API's document."""
    page: ClassVar[str]
    """The address of its page."""
    title: ClassVar[str]
    """The heading of the page, and its name in links."""
    template: ClassVar[str]
    """Of web/templates."""
    has_form: ClassVar[bool] = True
    """Whether the page has a form. It then opens without a question, and shows an error above the form."""
    has_link: ClassVar[bool] = True
    """Whether every page links to this one."""
    names_one: ClassVar[bool] = False
    """Whether a question names one thing, so that the API and the page answer 404 where it is not found."""
    none_of_this_name: ClassVar[str] = NO_SUCH_ROW
    """What is said then."""
    is_for_engineers: ClassVar[bool] = False
    is_for_several: ClassVar[bool] = False
    """Whether only who may see several accounts is led to it."""
    has_download: ClassVar[bool] = False
    """Whether its whole result can be had as a file, from the page and the API too."""
    can_follow: ClassVar[bool] = False
    """Whether its command can go on printing what is new. It then has `key_of`, `newer` and `line`."""
    shape_type: ClassVar[type[Shape]]
    """Its JSON."""

    @abstractmethod
    def answer(self, tables: Tables, question: Question) -> Answered:
        """Raises FilterError for a question that can't be answered, and whatever reading raises."""

    @abstractmethod
    def shape(self, answer: Answered, silent_servers: list[str]) -> Shape:
        """The answer as JSON, an object of `shape_type`."""

    @abstractmethod
    def table(self, answer: Answered, width: int) -> Iterator[RenderableType]:
        """The answer for a terminal of this width; nothing if nothing was found."""

    @abstractmethod
    def csv(self, answer: Answered, has_heading: bool = True) -> str:
        """The answer as CSV."""

    @abstractmethod
    def records(self, answer: Answered) -> Iterable[Shape]:
        """What was found, one object each, for NDJSON."""

    def pages(self, tables: Tables, question: Question) -> Iterator[Answered]:
        """The whole result, a page at a time: what files hold. A report without pages has one."""
        yield self.answer(tables, question)

    def key_of(self, row: Any) -> Hashable:
        """Tells a row, in this version, from every other."""
        raise NotImplementedError

    def newer(self, question: Question, since_ms: int) -> Question:
        """The same question about what came since then, as much of it as one answer holds."""
        since = iso_time(since_ms)[:16].replace("T", " ")
        changed = {"since": since, "zone": "UTC", "limit": MAX_PAGE_ROWS}
        return typing.cast(Question, dataclasses.replace(typing.cast(Any, question), **changed))

    def late(self, tables: Tables, question: Question, window_ms: int, before_ms: int) -> Answered | None:
        """What was inserted within the last `window_ms` though its last event was before `before_ms`: what `newer` does
        not find. None: nothing."""
        return None

    def line(self, row: Any, width: int) -> Text:
        """A row on one line of a terminal, or on a few."""
        raise NotImplementedError

    def nothing_found(self, answer: Answered) -> str:
        """What is said in place of an empty table."""
        return gettext("Nothing found.")

    def next_cursor(self, answer: Answered) -> str:
        """Asks for the next page; empty: this is the last."""
        return ""

    def leads_to(self, answer: Answered) -> str:
        """The address of the page that tells more than this one; empty: this one is shown."""
        return ""

    def is_certain(self, answer: Answered) -> bool:
        """Whether what is not in the answer is not there; False: a limit was met before all was looked at."""
        return True

    @property
    def description(self) -> str:
        return inspect.getdoc(self) or ""

    @property
    def filters(self) -> tuple[Filter, ...]:
        return filters_of(self.question)

    def question_of(self, words: Mapping[str, str]) -> Question:
        """The fields of a form → a question. Raises FilterError where a number is none."""
        given = {one.name: _value(one, words.get(one.name, "").strip()) for one in self.filters}
        return typing.cast(Question, self.question(**given))


def _value(one: Filter, word: str) -> Any:
    if one.is_flag:
        return bool(word)
    if not one.is_number:
        return word
    try:
        return int(word) if word else one.default
    except ValueError as error:
        refused = FilterError("%(name)s %(given)s is not a whole number", name=one.name, given=repr(word))
        refused.field = one.name
        raise refused from error
