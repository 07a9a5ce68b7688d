"""Calls as public clients send them, at a real server with log-in over the real engine."""

from __future__ import annotations

import base64
import re

import pytest
from postwatch.query.access.tokens import read_authorization
from postwatch.query.cpanel.expressions import ExpressionError, matches
from postwatch.query.cpanel.records import TrackRecord

from tests.query.conftest import MINUTE_MS
from tests.query.cpanel.conftest import ALL, SENT_AT, Panel

SECOND = SENT_AT // 1000
BY_TIME = {"api.sort.enable": "1", "api.sort.a.field": "sendunixtime"}


def _filters(*filters: tuple[str, str, str]) -> dict[str, str]:
    """As the clients of WHM API 1 number them: a, b, c."""
    found = {"api.filter.enable": "1"}
    for letter, (field, kind, word) in zip("abcdefgh", filters, strict=False):
        found |= {
            f"api.filter.{letter}.field": field,
            f"api.filter.{letter}.type": kind,
            f"api.filter.{letter}.arg0": word,
        }
    return found


def test_a_record_is_an_attempt_with_the_documented_fields_and_types(panel: Panel) -> None:
    answer = panel.whm("emailtrack_search", **ALL).json()
    assert answer["metadata"] == {
        "version": 1,
        "command": "emailtrack_search",
        "result": 1,
        "reason": "OK",
        "overflowed": 0,
    }
    found = [one for one in answer["data"]["records"] if one["msgid"] == "1tA-2"]
    assert found == [
        {
            "type": kind,
            "msgid": "1tA-2",
            "sendunixtime": SECOND + 60,
            "actionunixtime": SECOND + minutes * 60,
            "actiontime": found[number]["actiontime"],
            "sender": "anna@bakery.example",
            "email": "anna@bakery.example",
            "user": "bakery",
            "domain": "bakery.example",
            "senderhost": "",
            "senderip": "",
            "senderauth": "",
            "spamscore": 0,
            "size": 1024,
            "recipient": "carl@far.example",
            "deliveredto": "carl@far.example",
            "deliveryuser": None,
            "deliverydomain": "far.example",
            "router": "",
            "transport": "remote_smtp",
            "transport_is_remote": 1,
            "host": host,
            "ip": ip,
            "message": message,
        }
        for number, (kind, minutes, host, ip, message) in enumerate(
            [
                ("defer", 2, "mx1.far.example", "192.0.2.1", "451 try later"),
                ("success", 9, "mx2.far.example", "192.0.2.2", "250 OK"),
            ]
        )
    ]
    assert all(tuple(one) == TrackRecord._fields for one in answer["data"]["records"])


def test_without_a_flag_only_failures_are_found(panel: Panel) -> None:
    assert panel.ids() == ["1tA-5", "1tA-3"]
    assert panel.ids(success="0", defer="0") == ["1tA-5", "1tA-3"]
    assert panel.ids(inprogress="1") == ["1tA-4"]
    assert panel.ids(defer="1") == ["1tA-5", "1tA-2"]


def test_what_no_answer_tells_is_said_in_a_word(panel: Panel) -> None:
    assert [one["message"] for one in panel.records()] == ["expired", "550 no such user"]


def test_mail_between_two_accounts_is_one_record_of_its_sender(panel: Panel) -> None:
    found = [one for one in panel.records(**ALL) if one["msgid"] == "1tA-6"]
    assert [(one["user"], one["deliveryuser"], one["transport_is_remote"]) for one in found] == [("bakery", "shop", 0)]
    [seen_by_eva] = [one for one in panel.records("shop", **ALL) if one["msgid"] == "1tA-6"]
    assert (seen_by_eva["user"], seen_by_eva["deliveryuser"]) == ("-remote-", "shop")
    assert (seen_by_eva["senderip"], seen_by_eva["senderauth"]) == ("", "")


