from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.openid import OpenIdDoor, identity_of
from postwatch.query.access.openid_routes import BACK_PATH, DEPART_PATH, openid_router
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.roles import Identity
from postwatch.query.answers import install_error_answers

from tests.query.access.openid_providers import (
    SECRET,
    Users,
    certified_provider,
    log_in,
    node_folder,
    python_provider,
)
from tests.query.serving import serving
from tests.waiting import PATIENCE

__all__ = ["node_folder"]

USERS: Users = {
    "anna": {"preferred_username": "anna", "groups": ["customers"], "email": "Anna@a.example", "email_verified": True},
    "bert": {"preferred_username": "bert", "groups": [], "email": "bert@b.example", "email_verified": False},
    "erik": {"preferred_username": "erik", "groups": ["staff", "mail-engineers"]},
    "rita": {"preferred_username": "rita", "groups": ["resellers"]},
    "otto": {"preferred_username": "Otto", "groups": ["owners"]},
}


@dataclass
class Site:
    """The two addresses of the log-in, served on loopback; whoever comes in is answered with his identity."""

    port: int
    settings: OpenIdSettings
    key: bytes = b"k" * 32
    admitted: list[Identity] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def served(self) -> Iterator[Site]:
        app = FastAPI()

        async def admit(request: Request, identity: Identity, next_path: str, fingerprint: str) -> Response:
            self.admitted.append(identity)
            return JSONResponse({"identity": json.loads(identity.to_text()), "next": next_path})

        app.include_router(openid_router(OpenIdDoor(self.settings, self.key), admit, self.address))
        install_error_answers(app)
        with serving(app, f"127.0.0.1:{self.port}"):
            yield self


def settings_for(issuer: str, secret_file: Path) -> OpenIdSettings:
    secret_file.write_text(SECRET + "\n")
    return OpenIdSettings(
        issuer=issuer,
        client_id="postwatch",
        client_secret_file=str(secret_file),
        engineer_groups=("mail-engineers",),
        reseller_groups=("resellers",),
        owner_groups=("owners",),
    )


@pytest.fixture(scope="module", params=["python", "certified"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    start = python_provider
    if request.param == "certified":
        request.getfixturevalue("node_folder")
        start = certified_provider
    port = choose_port()
    with start(USERS, f"http://127.0.0.1:{port}{BACK_PATH}") as provider:
        settings = settings_for(provider.issuer, tmp_path_factory.mktemp("openid") / "secret")
        with Site(port, settings).served() as served:
            yield served


@pytest.fixture
def browser(site: Site) -> Iterator[httpx.Client]:
    site.admitted.clear()
    with httpx.Client(timeout=PATIENCE) as client:
        yield client


def asked(site: Site, browser: httpx.Client) -> dict[str, list[str]]:
    answer = browser.get(site.address + DEPART_PATH)
    assert answer.status_code == 303
    return parse_qs(urlsplit(answer.headers["location"]).query)


def way_back(site: Site, browser: httpx.Client, name: str = "anna") -> str:
    """Logs in at the provider → the address that leads back."""
    return str(log_in(browser, site.address + DEPART_PATH, name).headers["location"])


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("anna", Identity("anna", "openid", "anna@a.example")),
        ("bert", Identity("bert", "openid", "")),
        ("erik", Identity("erik", "openid", roles=frozenset({"engineer"}))),
        ("rita", Identity("rita", "openid", roles=frozenset({"reseller"}))),
        ("otto", Identity("otto", "openid", roles=frozenset({"owner"}))),
    ],
)
def test_groups_become_roles_and_a_verified_address_a_mailbox(
    site: Site, browser: httpx.Client, name: str, identity: Identity
) -> None:
    answer = browser.get(way_back(site, browser, name))
    assert answer.status_code == 200, answer.text
    assert site.admitted == [identity]


def test_pkce_state_and_nonce_are_sent_and_new_each_time(site: Site, browser: httpx.Client) -> None:
    one, other = asked(site, browser), asked(site, browser)
    assert one["code_challenge_method"] == ["S256"]
    for name in ("state", "nonce", "code_challenge"):
        assert one[name] != other[name]
        assert len(one[name][0]) >= 20


def test_the_cookie_tells_nothing_and_is_for_this_site_and_ten_minutes(site: Site, browser: httpx.Client) -> None:
    answer = browser.get(site.address + DEPART_PATH)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Max-Age=600" in cookie
    assert "samesite=lax" in cookie.lower()
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"][0] not in cookie
    assert query["nonce"][0] not in cookie


def changed(address: str, **words: str) -> str:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return parts._replace(query=urlencode({**query, **words})).geturl()


