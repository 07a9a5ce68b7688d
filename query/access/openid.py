"""Log-in by OpenID Connect: code flow with PKCE (S256), state and nonce, by Authlib.

The invariant: nobody comes in by an answer that this browser did not ask for, or twice by one answer. What was asked is
kept in a short-lived, encrypted cookie. An address is believed only where the provider says that it is verified. A
session is renewed, or ended, by nothing but the answer to what was asked about it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App
from cryptography.fernet import Fernet, InvalidToken
from joserfc.errors import JoseError
from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.openid_settings import OpenIdSettings
from postwatch.query.access.roles import Identity, Role, is_address, keeps_its_letters
from postwatch.query.errors import ForbiddenError, OpenIdAwayError
from postwatch.query.translation import N_
from prometheus_client import Counter
from starlette.requests import Request

log = structlog.get_logger()

REFUSED = N_("You could not be logged in. Begin again.")
TRANSACTION_SECONDS = 600
"""How long a user may take at the provider."""
_TIMEOUT_SECONDS = 10.0
_METADATA_SECONDS = 3600.0
_NAMELESS = "openid "
_CLIENT = "provider"
_AWAY = frozenset({"server_error", "temporarily_unavailable"})
"""Errors of RFC 6749 that say nothing of the user."""
_SIGNATURES = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""With the provider's public key. One by the client's secret, or none, is not accepted, whatever the provider lists."""

_LOG_INS = Counter("postwatch_access_openid_log_ins_total", "Answers of the OpenID provider.", ["outcome"])


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser is sent, and the cookie that must come back with it."""

    address: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who came back, and the page that he wanted."""

    identity: Identity | None
    """None: asked without its user, the provider did not say who he is. Only where a session is proved again."""
    next_path: str
    subject: str = ""
    """The provider's own name for him, which never changes."""
    again: str = ""
    """The session that is proved again; empty: somebody logs in."""


def identity_of(claims: Mapping[str, Any], settings: OpenIdSettings) -> Identity:
    """What the provider says of a user → what Postwatch believes. Pure."""
    groups = _groups(claims, settings.groups_claim)
    roles: set[Role] = set()
    for role, names in (
        ("engineer", settings.engineer_groups),
        ("reseller", settings.reseller_groups),
        ("owner", settings.owner_groups),
    ):
        if groups & set(names):
            roles.add(role)  # type: ignore[arg-type]
    address = claims.get("email")
    mailbox = ""
    if settings.mailboxes and isinstance(address, str) and is_address(address) and _is_verified(claims):
        mailbox = address.strip().lower() if keeps_its_letters(address) else ""
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not name.strip() or not keeps_its_letters(name):
        # Never the name of an owner: `sub` means something to the provider alone.
        name, roles = mailbox or f"{_NAMELESS}{claims['sub']}", roles - {"owner", "reseller"}
    return Identity(name.strip().lower(), "openid", mailbox, frozenset(roles))


def hint_of(identity: Identity) -> str:
    """What a provider may know him by, for one that knows several users of a browser; empty: nothing."""
    return identity.mailbox or ("" if identity.name.startswith(_NAMELESS) else identity.name)


def _is_verified(claims: Mapping[str, Any]) -> bool:
    return claims.get("email_verified") in (True, "true")  # a text at some providers, against the specification


