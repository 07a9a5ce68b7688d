"""Texts and terms: which columns are searched, as far as the viewer may see them. The counterpart of privacy.py in SQL.

`holds_text` says of a row in memory what `text_condition` says in SQL; the tests compare both on the real engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from postwatch.query.hops.own_servers import NO_NAMES, OwnNames
from postwatch.query.search_terms import ADDRESS, DOMAIN, HOST, IP, MESSAGE_ID, QUEUE_ID, Term, ascii_lower
from postwatch.query.statements import OURS, OURS_CLIENT, QUEUE_IDS, SHOWN, VIEWER
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import SENT, Outcome

_ALWAYS = ("sender", SHOWN, "original_recipient", "subject", "queue_id", "message_id")
_ADDRESSES = ("sender", SHOWN, "original_recipient")
_OF_THE_CLIENT = ("client_host", "client_ip")
_OF_THE_REMOTE = ("response", "remote_host", "remote_ip")
_FOR_ENGINEERS = ("server", "next_queue_id", "parent_queue_id", "authenticated_as")
ADDRESS_KEYS = (
    "[lower(sender), lower(recipient), lower(original_recipient), lower(substringIndex(sender, '@', -1)),"
    " lower(substringIndex(recipient, '@', -1)), lower(substringIndex(original_recipient, '@', -1))]"
)
IP_KEYS = "[client_ip, remote_ip]"
_HOST_LABELS = (2, 3, 4)
HOST_KEYS = "[{}]".format(
    ", ".join(
        f"lower(substringIndex({column}, '.', -{labels}))"
        for column in ("client_host", "remote_host")
        for labels in _HOST_LABELS
    )
)
"""What indexes of `deliveries` are made of, as QUEUE_IDS is: a condition on one is written with the same words."""
_HIDDEN = r"(\"[^\"]*\"|[^\\s<>]*)(@|＠|%40|=40|\\(at\\)|\\[at\\]|&#64;)[^\\s<>]*|/\\S+"
"""Addresses and paths in a reply, with what stands around them: more than privacy.py hides. His own are found by their
columns."""


def text_condition(viewer: Viewer, names_ours: bool = False) -> str:
    """SQL that is true where one of the columns that the viewer sees holds `{text:String}`, in either case.

    `names_ours`: the text may be there to find out the name of a server of ours, so no answer is searched. The
    parameters of OURS must be given for a viewer who is no engineer.
    """

    def holds(column: str) -> str:
        return f"positionCaseInsensitiveUTF8({column}, {{text:String}}) > 0"

    found = [holds(column) for column in _ALWAYS]
    if viewer.is_engineer:
        found += [holds(column) for column in (*_OF_THE_CLIENT, *_OF_THE_REMOTE, *_FOR_ENGINEERS)]
        return f"({' OR '.join(found)})"
    client = " OR ".join(holds(column) for column in _OF_THE_CLIENT)
    found.append(f"(direction = 'sent' OR authenticated_as = '') AND NOT {OURS_CLIENT} AND ({client})")
    response, *others = (holds(without_addresses(column)) for column in _OF_THE_REMOTE)
    if not names_ours:
        found.append(f"{SHOWN} = recipient AND {response}")
    found.append(f"{SHOWN} = recipient AND NOT {OURS} AND ({' OR '.join(others)})")
    return f"({' OR '.join(found)})"


def without_addresses(column: str) -> str:
    """SQL of a column that a remote server wrote, without what a viewer who is no engineer may not see in it."""
    if column == "remote_host":  # a server hands mail to itself; its name is for engineers
        column = "if(lower(remote_host) = lower(server), '', remote_host)"
    return f"replaceRegexpAll({column}, '{_HIDDEN}', ' ')"


def term_conditions(viewer: Viewer, term: Term, names_ours: bool = False) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions of which one must be true for a row that has the term, and their parameters. Each can be searched
    by itself, for indexes do not serve an OR. `names_ours`: as `text_condition` has it."""
    among = "IN {terms:Array(String)}"
    spellings = {"terms": list(dict.fromkeys((term.text, term.text.lower())))}
    if term.kind == QUEUE_ID:
        known = f"hasAny({QUEUE_IDS}, {{terms:Array(String)}})"
        return [known if viewer.is_engineer else f"{known} AND queue_id {among}"], spellings
    if term.kind == MESSAGE_ID:
        return [f"message_id {among}"], spellings
    if term.kind == ADDRESS:
        address = ascii_lower(term.text)
        whole = "(account_domain = {domain:String} AND account = {address:String})"  # by the primary key
        either = " OR ".join(f"lower({column}) = {{address:String}}" for column in _ADDRESSES)
        return [whole, either], {"domain": address.rpartition("@")[2], "address": address}
    if term.kind == DOMAIN:
        ends = [f"endsWith(lower({column}), {{at_domain:String}})" for column in _ADDRESSES]
        domain = {"domain": term.text, "at_domain": f"@{term.text}"}
        return ["account_domain = {domain:String}", " OR ".join(ends)], domain
    if term.kind == IP:
        return _of_both_ends(viewer, "{column} IN {forms:Array(String)}", "ip"), {"forms": list(term.forms)}
    if term.kind == HOST:
        is_host = "(lower({column}) = {host:String} OR endsWith(lower({column}), {dot_host:String}))"
        host = {"host": term.text, "dot_host": f".{term.text}"}
        return [
            *(["lower(server) = {host:String}"] if viewer.is_engineer else []),
            *_of_both_ends(viewer, is_host, "host"),
        ], host
    return _word_conditions(viewer, term, names_ours)