def refused(site: Site, answer: httpx.Response) -> None:
    assert answer.status_code == 403
    assert site.admitted == []
    assert "could not be logged in" in answer.text


def test_a_wrong_state_is_refused(site: Site, browser: httpx.Client) -> None:
    refused(site, browser.get(changed(way_back(site, browser), state="x" * 30)))


def test_an_answer_to_another_browser_is_refused(site: Site, browser: httpx.Client) -> None:
    """Log-in CSRF: a stranger's answer, opened in a browser that asked for nothing, or for something else."""
    address = way_back(site, browser)
    with httpx.Client(timeout=PATIENCE) as victim:
        refused(site, victim.get(address))
        asked(site, victim)
        refused(site, victim.get(address))


def test_a_wrong_nonce_is_refused(site: Site, browser: httpx.Client) -> None:
    """The ID token of another log-in: the provider is asked with another nonce than the cookie holds."""
    answer = browser.get(site.address + DEPART_PATH)
    elsewhere = changed(answer.headers["location"], nonce="another-nonce-than-asked")
    refused(site, browser.get(log_in(browser, elsewhere, "anna").headers["location"]))


@pytest.mark.parametrize("site", ["certified"], indirect=True)  # the other one does not look at it
def test_another_code_challenge_is_refused(site: Site, browser: httpx.Client) -> None:
    """A code that was stolen from another log-in is of no use."""
    answer = browser.get(site.address + DEPART_PATH)
    elsewhere = changed(answer.headers["location"], code_challenge="A" * 43)
    refused(site, browser.get(log_in(browser, elsewhere, "anna").headers["location"]))


def test_a_replayed_answer_is_refused(site: Site, browser: httpx.Client) -> None:
    address = way_back(site, browser)
    kept = {cookie.name: cookie.value or "" for cookie in browser.cookies.jar if cookie.name.startswith("postwatch")}
    assert browser.get(address).status_code == 200
    site.admitted.clear()
    refused(site, browser.get(address))  # the cookie is gone
    with httpx.Client(cookies=kept, timeout=PATIENCE) as thief:  # with the cookie: the provider takes a code once
        refused(site, thief.get(address))


def test_an_answer_of_another_issuer_is_refused(site: Site, browser: httpx.Client) -> None:
    refused(site, browser.get(changed(way_back(site, browser), iss="http://127.0.0.1:1")))


def test_a_user_who_says_no_is_not_logged_in(site: Site, browser: httpx.Client) -> None:
    state = asked(site, browser)["state"][0]
    refused(site, browser.get(f"{site.address}{BACK_PATH}?error=access_denied&state={state}"))


def test_a_cookie_that_was_tampered_with_or_is_too_old_is_refused(site: Site, browser: httpx.Client) -> None:
    address = way_back(site, browser)
    (name,) = (key for key in browser.cookies if key.startswith("postwatch"))
    good = browser.cookies[name]
    for bad in (good[:-10] + "AAAAAAAAA=", "", "x", Fernet(Fernet.generate_key()).encrypt(b"[{}, '/']").decode()):
        with httpx.Client(cookies={name: bad}, timeout=PATIENCE) as client:
            refused(site, client.get(address))


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "/a\r\nb"])
def test_the_way_back_leads_to_this_site_only(site: Site, browser: httpx.Client, elsewhere: str) -> None:
    answer = log_in(browser, f"{site.address}{DEPART_PATH}?{urlencode({'next': elsewhere})}", "anna")
    assert browser.get(answer.headers["location"]).json()["next"] == "/"


def test_the_page_that_was_wanted_is_led_to(site: Site, browser: httpx.Client) -> None:
    answer = log_in(browser, f"{site.address}{DEPART_PATH}?{urlencode({'next': '/trace?id=1'})}", "anna")
    assert browser.get(answer.headers["location"]).json()["next"] == "/trace?id=1"


def test_a_provider_that_is_away_is_said_and_asked_again(tmp_path: Path) -> None:
    port = choose_port()
    redirect = f"http://127.0.0.1:{port}{BACK_PATH}"
    with python_provider(USERS, redirect) as provider:
        site = Site(port, settings_for(provider.issuer, tmp_path / "secret"))
        with site.served(), httpx.Client(timeout=PATIENCE) as browser:
            address = str(log_in(browser, site.address + DEPART_PATH, "anna").headers["location"])
            provider.stop()
            answer = browser.get(address)
            assert answer.status_code == 503
            assert "Log-in is not available at the moment" in answer.text
            assert site.admitted == []
    with Site(port, settings_for(f"http://127.0.0.1:{choose_port()}", tmp_path / "secret")).served() as site:
        assert httpx.get(site.address + DEPART_PATH, timeout=PATIENCE).status_code == 503


