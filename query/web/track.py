"""What the Track Delivery page shows beside its rows: the boxes, the counts, the headings, and the words of the form.

Every state of the page has an address. An address holds the account only where the viewer may ask for several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from postwatch.query.errors import FilterError
from postwatch.query.filters import ALL_DOMAINS, BOXES, DIRECTIONS, read_statuses, statuses_of
from postwatch.query.orders import BY_NAME, ORDERS
from postwatch.query.reports.account import AccountMail
from postwatch.query.translation import N_, gettext
from postwatch.query.viewer import Viewer
from postwatch.query.web.columns import COLUMNS, ListColumn, chosen_columns, offered_columns
from postwatch.query.web.list_choice import PATH, ListChoice
from postwatch.query.zones import read_moment, read_zone, shown_moment, zone_name
from postwatch.streams.contracts.outcome import RESULTS, Outcome

PAGE = "/"
_BOX_LABELS = {
    "accepted": N_("Successes"),
    "deferred": N_("Deferred"),
    "failures": N_("Failures"),
    "in-progress": N_("In Progress"),
    "blocked": N_("Blocked"),
    "discarded": N_("Discarded"),
}
_STATUS_LABELS = {
    "delivered": N_("Accepted"),
    "deferred": N_("Deferred"),
    "bounced": N_("Failed"),
    "expired": N_("Expired"),
    "cancelled": N_("Cancelled"),
    "pending": N_("In progress"),
    "rejected": N_("Blocked"),
    "discarded": N_("Discarded"),
}
_SAYS_NO_MORE = {"other", "expired"}
"""Reasons that say no more than the status."""
_LESS_USED = ("direction", "days", "since", "until", "bounces")
Link = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Box:
    """A kind of mail: its box in the form, and its count."""

    word: str
    label: str
    result: str
    is_checked: bool
    number: int | None


@dataclass(frozen=True, slots=True)
class Heading:
    column: ListColumn
    address: str
    """Orders the list by this column, or turns the order round; empty: it can't be."""
    way: str
    """As aria-sort has it; empty: the list is ordered by another column."""


def own_account(viewer: Viewer) -> str:
    """The account of a viewer who has one alone; else empty."""
    if viewer.sees_all or viewer.domains or viewer.system_users or len(viewer.mailboxes) != 1:
        return ""
    return next(iter(viewer.mailboxes))


def account_choices(viewer: Viewer) -> list[str]:
    """What a viewer who sees not all may ask for, as he writes it."""
    if viewer.sees_all:
        return []
    domains = [f"@{domain}" for domain in sorted(viewer.domains)]
    return [*([ALL_DOMAINS] if len(domains) > 1 else []), *domains, *sorted(viewer.mailboxes | viewer.system_users)]


def fill_words(viewer: Viewer, choice: ListChoice, words: Mapping[str, str], is_ordered: bool) -> dict[str, str]:
    """The words that were asked, with what goes without saying: the only account, the kept order, the zone of times."""
    filled = dict(words)
    choices = account_choices(viewer)
    if own := own_account(viewer):
        filled["account"] = own
    elif not filled["account"] and (len(choices) == 1 or (len(viewer.domains) == 1 and not viewer.mailboxes)):
        filled["account"] = choices[0]  # the domain: its owner's system user comes behind it
    if not is_ordered:
        filled["by"], filled["ascending"] = choice.by, "yes" if choice.is_ascending else ""
    filled["status"] = _shortest(filled["status"])
    return in_shown_zone(filled)


def _shortest(status: str) -> str:
    try:
        return "" if len(read_statuses(status)) == len(RESULTS) else status
    except FilterError:
        return status


