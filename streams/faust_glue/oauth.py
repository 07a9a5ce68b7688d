"""Tokens for OAUTHBEARER, for aiokafka: asked of the token endpoint, and kept while they are fresh.

librdkafka's clients ask for their own. A token is renewed when four fifths of its life are over, so that each new
connection shows a valid one. An endpoint that gives none is a connection that failed: aiokafka tries again.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.outages import Repeats

log = structlog.get_logger()

_TIMEOUT_SECONDS = 10.0
_SHARE_OF_LIFE = 0.8
_USUAL_LIFE_SECONDS = 300.0
"""Where the endpoint does not say (RFC 6749 §5.1)."""
_MOST_ANSWER_BYTES = 65_536


class TokenSource(AbstractTokenProvider):  # type: ignore[misc]
    """One for all connections of a process. Faust's consumer has a loop of its own: nothing here belongs to a loop."""

    def __init__(self, kafka: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka = kafka
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._repeats = Repeats()

    async def token(self) -> str:
        """Raises KafkaConnectionError while the endpoint gives none."""
        if self._clock() >= self._renew_at:
            try:
                answer = await self._ask()
                self._token, life = _read(answer)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
                if self._repeats.is_due(reason, self._clock()):
                    log.warning("kafka_token_refused", url=self._kafka.oauth_token_url, reason=reason)
                raise KafkaConnectionError(f"no token from {self._kafka.oauth_token_url}: {reason}") from error
            self._renew_at = self._clock() + life * _SHARE_OF_LIFE
        return self._token

    async def _ask(self) -> Any:
        kafka = self._kafka
        form = {"grant_type": "client_credentials"} | ({"scope": kafka.oauth_scope} if kafka.oauth_scope else {})
        who = f"{kafka.oauth_client_id}:{kafka.oauth_client_secret}"  # as librdkafka writes it
        tls = ssl.create_default_context(cafile=kafka.oauth_ca_file or None)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                kafka.oauth_token_url,
                data=form,
                headers={"Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"},
                ssl=tls if kafka.oauth_token_url.startswith("https:") else False,
                allow_redirects=False,
            ) as response,
        ):
            if response.status != 200:
                raise ValueError(f"HTTP status {response.status}")
            body = await response.content.read(_MOST_ANSWER_BYTES)
            return json.loads(body)


def _read(answer: Any) -> tuple[str, float]:
    """The token and its life in seconds. Raises ValueError; the answer itself is told to nobody."""
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise ValueError("the answer has no access_token")
    life = answer.get("expires_in")
    is_number = isinstance(life, int | float) and not isinstance(life, bool)
    return token, max(float(life), 0.0) if is_number else _USUAL_LIFE_SECONDS