def test_where_an_alias_leads_is_null_to_who_wrote_to_it(panel: Panel) -> None:
    [found] = [one for one in panel.records("shop", **ALL) if one["msgid"] == "1tA-8"]
    assert found["recipient"] == "list@bakery.example"
    hidden = ("deliveredto", "deliveryuser", "deliverydomain", "transport", "host", "ip")
    assert [found[field] for field in hidden] == [None] * 6
    assert (found["router"], found["message"], found["transport_is_remote"]) == ("", "", 0)
    assert panel.ids("shop", **ALL, **_filters(("*", "contains", "secret"))) == []
    seen = [one for one in panel.records("both", **ALL) if one["msgid"] == "1tA-8"]
    assert {one["deliveredto"] for one in seen} == {"m1@secret.example", "m2@secret.example"}


@pytest.mark.parametrize(
    ("field", "word", "ids"),
    [
        ("recipient", "LIST@", ["1tA-8"]),
        ("recipient", "eva@", ["1tA-7", "1tA-6"]),
        ("msgid", "1ta-6", ["1tA-6"]),
        ("domain", "far", ["1tA-7"]),
        ("email", "boss", ["1tA-3"]),
    ],
)
def test_a_word_that_the_statement_narrows_by_is_found(field: str, word: str, ids: list[str], panel: Panel) -> None:
    for who in ("engineer", "both"):
        assert list(dict.fromkeys(panel.ids(who, **ALL, **_filters((field, "contains", word))))) == ids


def test_who_owns_a_mailbox_alone_is_not_told_whose_the_domain_is(panel: Panel) -> None:
    found = panel.records("anna", **ALL)
    assert found
    assert {one["user"] for one in found} == {"bakery.example"}
    assert {one["deliveryuser"] for one in found} == {None}
    assert {one["user"] for one in panel.records("bakery", **ALL)} == {"bakery"}


def test_no_other_text_is_taken_for_a_token() -> None:
    secret = "pw_" + "A" * 43
    assert read_authorization(f"WHM  root:{secret} ") == secret
    assert read_authorization(f"Bearer {secret}") == secret
    for header in (f"whm {secret}", f"whm root:{secret}=", "whm root:", f"whm root:x:{secret}", f"basic root:{secret}"):
        assert read_authorization(header) is None, header


def test_delivery_types(panel: Panel) -> None:
    assert panel.ids(success="1", deliverytype="remote") == ["1tA-8", "1tA-8", "1tA-2"]
    assert panel.ids(success="1", deliverytype="local") == ["1tA-7", "1tA-6", "1tA-1"]
    assert len(panel.ids(success="1", deliverytype="all")) == 6


def test_the_documented_example_of_whm(panel: Panel) -> None:
    """Its warning tells callers to filter, sort and chunk, with this very call."""
    asked = _filters(("sendunixtime", "gt", str(SECOND)), ("sendunixtime", "lt", str(SECOND + 300))) | BY_TIME
    asked |= {"api.sort.a.reverse": "0", "api.chunk.enable": "1", "api.chunk.size": "25", "api.chunk.start": "1"}
    answer = panel.whm("emailtrack_search", success="1", failure="1", **asked).json()
    assert [one["msgid"] for one in answer["data"]["records"]] == ["1tA-2", "1tA-3", "1tA-5"]
    assert answer["metadata"]["__chunked"] == 1
    assert "chunk" not in answer["metadata"]


def test_as_an_exporter_of_a_day_calls(panel: Panel) -> None:
    asked = _filters(("sendunixtime", "gt", str(SECOND - 1)), ("sendunixtime", "lt_equal", str(SECOND + 120))) | BY_TIME
    asked |= {"success": "1", "failure": "1", "inprogress": "0", "defer": "0", "max_results_by_type": "0"}
    assert panel.ids(**asked) == ["1tA-1", "1tA-2", "1tA-3"]


def test_as_a_search_with_pages_calls(panel: Panel) -> None:
    """Page 2 of 2 records: `api.chunk.start` is 3."""
    asked = {**ALL, **_filters(("sender", "contains", "BAKERY.example")), **BY_TIME}
    asked |= {"api.sort.a.method": "numeric", "api.sort.a.reverse": "1", "api.chunk.enable": "1", "api.chunk.size": "2"}
    pages = [panel.ids(**asked, **{"api.chunk.start": str(start)}) for start in (1, 3, 5, 7)]
    assert pages == [["1tA-6", "1tA-3"], ["1tA-2", "1tA-2"], ["1tA-1"], []]
    told = panel.whm("emailtrack_search", **asked, **{"api.chunk.start": "3", "api.chunk.verbose": "1"}).json()
    assert told["metadata"]["chunk"] == {"start": 3, "size": 2, "records": 5, "chunks": 3, "current": 2}


