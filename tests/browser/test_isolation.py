"""Another tenant's data, asked for a thousand times: by every route, identity and parameter.

The routes are those that the API's own description and the pages' own links name, those of other viewers among them; so
a new page, file or stream is asked too. Nothing that is served to a viewer holds an address that he may not see.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import httpx
import pytest
from postwatch.query.settings import QuerySettings
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.clickhouse.client import connect

from tests.browser.known_addresses import Known, is_his, may_see, servers_in, strangers_in, texts_of
from tests.browser.site import Filled
from tests.query.conftest import Office, served

REQUESTS = 1000
AT_ONCE = 4
_STREAM_SECONDS = 0.3
_MOST_TRIES = 10
_MOST_BYTES = 3_000_000
VIEWERS: dict[str, Viewer | None] = {
    "mailbox of golden logs": Viewer("anna", mailboxes=frozenset({"anna@bakery.example"})),
    "mailbox of simulated logs": Viewer("jonas", mailboxes=frozenset({"jonas@larch-law.example"})),
    "domain owner": Viewer("law", domains=frozenset({"larch-law.example"}), system_users=frozenset({"larchlaw"})),
    "domain of golden logs": Viewer("baker", domains=frozenset({"bakery.example"}), system_users=frozenset({"bakery"})),
    "reseller": Viewer("reseller", domains=frozenset({"larch-pottery.example", "shop.example", "customer.example"})),
    "system user": Viewer("www-data", system_users=frozenset({"www-data"})),
    "nobody's mailbox": Viewer("victim", mailboxes=frozenset({"victim@bank.example"})),
    "dashboard": Viewer("dashboard", sees_all=True),
    "engineer": ENGINEER,
    "nobody": None,
}
_LINK = re.compile(r'="(/[^"]*)"')
_OPAQUE = re.compile(r"[A-Za-z0-9_=-]{16,}|\d+")


class Asked(NamedTuple):
    """One request, and who makes it."""

    who: str
    path: str


@dataclass
class Questions:
    """Requests made of the names of a description's parameters and of words of the table, from a seed."""

    table: Filled
    chance: random.Random
    links: dict[str, list[str]] = field(default_factory=dict)
    """Kind of link → links that some viewer was shown."""

    def __post_init__(self) -> None:
        rows = self.table.rows
        accounts = {row.account for row in rows if row.account}
        self._accounts = sorted(accounts | {"@" + name.rpartition("@")[2] for name in accounts} | {"root", "bakery"})
        self._words = sorted(
            {word for row in rows for word in (row.sender, row.recipient, row.queue_id, row.message_id, row.client_ip)}
            - {""}
        )

    def add_links(self, page: str) -> None:
        for link in map(_unescaped, _LINK.findall(page)):
            if not link.startswith("/static"):
                path = urlsplit(link)
                kind = _OPAQUE.sub("*", path.path) + "?" + "&".join(name for name, _ in parse_qsl(path.query))
                known = self.links.setdefault(kind, [])
                if link not in known:
                    known.append(link)

    def of_operation(self, path: str, operation: dict[str, Any]) -> str:
        """A GET of the API's description with words in its parameters."""
        query: dict[str, str] = {}
        for one in operation.get("parameters", []):
            if one["in"] == "path":
                path = path.replace("{" + one["name"] + "}", quote(self.word(one["name"], one["schema"]), safe="@"))
            elif one.get("required") or self.chance.random() < 0.3:
                query[one["name"]] = self.word(one["name"], one["schema"])
        return f"{path}?{urlencode(query)}" if query else path

    def word(self, name: str, schema: dict[str, Any]) -> str:
        kinds = schema.get("anyOf", [schema])
        if choices := [choice for kind in kinds for choice in kind.get("enum", [])]:
            return str(self.chance.choice(choices))
        if any(kind.get("type") == "boolean" for kind in kinds):
            return self.chance.choice(["true", "false"])
        if any(kind.get("type") == "integer" for kind in kinds):
            return str(self.chance.randint(1, 30))
        match name:
            case "account" | "mailbox" | "domain":
                return self.chance.choice(self._accounts)
            case "status":
                return self.chance.choice(["", "failed", "pending", "accepted", "delivered"])
            case "by":
                return self.chance.choice(["", "event", "account", "provider,reason", "domain,account", "server", "ip"])
            case "last":
                return self.chance.choice(["", "hour", "day"])
            case "direction" | "sort" | "order" | "cursor" | "since" | "until":
                return self.chance.choice(["", "", "sent", "received", "2026-11-01", "event"])
        return self.chance.choice(self._words)

    def of_link(self, kind: str) -> str:
        """A link of whoever it was shown to, now and then with another account in it."""
        link = self.chance.choice(self.links[kind])
        path = urlsplit(link)
        words = dict(parse_qsl(path.query))
        if "account" in words and self.chance.random() < 0.6:
            words["account"] = self.chance.choice(self._accounts)
        if "recipient" in words or ("account" in words and self.chance.random() < 0.3):
            words[self.chance.choice(["recipient", "text"])] = self.chance.choice(self._words)
        return f"{path.path}?{urlencode(words)}" if words else path.path


def _unescaped(link: str) -> str:
    return link.replace("&amp;", "&")


class Served(NamedTuple):
    status: int
    text: str