def test_a_provider_that_calls_itself_otherwise_is_not_believed(tmp_path: Path) -> None:
    port = choose_port()
    with python_provider(USERS, "") as provider:
        named_otherwise = provider.issuer.replace("127.0.0.1", "localhost")
        # It is found under this name, and answers with the other.
        settings = settings_for(named_otherwise + "/", tmp_path / "secret")
        with Site(port, settings).served() as site:
            assert httpx.get(site.address + DEPART_PATH, timeout=PATIENCE).status_code == 503


@pytest.mark.parametrize("issuer", ["http://login.example.net", "login.example.net", "ftp://127.0.0.1", "https://"])
def test_a_provider_is_asked_over_tls_only(issuer: str) -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_OPENID_ISSUER"):
        OpenIdDoor(OpenIdSettings(issuer=issuer, client_id="postwatch"), b"k")


def test_a_secret_that_cant_be_read_is_named(tmp_path: Path) -> None:
    settings = OpenIdSettings(issuer="https://x.example", client_id="a", client_secret_file=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="CLIENT_SECRET_FILE"):
        OpenIdDoor(settings, b"k")


def test_a_provider_needs_an_address_to_send_browsers_back_to() -> None:
    door = OpenIdDoor(OpenIdSettings(issuer="https://x.example", client_id="a"), b"k")
    with pytest.raises(SettingsError, match="POSTWATCH_ACCESS_PUBLIC_URL"):
        openid_router(door, nobody, "")


async def nobody(request: Request, identity: Identity, next_path: str, fingerprint: str) -> Response:
    raise AssertionError


ALL_ROLES = OpenIdSettings(engineer_groups=("e",), reseller_groups=("r",), owner_groups=("o",))
PURE: list[tuple[dict[str, object], Callable[[Identity], bool]]] = [
    ({"email": "a@a.example"}, lambda found: found.mailbox == ""),
    ({"email": "a@a.example", "email_verified": False}, lambda found: found.mailbox == ""),
    ({"email": "a@a.example", "email_verified": "false"}, lambda found: found.mailbox == ""),
    ({"email": "a@a.example", "email_verified": 1.5}, lambda found: found.mailbox == ""),
    ({"email": "A@A.example", "email_verified": "true"}, lambda found: found.mailbox == "a@a.example"),
    ({"email": ["a@a.example"], "email_verified": True}, lambda found: found.mailbox == ""),
    ({"groups": "e"}, lambda found: found.roles == {"engineer"}),
    ({"groups": {"e": 1}}, lambda found: found.roles == frozenset()),
    ({"groups": [["e"], 1, None]}, lambda found: found.roles == frozenset()),
    ({"groups": ["E", "ee"]}, lambda found: found.roles == frozenset()),
    ({"groups": ["o"]}, lambda found: found.roles == frozenset()),  # an owner without a name owns nothing
    ({"groups": ["o"], "preferred_username": "Anna"}, lambda found: found.roles == {"owner"} and found.name == "anna"),
]


@pytest.mark.parametrize(("claims", "holds"), PURE)
def test_only_what_a_provider_clearly_says_is_believed(
    claims: dict[str, object], holds: Callable[[Identity], bool]
) -> None:
    assert holds(identity_of({"sub": "1", **claims}, ALL_ROLES))


def test_a_path_of_claims_is_followed() -> None:
    settings = OpenIdSettings(groups_claim="realm_access.roles", engineer_groups=("e",))
    assert identity_of({"sub": "1", "realm_access": {"roles": ["e"]}}, settings).roles == {"engineer"}
    assert identity_of({"sub": "1", "realm_access": "e"}, settings).roles == frozenset()


def test_without_the_setting_an_address_opens_no_mailbox() -> None:
    claims = {"sub": "1", "email": "a@a.example", "email_verified": True}
    assert identity_of(claims, OpenIdSettings(mailboxes=False)) == Identity("openid 1", "openid")


def test_a_name_that_lower_case_makes_somebody_else_s_is_not_believed() -> None:
    """The Kelvin sign becomes a 'k'."""
    address = {"sub": "1", "email": "\u212aim@a.example", "email_verified": True}
    assert identity_of(address, ALL_ROLES).mailbox == ""
    named = identity_of(
        {"sub": "1", "preferred_username": "\u212aim", "groups": ["o"]}, OpenIdSettings(owner_groups=("o",))
    )
    assert (named.name, named.roles) == ("openid 1", frozenset())