def test_as_a_panel_with_a_filter_field_left_empty_calls(panel: Panel) -> None:
    asked = _filters(
        ("", "contains", ""), ("sendunixtime", "gt", str(SECOND)), ("sendunixtime", "lt", str(SECOND + 70))
    )
    answer = panel.whm("emailtrack_search", success="1", **asked, **{"api.filter.verbose": "1"}).json()
    assert [one["msgid"] for one in answer["data"]["records"]] == ["1tA-2"]


def test_a_form_in_the_body_is_the_same(panel: Panel) -> None:
    """cPanel's own Perl client posts all that it asks."""
    headers = {"Authorization": f"whm root:{panel.tokens['engineer']}"}
    answer = panel.client.post("/json-api/emailtrack_search", data={"api.version": "1", "defer": "1"}, headers=headers)
    assert answer.status_code == 200
    assert [one["msgid"] for one in answer.json()["data"]["records"]] == ["1tA-5", "1tA-2"]


def test_max_results_by_type_caps_each_type(panel: Panel) -> None:
    answer = panel.whm("emailtrack_search", **ALL, max_results_by_type="1").json()
    assert [(one["type"], one["msgid"]) for one in answer["data"]["records"]] == [
        ("success", "1tA-8"),
        ("defer", "1tA-5"),
        ("failure", "1tA-5"),
        ("inprogress", "1tA-4"),
    ]
    assert answer["metadata"]["overflowed"] == 1
    assert panel.whm("emailtrack_search", **ALL, max_results_by_type="6").json()["metadata"]["overflowed"] == 0


def test_columns(panel: Panel) -> None:
    asked = {"api.columns.enable": "1", "api.columns.a": "msgid", "api.columns.b": "type"}
    assert panel.records(**asked)[0] == {"msgid": "1tA-5", "type": "failure"}


def test_the_statistics_are_the_counts_of_the_records(panel: Panel) -> None:
    for who in ("engineer", "all", "both", "bakery", "shop", "anna"):
        records = panel.records(who, **ALL)
        if who not in ("engineer", "all"):  # mail from outside counts for nobody else
            sent = {"shop": {"1tA-4", "1tA-8"}}.get(who, {f"1tA-{number}" for number in (1, 2, 3, 4, 5, 6, 8)})
            records = [one for one in records if one["msgid"] in sent]
        [total] = panel.whm("emailtrack_stats", who).json()["data"]["records"]
        types = [one["type"] for one in records]
        assert total == {
            "SENDCOUNT": len({one["msgid"] for one in records}),
            "SUCCESSCOUNT": types.count("success"),
            "DEFERCOUNT": types.count("defer"),
            "FAILCOUNT": types.count("failure"),
            "DEFERFAILCOUNT": types.count("defer") + types.count("failure"),
            "INPROGRESSCOUNT": types.count("inprogress"),
            "TOTALSIZE": 1024 * len({one["msgid"] for one in records}),
        }, who


def test_statistics_of_each_user(panel: Panel) -> None:
    found = panel.whm("emailtrack_user_stats").json()["data"]["records"]
    assert [(one["USER"], one["DOMAIN"], one["OWNER"], one["PRIMARY_DOMAIN"], one["SENDCOUNT"]) for one in found] == [
        ("bakery", "bakery.example", "reseller", "bakery.example", 4),
        ("shop", "shop.example", "reseller", "shop.example", 2),
        ("-remote-", "", "root", "", 1),
        ("bakery", "", "reseller", "bakery.example", 1),
    ]
    assert found[0] | {"SENDCOUNT": 0} == {
        "USER": "bakery",
        "DOMAIN": "bakery.example",
        "OWNER": "reseller",
        "PRIMARY_DOMAIN": "bakery.example",
        "SENDCOUNT": 0,
        "SUCCESSCOUNT": 3,
        "DEFERCOUNT": 1,
        "FAILCOUNT": 1,
        "DEFERFAILCOUNT": 2,
        "TOTALSIZE": 4096,
        "REACHED_MAXDEFERFAIL": 0,
        "REACHED_MAXEMAILS": 0,
    }


