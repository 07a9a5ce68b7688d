"""The doctor's look at webhooks: whether there are any, and whether what they were to be told has reached them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from postwatch.deploy.findings import OK, WARNING, Finding
from postwatch.query.wording import count


@dataclass(frozen=True, slots=True)
class WebhookFacts:
    working: int
    waiting: int
    dead: int
    last_failure: str = ""


def collect_webhooks(state: str) -> WebhookFacts | None:
    """None: there are none, or no state either; doctor makes none. Raises StateError, SettingsError."""
    if "://" not in state and not Path(state).expanduser().exists():
        return None
    # SQLAlchemy takes as long to load as all else that doctor looks at: who has no webhooks does not wait for it.
    from postwatch.query.access.state import StateStore
    from postwatch.query.push.outbox import Outbox
    from postwatch.query.push.webhooks import WebhookBook

    store = StateStore(state)
    try:
        working = {one.id for one in WebhookBook(store).working()}
        if not working:
            return None
        counts = [one for name, one in Outbox(store).counts().items() if name in working]
        failures = [one.note for one in counts if one.dead and one.note]
        waiting, dead = sum(one.waiting for one in counts), sum(one.dead for one in counts)
        return WebhookFacts(len(working), waiting, dead, failures[0] if failures else "")
    finally:
        store.close()


def judge_webhooks(facts: WebhookFacts) -> Finding:
    if not facts.dead:
        return Finding("webhooks", OK, f"{count(facts.working, 'webhook')}; {count(facts.waiting, 'event')} waiting.")
    seen = f"{count(facts.dead, 'event')} could not be delivered and will not be tried again"
    said = f": {facts.last_failure}" if facts.last_failure else ""
    return Finding("webhooks", WARNING, f"{seen}{said}.", "See `postwatch webhook list`, and mend the endpoint.")