class Alternative(NamedTuple):
    """One condition of those of which a row that has a term must meet one."""

    indexed: str
    """What indexes may serve."""
    exact: str = ""
    """Must be true too. It is compared first, for less: the rest of each row that an index leaves takes longer."""
    of_key: str = "0"
    """True where the key of such a row tells already that it has the term: then each of its versions has it."""

    @property
    def sql(self) -> str:
        return f"{self.indexed} AND ({self.exact})" if self.exact else self.indexed

    def rows_of(self, table: str) -> str:
        """The table with its WHERE, to which more may be added."""
        first = f" PREWHERE {self.exact}" if self.exact else ""
        return f"{table}{first} WHERE {VIEWER} AND ({self.indexed})"


def rare_term_conditions(viewer: Viewer, term: Term) -> tuple[list[Alternative], dict[str, Any]]:
    """The same for a term that few rows of the fleet have, which indexes find; the names of our own servers have none.

    No condition: the term has none that an index serves, or the viewer's own domains narrow the rows already.
    """
    found, values = term_conditions(viewer, term)
    if not viewer.is_engineer:
        return [], {}
    if term.kind == QUEUE_ID:
        return [Alternative(found[0], of_key="queue_id IN {terms:Array(String)}")], values
    if term.kind == MESSAGE_ID:
        return [Alternative(found[0])], values
    if term.kind in (ADDRESS, DOMAIN):
        [whole, either] = found
        key = values["address"] if term.kind == ADDRESS else term.text.rpartition("@")[2]
        among = f"has({ADDRESS_KEYS}, {{key:String}})"
        is_address = "lower(recipient) = {address:String}"
        ends = "endsWith(lower(recipient), {at_domain:String})"
        of_key = is_address if term.kind == ADDRESS else ends
        return [Alternative(whole, of_key="1"), Alternative(among, either, of_key)], values | {"key": key}
    if term.kind == IP:
        return [Alternative(f"hasAny({IP_KEYS}, {{forms:Array(String)}})")], values
    if term.kind == HOST and (key := _host_key(term.text)):
        return [Alternative(f"has({HOST_KEYS}, {{key:String}})", found[-1])], values | {"key": key}
    return [], {}


def of_read_rows(condition: str) -> str:
    """The condition on rows of a subquery: there no text index folds the case of an answer for `hasAllTokens`."""
    return condition.replace("hasAllTokens(response,", "hasAllTokens(lower(response),")