def test_statistics_of_a_time_a_user_a_sender_and_a_kind(panel: Panel) -> None:
    def sent(**asked: str) -> int:
        [total] = panel.whm("emailtrack_stats", **asked).json()["data"]["records"]
        return int(total["SENDCOUNT"])

    assert sent(starttime=str(SECOND + 60), endtime=str(SECOND + 120)) == 2
    assert sent(startdate=str(SECOND + 60), enddate=str(SECOND + 120)) == 2
    assert sent(user="bakery") == 5
    assert sent(user="shop") == 2
    assert sent(user="nobody") == 0
    assert sent(records="anna@bakery.example") == 3
    assert sent(deliverytype="remote") == 2
    assert sent(deliverytype="local") == 6
    assert sent(deliverytype="remote-or-faildefer") == 4
    [slim] = panel.whm("emailtrack_stats", nosize="1", nosuccess="1").json()["data"]["records"]
    assert "TOTALSIZE" not in slim
    assert "SUCCESSCOUNT" not in slim
    users = panel.whm("emailtrack_user_stats", sender="boss@bakery.example").json()["data"]["records"]
    assert [(one["USER"], one["FAILCOUNT"]) for one in users] == [("bakery", 1)]
    shaped = panel.whm("emailtrack_user_stats", **_filters(("USER", "eq", "bakery"), ("DOMAIN", "defined", ""))).json()
    assert [one["DOMAIN"] for one in shaped["data"]["records"]] == ["bakery.example"]


def test_cpanel_api_2_is_about_one_user(panel: Panel) -> None:
    found = panel.api2("search", "engineer", "shop", **ALL)
    assert (found["apiversion"], found["module"], found["func"]) == (2, "EmailTrack", "search")
    assert found["event"] == {"result": 1}
    assert found["metadata"] == {"overflowed": 0}
    assert {one["msgid"] for one in found["data"]} == {"1tA-4", "1tA-6", "1tA-7", "1tA-8"}
    assert {one["msgid"] for one in panel.api2("search", "both", "bakery", success="1")["data"]} == {
        "1tA-1",
        "1tA-2",
        "1tA-6",
    }
    [total] = panel.api2("stats", "engineer", "bakery")["data"]
    assert total["SENDCOUNT"] == 5


def test_a_token_of_one_user_needs_no_name_and_no_name_widens_it(panel: Panel) -> None:
    own = panel.api2("search", "shop", "shop", **ALL)["data"]
    for user in ("user", "", "farm", "bakery", "nobody"):
        assert panel.api2("search", "shop", user, **ALL)["data"] == own


def test_cpanel_api_2_filters_sorts_and_pages(panel: Panel) -> None:
    asked = {"api2_filter": "1", "api2_filter_column": "recipient", "api2_filter_term": "far", **ALL}
    asked |= {"api2_sort": "1", "api2_sort_column": "actionunixtime", "api2_sort_method": "numeric"}
    asked |= {"api2_sort_reverse": "1", "api2_paginate": "1", "api2_paginate_size": "2", "api2_paginate_page": "2"}
    found = panel.api2("search", "bakery", "bakery", **asked)
    assert [one["msgid"] for one in found["data"]] == ["1tA-2", "1tA-1"]
    assert found["paginate"] == {
        "total_results": 4,
        "total_pages": 2,
        "current_page": 2,
        "results_per_page": 2,
        "start_result": "3",
    }
    assert found["metadata"]["paginate"] == found["paginate"]
    both = {
        f"api2_filter_{part}_{number}": word
        for number, part, word in (
            ("0", "column", "sender"),
            ("0", "type", "begins"),
            ("0", "term", "anna"),
            ("1", "column", "recipient"),
            ("1", "type", "ends"),
            ("1", "term", "SHOP.example"),
        )
    }
    found = panel.api2("search", "bakery", "bakery", api2_filter="1", **both, **ALL)
    assert [one["msgid"] for one in found["data"]] == ["1tA-6"]
    found = panel.api2("search", "bakery", "bakery", recipient="carl@far.example", success="1")
    assert [one["msgid"] for one in found["data"]] == ["1tA-2"]


