"""One delivery by its id: the row of that id and no other, for whoever may see it; else the same 404."""

from __future__ import annotations

import json

import httpx
import pytest
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountQuestion
from postwatch.query.reports.delivery import REPORT, DeliveryFound, DeliveryQuestion
from postwatch.query.row_id import NO_SUCH_ROW
from postwatch.query.statements import Delivery
from postwatch.query.viewer import ENGINEER, Viewer

from tests.query.conftest import DAY_MS, NOW_MS, Office, Open, make_row

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))
EVE = Viewer("eve", mailboxes=frozenset({"eve@example.org"}))
OWNER = Viewer("owner", domains=frozenset({"example.org"}))


def _open(office: Office, word: str, viewer: Viewer = ENGINEER) -> DeliveryFound:
    return office.service.answer(viewer, REPORT, DeliveryQuestion(word))


def _rows(office: Office) -> dict[str, Delivery]:
    return {row.recipient: row for row in office.report("@example.org").rows}


def test_ids_that_two_servers_share_never_mix(office: Office) -> None:
    office.insert([make_row(server=name, subject=name) for name in ("web1", "web2")])
    rows = office.report().rows
    assert len({row.id for row in rows}) == 2
    for row in rows:
        [found] = _open(office, row.id).rows
        assert (found.server, found.id) == (row.server, row.id)


def test_the_newest_version_is_shown_and_a_retracted_row_is_not(office: Office) -> None:
    office.insert([make_row(status="deferred", version=5)])
    [row] = office.report().rows
    office.insert([make_row(status="delivered", version=9), make_row(status="pending", version=2)])
    [found] = _open(office, row.id).rows
    assert (found.status, found.id) == ("delivered", row.id)
    office.insert([make_row(is_deleted=1, version=10)])
    assert _open(office, row.id).rows == ()


def test_a_row_older_than_the_reports_go_back_is_not_found(office: Office) -> None:
    office.insert([make_row()])
    [row] = office.report().rows
    office.now_ms += 31 * DAY_MS
    assert _open(office, row.id).rows == ()


def test_another_tenant_s_id_is_told_as_an_id_that_no_row_has(office: Office, open_site: Open) -> None:
    office.insert([make_row()])
    [row] = office.report().rows
    assert _open(office, row.id, BOB).rows == _open(office, row.id, OWNER).rows != ()
    site = open_site(office.service, EVE)
    for path in ("/delivery/{}", "/delivery/{}/details", "/api/v1/deliveries/{}"):
        theirs, nobodys, no_id = (site.get(path.format(word)) for word in (row.id, "A" * 22, "x"))
        for answer in (theirs, nobodys, no_id):
            assert answer.status_code == 404
            told, same = (one.text.replace(one.request.url.path, "") for one in (answer, theirs))
            assert told == same
        assert NO_SUCH_ROW in theirs.text


def test_members_of_an_alias_are_one_line_to_whom_may_not_see_them(office: Office) -> None:
    known = {"original_recipient": "team@other.example", "queue_id": "1t"}
    office.insert(
        [
            make_row(recipient="one@far.example", status="delivered", updated_at=NOW_MS - 9000, **known),
            make_row(recipient="two@far.example", status="bounced", updated_at=NOW_MS - 5000, **known),
        ]
    )
    members = _rows(office)
    found = _open(office, members["one@far.example"].id, BOB)
    assert found.rows == ()  # nobody can find out whether a guess of where it leads is right

    [line] = office.service.answer(BOB, ACCOUNT, AccountQuestion("bob@example.org")).rows
    shown = _open(office, line.id, BOB)
    assert [(row.recipient, row.status) for row in shown.rows] == [("team@other.example", "bounced")]
    assert shown.others == ()
    assert "far.example" not in repr(shown)
    whole = _open(office, line.id)
    assert [row.recipient for row in whole.rows] == ["two@far.example"]
    assert [row.recipient for row in whole.others] == ["one@far.example"]


