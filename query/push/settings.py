"""Settings of `postwatch push`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.settings import setting


@dataclass(frozen=True, slots=True)
class PushSettings:
    """How webhooks are sent. Which there are stands in the state of the log-in (`POSTWATCH_ACCESS_STATE`)."""

    SECTION: ClassVar[str] = "push"

    group: str = setting("postwatch-push", doc="Consumer group; all that send webhooks of one fleet share it.")
    metrics_address: str = setting("127.0.0.1:9104", doc="host:port of /metrics and /health; empty: none.")
    timeout_seconds: float = setting(10.0, doc="An endpoint must have answered within this time.", least=1, most=60)
    give_up_days: float = setting(3.0, doc="An event that no try could deliver for so long is dead.", least=0.001)
    first_retry_seconds: float = setting(
        10.0, doc="After the first failure; each further wait is twice as long, up to an hour.", least=0.05
    )
    allowed_networks: tuple[str, ...] = setting(
        (),
        doc="Networks that may be sent to although they are not public, such as 10.20.0.0/16; plain http:// works "
        "there alone.",
    )
    unusual_minutes: float = setting(5.0, doc="Bounces above the usual are looked for this often.", least=0.01)