def in_shown_zone(words: dict[str, str]) -> dict[str, str]:
    """From and to as the viewer's clock shows them: a link may come from somebody in another zone."""
    asked_zone, shown = words["zone"], zone_name()
    words["zone"] = shown
    if not asked_zone or asked_zone == shown:
        return words
    try:
        zone = read_zone(asked_zone)
        moments = {name: read_moment(words[name], name, zone, name == "until") for name in ("since", "until")}
    except FilterError:  # the report says so
        words["zone"] = asked_zone
        return words
    for name, at_ms in moments.items():
        if at_ms is not None:
            words[name] = _minutes(shown_moment(at_ms))
    return words


def _minutes(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M" if not moment.second else "%Y-%m-%d %H:%M:%S")


def address_maker(viewer: Viewer, choice: ListChoice, words: Mapping[str, str]) -> Link:
    """A function from changed words to the address of the page with them."""

    def address(of: str = PAGE, **changed: str) -> str:
        asked = {**words, **changed}
        if own_account(viewer):
            asked["account"] = ""
        if not (asked["since"] or asked["until"]):
            asked["zone"] = ""
        if asked["by"] == ORDERS[0] and not asked["ascending"] and choice.by == ORDERS[0] and not choice.is_ascending:
            asked["by"] = ""
        given = {name: word for name, word in asked.items() if word}
        return f"{of}?{urlencode(given)}" if given else of

    return address


def track_context(
    viewer: Viewer, choice: ListChoice, words: dict[str, str], answer: AccountMail | None
) -> dict[str, Any]:
    """What the template of the page shows beside the report's own answer."""
    address = address_maker(viewer, choice, words)
    columns = chosen_columns(viewer, choice.columns, words["account"])
    return {
        "address": address,
        "own_account": own_account(viewer),
        "account_choices": account_choices(viewer),
        "all_domains": ALL_DOMAINS,
        "boxes": _boxes(words["status"], answer),
        "other_statuses": _other_statuses(words["status"]),
        "directions": DIRECTIONS,
        "is_narrowed": any(words[name] for name in _LESS_USED),
        "columns": columns,
        "headings": [_heading(column, words, address) for column in columns],
        "offered": offered_columns(viewer),
        "orders": [column for column in COLUMNS if column.order],
        "choice": choice,
        "list_path": PATH,
        "list_back": address_maker(viewer, ListChoice(), {**words, "by": ORDERS[0], "ascending": ""})(),
        "chosen_zone": choice.zone,
    }


def _boxes(status: str, answer: AccountMail | None) -> list[Box]:
    try:
        asked = set(read_statuses(status))
    except FilterError:
        asked = set()
    boxes = []
    for word in BOXES:
        statuses = statuses_of(word)
        number = sum(answer.by_status.get(one, 0) for one in statuses) if answer is not None else None
        is_checked = not status or asked.issuperset(statuses)
        boxes.append(Box(word, _BOX_LABELS[word], RESULTS[statuses[0]], is_checked, number))
    return boxes


def _other_statuses(status: str) -> list[str]:
    """Statuses that were asked for and that no box stands for alone."""
    try:
        asked = read_statuses(status)
    except FilterError:
        return []
    boxed = {one for word in BOXES if set(statuses_of(word)) <= set(asked) for one in statuses_of(word)}
    return [one for one in asked if one not in boxed]


def _heading(column: ListColumn, words: Mapping[str, str], address: Link) -> Heading:
    if not column.order:
        return Heading(column, "", "")
    is_current = words["by"] == column.order
    is_ascending = bool(words["ascending"])
    # A text starts at A, a time or a size at its top; a click on the current column turns it round.
    turned = not is_ascending if is_current else BY_NAME[column.order].is_text
    way = ("ascending" if is_ascending else "descending") if is_current else ""
    return Heading(column, address(by=column.order, ascending="yes" if turned else ""), way)


def status_label(row: Outcome) -> str:
    """The status in a word of the language spoken; one that is not known stays as it is."""
    return gettext(_STATUS_LABELS[row.status]) if row.status in _STATUS_LABELS else row.status


def telling_reason(row: Outcome) -> str:
    """The reason where it says more than the status."""
    return "" if row.reason in _SAYS_NO_MORE else row.reason