def _host_key(host: str) -> str:
    """What the index knows of every host that is this one or ends with it; empty: nothing, it is one label."""
    labels = host.split(".")
    return ".".join(labels[-_HOST_LABELS[-1] :]) if len(labels) >= _HOST_LABELS[0] else ""


def _of_both_ends(viewer: Viewer, condition: str, what: str) -> list[str]:
    """A condition on what is known of the client and of the remote server, as far as the viewer may see it."""
    client, remote = f"client_{what}", f"remote_{what}"
    if viewer.is_engineer:
        return [" OR ".join(condition.replace("{column}", column) for column in (client, remote))]
    of_client = condition.replace("{column}", client)
    of_remote = condition.replace("{column}", without_addresses(remote) if remote == "remote_host" else remote)
    return [
        f"(direction = 'sent' OR authenticated_as = '') AND NOT {OURS_CLIENT} AND ({of_client})"
        f" OR {SHOWN} = recipient AND NOT {OURS} AND ({of_remote})"
    ]


def _word_conditions(viewer: Viewer, term: Term, names_ours: bool) -> tuple[list[str], dict[str, Any]]:
    """Each word stands in the answer, from the start of a word to the end of one; or each stands in the subject."""

    def has_all(column: str) -> str:
        return f"NOT has(multiSearchAllPositionsCaseInsensitiveUTF8({column}, {{words:Array(String)}}), 0)"

    def has_tokens(column: str) -> str:
        return f"hasAllTokens({column}, {{tokens:Array(String)}})"

    answer = f"{has_tokens('response')} AND {has_all('response')}"
    if not viewer.is_engineer:
        seen = without_addresses("response")
        if names_ours:
            return [has_all("subject")], {"words": list(term.words)}
        answer += f" AND {SHOWN} = recipient AND {has_tokens(f'lower({seen})')} AND {has_all(seen)}"
    return [answer, has_all("subject")], {"tokens": list(term.tokens), "words": list(term.words)}


_HIDDEN_WORDS = re.compile(
    r"(\"[^\"]*\"|[^ \t\n\f\r<>]*)(@|＠|%40|=40|\(at\)|\[at\]|&#64;)[^ \t\n\f\r<>]*|/[^ \t\n\f\r]+"
)
"""`_HIDDEN` for Python, whose blanks are others than those of ClickHouse."""


def holds_text(viewer: Viewer, row: Outcome, shown: str, text: str, names: OwnNames = NO_NAMES) -> bool:
    """Whether a row that is shown under the recipient `shown` is found by the text."""
    word = fold(text)
    return any(word in fold(value) for value in _searched(viewer, row, shown, names, names.may_be_named_by(text)))


def _searched(viewer: Viewer, row: Outcome, shown: str, names: OwnNames, names_ours: bool) -> Iterator[str]:
    yield from (row.sender, shown, row.original_recipient, row.subject, row.queue_id, row.message_id)
    if viewer.is_engineer:
        yield from (getattr(row, column) for column in (*_OF_THE_CLIENT, *_FOR_ENGINEERS))
        yield from (getattr(row, column) for column in _OF_THE_REMOTE)
        return
    if (row.direction == SENT or not row.authenticated_as) and not names.is_ours(row.client_host, row.client_ip):
        yield from (getattr(row, column) for column in _OF_THE_CLIENT)
    if shown == row.recipient:
        remote = [] if names_ours else [row.response]
        if not names.is_ours(row.remote_host, row.remote_ip):
            remote += [row.remote_host if row.remote_host.lower() != row.server.lower() else "", row.remote_ip]
        yield from (_HIDDEN_WORDS.sub(" ", value) for value in remote)


def fold(text: str) -> str:
    """The text in the case in which ClickHouse compares: each character by itself."""
    if text.isascii():
        return text.lower()
    return "".join(lower if len(lower := one.lower()) == 1 else one for one in text)