def test_the_other_recipients_are_those_that_the_viewer_may_see(office: Office) -> None:
    same = {"queue_id": "1t", "message_id": "m@x"}
    office.insert(
        [
            *(make_row(recipient=f"r{number}@far.example", **same) for number in range(3)),
            make_row(recipient="r0@far.example", queue_id="2t"),
            make_row(account="eve@example.org", recipient="eve@example.org", direction="received", **same),
        ]
    )
    row = next(one for one in office.report().rows if one.recipient == "r1@far.example")
    for viewer in (ENGINEER, BOB, OWNER):
        found = _open(office, row.id, viewer)
        assert {one.recipient for one in found.others} == {"r0@far.example", "r2@far.example"}
        assert not found.has_more


def test_the_page_and_the_api_tell_the_story(office: Office, open_site: Open) -> None:
    office.insert(
        [
            make_row(
                status="bounced",
                reason="unknown-user",
                smtp_code=550,
                response="550-5.1.1 <script>alert(1)</script>\\n550 no such user",
                remote_host="gmail-smtp-in.l.google.com",
                remote_provider="Google",
                log_lines=("a raw line of eve@far.example",),
            )
        ]
    )
    [row] = office.report().rows
    owner, engineer = open_site(office.service, BOB), open_site(office.service)
    page = owner.get(f"/delivery/{row.id}").text
    assert "refused the message on" in page
    assert "the mailbox does not exist." in page
    assert "Check the spelling of the address" in page
    assert "<script>alert" not in page
    assert "550 no such user" in page
    assert "a raw line" not in page
    assert "For the engineer" not in page
    assert "web1" not in page
    whole = engineer.get(f"/delivery/{row.id}").text
    assert "a raw line of eve@far.example" in whole
    assert "For the engineer" in whole
    told = owner.get(f"/api/v1/deliveries/{row.id}").json()
    assert told["headline"].startswith("Google refused the message on ")
    assert told["headline"].endswith(" UTC: the mailbox does not exist.")
    assert told["answer"] == ["550-5.1.1 <script>alert(1)</script>", "550 no such user"]
    assert (told["cause"], told["action"], told["delivery"]["log_lines"]) == ("", "", [])
    assert engineer.get(f"/api/v1/deliveries/{row.id}").json()["cause"]


@pytest.mark.parametrize("language", ["de", "es", "id"])
def test_the_page_opens_in_every_language(language: str, office: Office, open_site: Open) -> None:
    office.insert([make_row(subject="100% %(x)s {y}", status=one, queue_id=one) for one in ("delivered", "deferred")])
    site = open_site(office.service, BOB)
    for row in office.report().rows:
        answer = site.get(f"/delivery/{row.id}", headers={"accept-language": language})
        assert answer.status_code == 200
        assert "100% %(x)s {y}" in answer.text


def test_links_of_the_page_hold_no_address(office: Office, open_site: Open) -> None:
    known = {"message_id": "m1@example.org", "queue_id": "1t", "parent_queue_id": "0t"}
    office.insert([make_row(recipient=f"r{number}@far.example", **known) for number in range(3)])
    row = office.report(bounces=True).rows[0]
    for viewer in (ENGINEER, BOB):
        page = open_site(office.service, viewer).get(f"/delivery/{row.id}").text
        links = [part.partition('"')[0] for part in page.split('href="')[1:]]
        assert sum(link.startswith("/delivery/") for link in links) == 2
        assert not [link for link in links if "@" in httpx.URL(link).path + str(httpx.URL(link).query)]
        assert any(link.startswith("/trace") for link in links) == viewer.is_engineer


def test_the_api_s_ids_open_the_deliveries(office: Office, open_site: Open) -> None:
    office.insert([make_row(queue_id=f"{number}t") for number in range(3)])
    site = open_site(office.service, BOB)
    listed = site.get("/api/v1/accounts/bob@example.org/deliveries").json()["deliveries"]
    for one in listed:
        told = json.loads(site.get(f"/api/v1/deliveries/{one['id']}").text)
        assert told["delivery"] == one
