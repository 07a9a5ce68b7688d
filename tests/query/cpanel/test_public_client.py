"""A client of cPanel's API that others wrote, unchanged: only the address and the token are ours."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from cpanel_api import CPanelApi

from tests.query.cpanel.conftest import Panel


def _client(panel: Panel, secret: str, kind: str) -> CPanelApi:
    address = urlsplit(str(panel.client.base_url))
    return CPanelApi(address.hostname, "bakery", secret, address.port, auth_type=kind, ssl=False)


@pytest.mark.parametrize("kind", ["utoken", "token", "hash"])
def test_it_finds_the_mail_and_the_statistics(kind: str, panel: Panel) -> None:
    track = _client(panel, panel.tokens["bakery"], kind).cpanel2.EmailTrack
    found = track.search(success=1, defer=1, failure=1, inprogress=1).cpanelresult
    assert (found.error, found.event) == (None, {"result": 1})
    assert {one.msgid for one in found.data} == {"1tA-1", "1tA-2", "1tA-3", "1tA-6"}
    assert track.stats().cpanelresult.data[0].SENDCOUNT == 4
    assert "not served" in track.trace().cpanelresult.error


def test_it_is_told_that_passwords_and_uapi_are_declined(panel: Panel) -> None:
    denied = _client(panel, panel.tokens["bakery"], "password").cpanel2.EmailTrack.search().cpanelresult
    assert denied.error == "Access denied"
    result = _client(panel, panel.tokens["bakery"], "utoken").uapi.EmailTrack.search().result
    assert result.status == 0
    assert "Failed to load module" in result.errors[0]