@pytest.mark.parametrize("form", ["whm root:{}", "WHM root:{}", "cpanel bakery:{}", "cPanel bakery:{}", "Bearer {}"])
def test_our_tokens_are_taken_in_their_forms(form: str, panel: Panel) -> None:
    headers = {"Authorization": form.format(panel.tokens["bakery"])}
    answer = panel.client.get("/json-api/emailtrack_search?api.version=1", headers=headers)
    assert [one["msgid"] for one in answer.json()["data"]["records"]] == ["1tA-3"]


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "path", ["emailtrack_search", "emailtrack_stats", "emailtrack_user_stats", "cpanel", "version"]
)
def test_who_may_not_come_in_is_denied_as_cpanel_does_it(path: str, panel: Panel) -> None:
    secret = panel.tokens["engineer"]
    ended = panel.entrance.tokens.create("ended", panel.entrance.tokens.listed()[0].scope, 1, "root")[0]
    panel.entrance.tokens.revoke("ended", "root")
    for authorization in (
        None,
        "",
        "whm",
        "whm root",
        f"whm {secret}",
        f"root:{secret}",
        f"whm root:{secret}x",
        f"whm root:{secret[:-1]}",
        f"whm root:{ended}",
        f"cpanel :{'pw_' + 'A' * 43}",
        _basic("root", "secret"),
        _basic("root", secret),
        _basic("erik", "correct horse battery"),
    ):
        headers = {"Authorization": authorization} if authorization is not None else {}
        answer = panel.client.get(f"/json-api/{path}", params={"api.version": "1", **ALL}, headers=headers)
        assert answer.status_code == 403, authorization
        told = answer.json()["cpanelresult"]
        assert (told["apiversion"], told["error"], told["type"]) == ("2", "Access denied", "text")
        assert told["data"]["result"] == "0"
        assert "Passwords (Basic) are not taken" in told["data"]["reason"]
        assert "bakery" not in answer.text


def test_a_token_that_makes_links_reads_nothing(panel: Panel) -> None:
    assert panel.records("panel", **ALL) == []
    assert panel.whm("emailtrack_user_stats", "panel").json()["data"]["records"] == []


@pytest.mark.parametrize("function", ["version", "listaccts", "emailtrack_trace", "x" * 200])
def test_an_unknown_function(function: str, panel: Panel) -> None:
    assert panel.reason(function) == f'Unknown app ("{function[:80]}") requested for this version (1) of the API.'


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"api.version": "2"}, "api.version=2 is not served: use 1"),
        ({"api.version": "one"}, "api.version=one is not served"),
        ({"success": "true"}, "success=true: use 1 or 0"),
        ({"deliverytype": "both"}, "deliverytype=both: use all, remote, local"),
        ({"max_results_by_type": "-1"}, "max_results_by_type=-1: use a whole number from 0"),
        ({"api.chunk.enable": "1", "api.chunk.start": "0"}, "api.chunk.start=0: use a whole number from 1"),
        ({"api.chunk.enable": "1", "api.chunk.size": "0"}, "api.chunk.size=0"),
        ({"api.chunk.enable": "1", "api.chunk.size": "ten"}, "api.chunk.size=ten"),
        (_filters(("subject", "eq", "x")), "'subject' is no field of these records; use type, msgid"),
        (_filters(("sender", "like", "x")), "like is no filter type; use ==, lt"),
        (_filters(("sender", "matches", "(a")), "'(a' is no regular expression that can be served: missing )"),
        (_filters(("sender", "matches", r"(a)\1")), "is no regular expression that can be served: invalid escape"),
        (_filters(("sender", "matches", "(a{999}){999}")), "is no regular expression that can be served"),
        (_filters(("sendunixtime", "gt", "yesterday")), "gt compares numbers, and 'yesterday' is none"),
        (_filters(("sender", "eq", "x" * 999)), "a word of more than 998 characters"),
        ({**BY_TIME, "api.sort.a.method": "random"}, "method=random: use lexicographic"),
        ({**BY_TIME, "api.sort.a.reverse": "yes"}, "reverse=yes: use 1 or 0"),
        ({"api.sort.enable": "1", "api.sort.a.field": "nothing"}, "'nothing' is no field"),
        ({"api.columns.enable": "1", "api.columns.a": "nothing"}, "'nothing' is no field"),
    ],
)
def test_what_is_wrong_is_said_with_status_200(asked: dict[str, str], words: str, panel: Panel) -> None:
    assert words in panel.reason("emailtrack_search", **asked)


