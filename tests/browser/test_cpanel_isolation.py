"""Another tenant's addresses, asked for by every function of cPanel's API, with every filter, by every identity.

As in test_isolation.py: nothing that is served to a viewer holds an address that he may not see, and no filter, order
or number tells of one.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from postwatch.query.cpanel.functions import API2_FUNCTIONS, WHM_FUNCTIONS
from postwatch.query.cpanel.records import TrackRecord
from postwatch.query.cpanel.statistics_call import UserStatsRecord
from postwatch.query.viewer import Viewer
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import Outcome

from tests.browser.known_addresses import is_his, may_see, servers_in, strangers_in, texts_of
from tests.browser.site import Filled
from tests.browser.test_isolation import VIEWERS
from tests.query.conftest import Office, served

REQUESTS = 240
_FLAGS = ("success", "defer", "failure", "inprogress")
_TYPES = ("contains", "begins", "ends", "eq", "ne", "defined", "==", "lt", "gt_equal")


@pytest.fixture(scope="module")
def clients(filled_table: Filled) -> Iterator[dict[str, httpx.Client]]:
    office = Office(filled_table.settings, connect(filled_table.settings))
    with contextlib.ExitStack() as opened:
        yield {name: opened.enter_context(served(office.service, who)) for name, who in VIEWERS.items() if who}


def _words(table: Filled) -> list[str]:
    rows = table.rows
    found = {word for row in rows for word in (row.sender, row.recipient, row.account, row.queue_id, row.client_ip)}
    return sorted(found | {row.remote_host for row in rows} | {row.account_domain for row in rows} - {""})


def _asked(chance: random.Random, words: list[str]) -> tuple[str, dict[str, str]]:
    """A function, and parameters as a stranger who tries may write them."""
    function = chance.choice([*WHM_FUNCTIONS, "emailtrack_search", *(f"cpanel:{name}" for name in API2_FUNCTIONS)])
    fields = UserStatsRecord._fields if function == "emailtrack_user_stats" else TrackRecord._fields
    asked = {flag: chance.choice(["1", "1", "0"]) for flag in _FLAGS}
    for name in ("user", "sender", "records", "recipient"):
        if chance.random() < 0.2:
            asked[name] = chance.choice(words)
    field, kind, word = chance.choice([*fields, "*"]), chance.choice(_TYPES), chance.choice(words)
    word = "5" if kind in ("==", "lt", "gt_equal") else word
    order = chance.choice(fields)
    if function.startswith("cpanel:"):
        named = {"cpanel_jsonapi_module": "EmailTrack", "cpanel_jsonapi_func": function.partition(":")[2]}
        asked |= {"cpanel_jsonapi_user": chance.choice(words), "cpanel_jsonapi_apiversion": "2", **named}
        asked |= {"api2_filter": chance.choice("01"), "api2_filter_column": field, "api2_filter_type": kind}
        asked |= {"api2_filter_term": word, "api2_sort": chance.choice("01"), "api2_sort_column": order}
        return "cpanel", asked
    asked |= {"api.filter.enable": chance.choice("01"), "api.filter.a.field": field, "api.filter.a.type": kind}
    asked |= {"api.filter.a.arg0": word, "api.sort.enable": chance.choice("01"), "api.sort.a.field": order}
    asked |= {"api.chunk.enable": chance.choice("01"), "api.chunk.size": "50", "api.chunk.verbose": "1"}
    return function, asked


def test_no_function_brings_an_address_of_another_tenant(
    clients: dict[str, httpx.Client], filled_table: Filled
) -> None:
    chance = random.Random(19)
    words = _words(filled_table)
    known = {name: may_see(viewer, filled_table.rows) for name, viewer in VIEWERS.items() if viewer}
    servers = {row.server for row in filled_table.rows}
    faults: list[str] = []
    answered: Counter[tuple[str, bool]] = Counter()
    for number in range(REQUESTS):
        name = list(clients)[number % len(clients)]
        viewer = VIEWERS[name]
        assert viewer
        function, asked = _asked(chance, words)
        answer = clients[name].post(f"/json-api/{function}", data=asked)
        assert answer.status_code == 200, answer.text
        text = texts_of(answer.text, "application/json")
        said = [variant for word in asked.values() for variant in (word, word.strip(), repr(word))]
        document = answer.json()
        records = document.get("data", {}).get("records") or document.get("cpanelresult", {}).get("data")
        answered[name, bool(records)] += 1
        if not viewer.sees_all:
            faults += [f"{name}: {function} {asked}: {one}" for one in strangers_in(text, viewer, known[name], said)]
        if not viewer.is_engineer:
            faults += [f"{name}: {function} {asked}: {one}" for one in servers_in(text, servers, known[name], said)]
    assert not faults, "\n".join(faults[:20])
    for name in ("mailbox of golden logs", "mailbox of simulated logs", "domain owner", "reseller", "engineer"):
        assert answered[name, True] >= 10, answered


def test_every_record_is_of_the_viewers_own_mail(clients: dict[str, httpx.Client], filled_table: Filled) -> None:
    for name, client in clients.items():
        viewer = VIEWERS[name]
        assert viewer
        answer = client.get("/json-api/emailtrack_search", params=dict.fromkeys(_FLAGS, "1")).json()
        his = {row.queue_id for row in filled_table.rows if is_his(viewer, row)}
        found = {one["msgid"] for one in answer["data"]["records"]}
        assert found <= his, name
        if name != "nobody's mailbox":
            assert found, name


def test_a_word_that_is_hidden_is_found_by_nobody(clients: dict[str, httpx.Client], filled_table: Filled) -> None:
    """An alias's members, asked for by the one who wrote to the alias: each field says no more than an empty one."""
    asked = 0
    for name, viewer in VIEWERS.items():
        if viewer is None or viewer.sees_all:
            continue
        for row in _hidden(viewer, filled_table):
            for field in ("recipient", "deliveredto", "deliverydomain", "host", "ip", "message", "*"):
                parameters = {**dict.fromkeys(_FLAGS, "1"), "api.filter.enable": "1", "api.filter.a.field": field}
                parameters["api.filter.a.arg0"] = row.recipient
                answer = clients[name].get("/json-api/emailtrack_search", params=parameters).json()
                found = [one for one in answer["data"]["records"] if one["msgid"] == row.queue_id]
                assert not found, (name, field, json.dumps(found))
                asked += 1
    assert asked >= 7


def _hidden(viewer: Viewer, table: Filled) -> list[Outcome]:
    known = may_see(viewer, table.rows)
    found = [
        row
        for row in table.rows
        if is_his(viewer, row)
        and row.direction == "sent"
        and row.original_recipient
        and not viewer.owns(row.original_recipient)
        and not viewer.owns(row.recipient)
        and row.recipient not in known.words
    ]
    return found[:3]