def _groups(claims: Mapping[str, Any], path: str) -> set[str]:
    """`groups`, or a path such as Keycloak's `realm_access.roles`."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = [found]
    return {group for group in found if isinstance(group, str)} if isinstance(found, list) else set()


class OpenIdDoor:
    """The way to the provider and back."""

    def __init__(self, settings: OpenIdSettings, key: bytes) -> None:
        """`key`: a secret that all servers share. Raises SettingsError; asks the provider nothing yet."""
        _check(settings)
        self._settings = settings
        self._secret = _read_secret(settings)
        self._seal = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"postwatch openid\0" + key).digest()))
        self._client = self._new_client()

    async def depart(self, redirect_uri: str, next_path: str, again: str = "", hint: str = "") -> Departure:
        """Begins a log-in; with the id of a session in `again`, one of which its user notices nothing.

        `hint`: who he was, for a provider that knows several users of one browser. Raises OpenIdAwayError.
        """
        words = {"prompt": "none", **({"login_hint": hint} if hint else {})} if again else {}
        request = Request({"type": "http", "method": "GET", "headers": [], "query_string": b"", "session": {}})
        try:
            client = await self._ready_client()
            answer = await client.authorize_redirect(request, redirect_uri, **words)
        except (httpx2.HTTPError, OAuthError, ValueError, RuntimeError) as error:
            raise self._away(error) from error
        asked = json.dumps([dict(request.session), next_path, again])
        return Departure(answer.headers["location"], self._seal.encrypt(asked.encode()).decode())

    async def arrive(self, request: Request, cookie: str) -> Arrival:
        """Ends a log-in: the provider's answer, and the cookie of `depart`. Raises ForbiddenError, OpenIdAwayError."""
        try:
            session, next_path, again = json.loads(self._seal.decrypt(cookie.encode(), TRANSACTION_SECONDS))
        except InvalidToken:
            raise self._refused("no log-in was begun in this browser, or it took too long") from None
        scope = {**request.scope, "session": session}
        if request.query_params.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise self._refused("the answer is another provider's")
        # Authlib looks at the state of codes, but not of errors: a stranger's link must end no session.
        is_ours = f"_state_{_CLIENT}_{request.query_params.get('state')}" in session
        try:
            client = await self._ready_client()
            token = await client.authorize_access_token(Request(scope))
            claims = await self._claims(client, token)
        except (OAuthError, JoseError) as error:
            # The text of an error may hold what a stranger wrote into the address.
            code = str(error.error if isinstance(error, OAuthError) else type(error).__name__)[:60]
            if again and is_ours and code in _AWAY:
                raise self._away(error) from error
            refusal = self._refused(code)
            if again and is_ours:
                return Arrival(None, next_path, again=again)
            raise refusal from error
        except (httpx2.HTTPError, ValueError, RuntimeError) as error:
            raise self._away(error) from error
        _LOG_INS.labels("accepted").inc()
        return Arrival(identity_of(claims, self._settings), next_path, claims["sub"], again)

    async def _claims(self, client: StarletteOAuth2App, token: dict[str, Any]) -> Mapping[str, Any]:
        """Those of the ID token, and those that the provider tells only when asked."""
        told = token.get("userinfo")
        if not told or not isinstance(told.get("sub"), str):
            raise self._refused("there is no ID token")
        more: Mapping[str, Any] = {}
        if client.server_metadata.get("userinfo_endpoint"):
            more = await client.userinfo(token=token)
            if more.get("sub") != told["sub"]:  # OpenID Connect Core 5.3.2
                raise self._refused("the user info is another user's")
        return {**more, **told}

    async def _ready_client(self) -> StarletteOAuth2App:
        """A client that knows the provider's metadata; read again each hour."""
        if time.time() - self._client.server_metadata.get("_loaded_at", time.time()) > _METADATA_SECONDS:
            self._client = self._new_client()
        client = self._client
        metadata = await client.load_server_metadata()
        if metadata.get("issuer") != self._settings.issuer:
            self._client = self._new_client()
            raise RuntimeError(f"it calls itself {str(metadata.get('issuer'))[:200]!r}")
        listed = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in listed if name in _SIGNATURES] or [
            "RS256"
        ]
        return client

    def _new_client(self) -> StarletteOAuth2App:
        return OAuth().register(
            _CLIENT,
            client_id=self._settings.client_id,
            client_secret=self._secret or None,
            server_metadata_url=self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration",
            client_kwargs={
                "scope": " ".join(self._settings.scopes),
                "code_challenge_method": "S256",
                "timeout": _TIMEOUT_SECONDS,
                **({} if self._secret else {"token_endpoint_auth_method": "none"}),
            },
        )

    def _refused(self, reason: str) -> ForbiddenError:
        _LOG_INS.labels("refused").inc()
        log.warning("openid_log_in_refused", reason=reason)
        return ForbiddenError(REFUSED)

    def _away(self, error: Exception) -> OpenIdAwayError:
        _LOG_INS.labels("away").inc()
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        log.warning("openid_provider_failed", issuer=self._settings.issuer, reason=reason)
        return OpenIdAwayError(f"the OpenID provider {self._settings.issuer} can't be asked: {reason}")


def _check(settings: OpenIdSettings) -> None:
    parts = urlsplit(settings.issuer)
    is_loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback)):
        raise SettingsError(f"POSTWATCH_OPENID_ISSUER={settings.issuer!r} can't be used: give its https:// address")
    if not settings.client_id:
        raise SettingsError("POSTWATCH_OPENID_CLIENT_ID is not set: the provider's name for Postwatch")
    if "openid" not in settings.scopes:
        raise SettingsError("POSTWATCH_OPENID_SCOPES must hold openid")


def _read_secret(settings: OpenIdSettings) -> str:
    if not settings.client_secret_file:
        return ""
    try:
        secret = Path(settings.client_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(
            f"POSTWATCH_OPENID_CLIENT_SECRET_FILE={settings.client_secret_file} can't be read: {reason}"
        ) from error
    if not secret:
        raise SettingsError(f"POSTWATCH_OPENID_CLIENT_SECRET_FILE={settings.client_secret_file} is empty")
    return secret