def test_what_is_wrong_with_statistics(panel: Panel) -> None:
    assert "starttime=now: use a whole number from 0" in panel.reason("emailtrack_stats", starttime="now")
    assert "later than endtime" in panel.reason("emailtrack_stats", starttime="2000", endtime="1000")
    assert "nosize=2" in panel.reason("emailtrack_stats", nosize="2")
    assert "deliverytype=x" in panel.reason("emailtrack_user_stats", deliverytype="x")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cpanel_jsonapi_module": "Email"}, "Could not find module “Email”"),
        ({"cpanel_jsonapi_module": ""}, "Could not find module “”"),
        ({"cpanel_jsonapi_func": "find"}, "Could not find function “find” in module “EmailTrack”"),
        ({"cpanel_jsonapi_func": "trace"}, "the story of a delivery tells its hops"),
        ({"cpanel_jsonapi_apiversion": "1"}, "cpanel_jsonapi_apiversion=1 is not served: use 2"),
        ({"cpanel_jsonapi_user": ""}, "cpanel_jsonapi_user is missing"),
        ({"cpanel_jsonapi_user": "a b"}, "not a valid account"),
        ({"defer": "x"}, "defer=x: use 1 or 0"),
        ({"api2_filter": "1", "api2_filter_column": "x"}, "'x' is no field"),
        ({"api2_paginate": "1", "api2_paginate_start": "0"}, "api2_paginate_start=0"),
    ],
)
def test_what_is_wrong_with_api_2_is_said_in_its_envelope(asked: dict[str, str], words: str, panel: Panel) -> None:
    named = {"cpanel_jsonapi_apiversion": "2", "cpanel_jsonapi_module": "EmailTrack", "cpanel_jsonapi_func": "search"}
    answer = panel.whm("cpanel", **{**named, "cpanel_jsonapi_user": "bakery", **asked})
    assert answer.status_code == 200
    told = answer.json()["cpanelresult"]
    assert words in told["error"]
    assert told["event"] == {"result": 0, "reason": told["error"]}
    assert told["data"] == []


def test_uapi_and_xml_are_declined_in_words(panel: Panel) -> None:
    headers = {"Authorization": f"cpanel bakery:{panel.tokens['bakery']}"}
    answer = panel.client.get("/execute/EmailTrack/search?success=1", headers=headers)
    assert answer.status_code == 200
    result = answer.json()["result"]
    assert (result["status"], result["data"]) == (0, None)
    assert "Failed to load module “EmailTrack”" in result["errors"][0]
    assert "cpanel_jsonapi_func=search" in result["errors"][0]
    answer = panel.client.post("/xml-api/emailtrack_search", headers=headers)
    assert answer.status_code == 200
    assert "XML is not served" in answer.json()["metadata"]["reason"]
    assert panel.client.get("/execute/EmailTrack/search").status_code == 403


