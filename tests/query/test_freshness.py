"""How old the newest data is, and which servers are meant."""

from __future__ import annotations

import pytest
from postwatch.producers.record import Heartbeat
from postwatch.producers.service.errors import BadInputError
from postwatch.query.reports.servers import silence, up_to_date_ms
from postwatch.query.retirement import retire
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.query.wording import utc_time
from postwatch.streams.contracts.heartbeat import decode_heartbeat, encode_heartbeat

from tests.query.conftest import DAY_MS, MINUTE_MS, NOW_MS, Office, Open, make_row

pytestmark = pytest.mark.stack

BOB = Viewer("bob", mailboxes=frozenset({"bob@example.org"}))


def _heard(office: Office, server: str, age_ms: int) -> None:
    """What the join makes of the lines of a server without a shipper."""
    beat = Heartbeat(NOW_MS - age_ms, NOW_MS - age_ms, 0, 0, "")
    office.client.insert_arrow("servers", decode_heartbeat(encode_heartbeat(server, beat)))


def test_a_mailbox_owner_is_told_of_the_servers_of_his_mail_alone(office: Office, open_site: Open) -> None:
    office.insert([make_row(server="web1")])
    office.beat("web1", age_ms=3000)
    office.beat("web2", age_ms=DAY_MS)
    page = open_site(office.service, BOB).get("/?account=bob@example.org").text
    assert "Up to date as of" in page
    assert utc_time(NOW_MS - 3000) in page
    assert "not reported" not in page
    engineer = open_site(office.service).get("/?account=bob@example.org").text
    assert "Up to date as of" in engineer
    # Of whom nothing is known yet, all servers may have mail.
    assert "1 of 2 servers is silent (web2" in open_site(office.service).get("/?account=eva@example.org").text


def test_it_is_said_since_when_there_is_no_data_and_no_name(office: Office, open_site: Open) -> None:
    office.insert([make_row(server="web1")])
    office.beat("web1", age_ms=10 * MINUTE_MS)
    page = open_site(office.service, BOB).get("/?account=bob@example.org").text
    assert "Some mail servers have not reported since" in page
    assert utc_time(NOW_MS - 10 * MINUTE_MS) in page
    assert "Up to date" not in page
    assert "web1" not in page


def test_no_data_does_not_look_like_no_mail(office: Office, open_site: Open) -> None:
    page = open_site(office.service, BOB).get("/?account=bob@example.org").text
    assert "No mail server has reported yet" in page


def test_what_a_shipper_has_not_sent_yet_is_not_up_to_date(office: Office) -> None:
    office.beat("web1", age_ms=1000, lag_bytes=1 << 20, last_line_ms=NOW_MS - 5 * MINUTE_MS)
    office.beat("web2", age_ms=2000)
    states = office.service.servers()
    assert up_to_date_ms(states) == NOW_MS - 5 * MINUTE_MS
    assert up_to_date_ms(states.of({"web2"})) == NOW_MS - 2000


def test_the_last_line_of_a_server_without_heartbeats_counts(office: Office) -> None:
    _heard(office, "syslog1", age_ms=20 * MINUTE_MS)
    assert up_to_date_ms(office.service.servers()) == NOW_MS - 20 * MINUTE_MS
    assert silence(office.service.servers(), ENGINEER) == ""
    _heard(office, "syslog2", age_ms=61 * MINUTE_MS)
    assert "syslog2 for 61 min" in silence(office.service.servers(), ENGINEER)
    assert up_to_date_ms(office.service.servers()) == 0


def test_a_retired_server_is_not_silent_and_comes_back(office: Office) -> None:
    office.beat("old", age_ms=DAY_MS)
    office.beat("web1", age_ms=1000)
    assert "old" in silence(office.service.servers(), ENGINEER)
    retire(office.settings, "old", NOW_MS)
    states = office.service.servers()
    assert silence(states, ENGINEER) == ""
    assert {one.server: one.is_retired for one in states.servers} == {"old": True, "web1": False}
    assert up_to_date_ms(states) == NOW_MS - 1000
    office.beat("old", age_ms=DAY_MS - 10_000)  # also where its clock is a day behind
    assert "old" in silence(office.service.servers(), ENGINEER)


def test_a_server_is_gone_by_itself_after_the_retention(office: Office) -> None:
    office.beat("old", age_ms=31 * DAY_MS)
    office.beat("web1", age_ms=1000)
    assert [one.server for one in office.service.servers().servers] == ["web1"]


def test_a_server_that_nobody_knows_is_not_retired(office: Office) -> None:
    with pytest.raises(BadInputError, match="no server 'webb1' has reported"):
        retire(office.settings, "webb1", NOW_MS)