class Sites:
    """One server for each identity over one table."""

    def __init__(self, clients: dict[str, httpx.Client]) -> None:
        self._clients = clients

    def ask(self, who: str, path: str) -> Served:
        """The whole answer; of a stream that does not end, what comes at once. Who is to come again does so."""
        for _ in range(_MOST_TRIES):
            answer = self._ask(who, path)
            if answer.status != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)  # many ask at once here
        return answer

    def _ask(self, who: str, path: str) -> Served:
        with self._clients[who].stream("GET", path, timeout=30) as answer:
            content_type = answer.headers.get("content-type", "")
            if not content_type.startswith("text/event-stream"):
                return Served(answer.status_code, texts_of(answer.read().decode(), content_type))
        pieces = b""
        timeout = httpx.Timeout(10, read=_STREAM_SECONDS)
        with (
            contextlib.suppress(httpx.ReadTimeout),
            self._clients[who].stream("GET", path, timeout=timeout) as answer,
        ):
            for piece in answer.iter_bytes():
                pieces += piece
                if len(pieces) > _MOST_BYTES:
                    break
        return Served(200, texts_of(pieces.decode(), "text/event-stream"))


@pytest.fixture(scope="module")
def sites(filled_table: Filled) -> Iterator[Sites]:
    office = Office(filled_table.settings, connect(filled_table.settings), query_settings=QuerySettings(page_rows=15))
    with contextlib.ExitStack() as opened:
        clients = {name: opened.enter_context(served(office.service, who)) for name, who in VIEWERS.items()}
        for client in clients.values():
            # The framework builds its routes at the first request, and silences a warning of pydantic while it does:
            # for the whole process, so two servers at once would see the warning, which is an error here.
            client.get("/api/v1/openapi.json")
        yield Sites(clients)


def _accounts_of(viewer: Viewer | None) -> list[str]:
    if viewer is None:
        return ["anna@bakery.example"]
    names = [*viewer.mailboxes, *(f"@{domain}" for domain in viewer.domains), *viewer.system_users]
    return sorted(names) or ["@bakery.example", "@larch-law.example"]


@pytest.fixture(scope="module")
def questions(filled_table: Filled, sites: Sites) -> list[Asked]:
    """A thousand requests; each kind of route by each identity."""
    made = Questions(filled_table, random.Random(18))
    for name, viewer in VIEWERS.items():
        for account in _accounts_of(viewer)[:3]:
            made.add_links(sites.ask(name, "/?" + urlencode({"account": account, "show": "all"})).text)
    for kind in list(made.links):  # what a link leads to has links too: to the proof, to the next page
        for link in made.links[kind][:3]:
            for name in ("engineer", "mailbox of golden logs"):
                made.add_links(sites.ask(name, link).text)
    operations = _operations(sites)
    asked: list[Asked] = []
    for number in itertools.count():
        for name in VIEWERS:
            if len(asked) >= REQUESTS:
                return asked
            path = list(operations)[number // 2 % len(operations)]
            kinds = sorted(made.links)
            if number % 2 and kinds:
                asked.append(Asked(name, made.of_link(kinds[number // 2 % len(kinds)])))
            else:
                asked.append(Asked(name, made.of_operation(path, operations[path])))
    raise AssertionError


def _operations(sites: Sites) -> dict[str, dict[str, Any]]:
    [client] = [client for name, client in sites._clients.items() if name == "engineer"]
    described = client.get("/api/v1/openapi.json").json()["paths"]
    return {path: methods["get"] for path, methods in described.items() if "get" in methods and path != "/metrics"}


def _words_of(path: str) -> list[str]:
    """What the one who asks has written himself: he is told it again."""
    address = urlsplit(path)
    words = [word for _, word in parse_qsl(address.query)] + [unquote(part) for part in address.path.split("/")]
    return [variant for word in words for variant in (word, word.strip(), repr(word))]


def test_a_thousand_requests_for_other_tenants_mail_bring_no_address_of_theirs(
    questions: Sequence[Asked], sites: Sites, filled_table: Filled
) -> None:
    known = {name: may_see(viewer, filled_table.rows) for name, viewer in VIEWERS.items() if viewer}
    servers = {row.server for row in filled_table.rows}
    statuses: Counter[tuple[str, int]] = Counter()

    def faults_of(asked: Asked) -> list[str]:
        answer = sites.ask(*asked)
        statuses[asked.who, answer.status] += 1
        viewer = VIEWERS[asked.who]
        found: set[str] = set()
        if answer.status >= 500:
            found.add(f"status {answer.status}")
        if viewer is None or not viewer.is_engineer:
            nobody = viewer or Viewer("nobody")
            words, his = _words_of(asked.path), known.get(asked.who, Known())
            if not nobody.sees_all:
                found |= strangers_in(answer.text, nobody, his, words)
            found |= servers_in(answer.text, servers, his, words)
        return [f"{asked.who}: {asked.path}: {fault}" for fault in sorted(found)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = [fault for some in pool.map(faults_of, questions) for fault in some]
    assert not faults, "\n".join(faults)
    assert sum(statuses.values()) == REQUESTS
    by_status = {status: sum(n for (_, s), n in statuses.items() if s == status) for _, status in sorted(statuses)}
    print(f"{REQUESTS} requests of {len(VIEWERS)} identities, by status: {by_status}")
    for name in VIEWERS:
        assert name == "nobody" or statuses[name, 200] > 30, statuses


def test_the_viewers_of_the_suite_have_mail_of_their_own(filled_table: Filled) -> None:
    """Else nothing could be shown to them, and the suite would prove nothing."""
    for name in ("mailbox of golden logs", "mailbox of simulated logs", "domain owner", "reseller", "system user"):
        viewer = VIEWERS[name]
        assert viewer
        assert sum(is_his(viewer, row) for row in filled_table.rows) > 5, name