def test_a_form_of_another_site_does_nothing(panel: Panel) -> None:
    headers = {"Authorization": f"whm root:{panel.tokens['engineer']}", "Origin": "https://evil.example"}
    answer = panel.client.post("/json-api/emailtrack_search", data=ALL, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.json()["cpanelresult"]["error"]


def test_too_many_parameters_are_refused_in_words(panel: Panel) -> None:
    asked = {f"p{number}": "" for number in range(250)}
    assert "more than 200 parameters" in panel.reason("emailtrack_search", **asked)
    headers = {"Authorization": f"whm root:{panel.tokens['engineer']}"}
    answer = panel.client.post("/json-api/emailtrack_search", data=asked, headers=headers)
    assert (answer.status_code, answer.json()["metadata"]["result"]) == (200, 0)


def test_times_are_those_of_the_attempts(panel: Panel) -> None:
    for one in panel.records(**ALL):
        assert one["sendunixtime"] <= one["actionunixtime"] <= SECOND + 60 * MINUTE_MS // 1000
        assert len(one["actiontime"]) == len("2026-11-28 12:00:00")


def test_matches_is_a_regular_expression_of_re2(panel: Panel) -> None:
    every = {one["msgid"]: one["sender"] for one in panel.records(**ALL)}
    for expression in ("^anna@", "bakery[.]example$", "(?i)BAKERY", "(a|e)+na@", "^$", "x|y"):
        wanted = {found for found, sender in every.items() if re.search(expression, sender)}
        assert set(panel.ids(**ALL, **_filters(("sender", "matches", expression)))) == wanted
    assert panel.ids(**ALL, **_filters(("sender", "matches", "BAKERY"))) == []  # it tells the cases apart
    assert panel.ids("shop", **ALL, **_filters(("*", "matches", "secret"))) == []  # hidden from him
    asked = {"api2_filter": "1", "api2_filter_column": "sender", "api2_filter_type": "matches"}
    found = panel.api2("search", "bakery", "bakery", **ALL, **asked, api2_filter_term="^anna@")
    assert {one["sender"] for one in found["data"]} == {"anna@bakery.example"}


@pytest.mark.parametrize("expression", [r"(a)\1", "a(?=a)", "(?<=a)a", "(?>a)a", "(a)?(?(1)a|a)"])
def test_no_expression_takes_long(expression: str) -> None:
    """What only a matcher that tries again and again can do is refused: the other kind reads a text once."""
    with pytest.raises(ExpressionError):
        matches("aa", expression)
    assert not matches("a" * 5000, "^(a+)+$b")


def test_the_filters_are_repeated_where_a_script_asks_for_them(panel: Panel) -> None:
    asked = {**ALL, **_filters(("sender", "contains", "bakery"), ("sendunixtime", "gt", "1"))}
    told = panel.whm("emailtrack_search", **asked, **{"api.filter.verbose": "1"}).json()["metadata"]
    assert told["filter"] == {
        "a": {"field": "sender", "type": "contains", "arg0": "bakery"},
        "b": {"field": "sendunixtime", "type": "gt", "arg0": "1"},
    }
    assert "filter" not in panel.whm("emailtrack_search", **asked).json()["metadata"]


@pytest.mark.parametrize("session", ["/cpsess1234567890", "/cpsess0"])
def test_the_number_of_a_session_in_front_changes_nothing(session: str, panel: Panel) -> None:
    plain = panel.whm("emailtrack_search", **ALL).json()["data"]
    headers = {"Authorization": f"whm root:{panel.tokens['engineer']}"}
    asked = {"api.version": "1", **ALL}
    answer = panel.client.get(f"{session}/json-api/emailtrack_search", params=asked, headers=headers)
    assert answer.json()["data"] == plain
    refused = panel.client.get(f"{session}/json-api/emailtrack_search", params=asked)  # a session is no log-in here
    assert refused.status_code == 403
    assert refused.json()["cpanelresult"]["error"] == "Access denied"
    assert panel.client.get("/cpsessx/json-api/emailtrack_search", params=asked).status_code != 200


@pytest.mark.parametrize("before", ["/postwatch", "/postwatch/cpsess1234567890"])
def test_below_a_base_path_all_is_as_it_is_at_the_top(before: str, panel: Panel) -> None:
    headers = {"Authorization": f"whm root:{panel.tokens['engineer']}"}
    asked = {"api.version": "1", **ALL}
    answers = [
        panel.client.get(f"{base}/json-api/emailtrack_search", params=asked, headers=headers) for base in ("", before)
    ]
    assert answers[0].json()["data"]["records"]
    assert answers[0].content == answers[1].content
    assert panel.client.get(f"{before}/json-api/emailtrack_search", params=asked).status_code == 403
