"""Single lines of Postfix with the fields that whyscream/postfix-grok-patterns expects of them.

Compared is every field that Postwatch keeps; a line that it calls of no interest must expect none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED
from postwatch.streams.parsers.events import Arrival, Attempt, Ignored, Parsed, Refusal
from postwatch.streams.parsers.postfix.daemons import parse_message

from tests.corpora.check import Check

_PAIR = re.compile(r'\b(to|from|message-id|size|dsn|orig_to|sasl_username)=(?:<((?:"[^"]*")?[^>]*)>|([^\s,]+))')
_STATUSES = {"sent": DELIVERED, "bounced": BOUNCED, "deferred": DEFERRED, "expired": EXPIRED}
_NO_MESSAGE = ("CONNECT", "HELO", "EHLO", "VRFY", "ETRN", "")
"""Commands that carry no mail: whoever is refused there has sent nobody anything."""
_KEPT_ACTIONS = ("reject", "discard", "milter-reject")


def check(corpora: Path) -> Iterator[Check]:
    folder = corpora / "postfix-grok-patterns" / "test"
    if not folder.is_dir():
        return
    compared = 0
    differences: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        case = yaml.safe_load(path.read_text())
        agent = path.stem.rpartition("_")[0]
        message = str(case["data"])
        parsed = parse_message(f"postfix/{agent}", message, 0, 0, message)
        expected = {name: str(value) for name, value in (case.get("results") or {}).items()}
        pairs = {
            name: quoted or bare for name, quoted, bare in _PAIR.findall(expected.get("postfix_keyvalue_data", ""))
        }
        compared += 1
        for name, wanted, found in _compare(parsed, expected, pairs):
            if wanted and wanted.lower() != found.lower():
                differences.append(f"{path.stem}: {name} {wanted!r}, found {found!r}: {message[:120]}")
    yield Check("postfix-grok-patterns", compared, 0, differences)


def _compare(parsed: Parsed, expected: dict[str, str], pairs: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, what is expected, what was found."""
    queue_id = expected.get("postfix_queueid", "")
    if isinstance(parsed, Attempt):
        status = expected.get("postfix_status", "")
        yield "queue id", queue_id, parsed.queue_id
        yield "status", _STATUSES.get(status, status), DELIVERED if parsed.status == DISCARDED else parsed.status
        yield "recipient", pairs["to"], parsed.recipient
        yield "dsn", pairs.get("dsn", ""), parsed.enhanced_code
        yield "relay", expected.get("postfix_relay_ip", ""), parsed.remote_ip
    elif isinstance(parsed, Refusal):
        if queue_id not in ("", "NOQUEUE"):
            yield "queue id", queue_id, parsed.queue_id
        yield "client", expected.get("postfix_client_ip", ""), parsed.client_ip
        yield "sender", pairs.get("from", ""), parsed.sender
        yield "recipient", pairs.get("to", ""), parsed.recipient
        if "postfix_status_code" in expected:
            yield "code", expected["postfix_status_code"], str(parsed.smtp_code)
    elif isinstance(parsed, Arrival):
        if "postfix_bounce_queueid" in expected:
            yield "bounce", expected["postfix_bounce_queueid"], parsed.queue_id
            yield "parent", queue_id, parsed.parent_queue_id
            return
        yield "queue id", queue_id, parsed.queue_id
        for name, found in (
            ("from", parsed.sender),
            ("message-id", parsed.message_id),
            ("sasl_username", parsed.authenticated_as),
        ):
            if name in pairs and found:
                yield name, pairs[name], found
        if "postfix_client_ip" in expected and parsed.client_ip:
            yield "client", expected["postfix_client_ip"], parsed.client_ip
    elif isinstance(parsed, Ignored):
        if expected.get("postfix_status", "") in _STATUSES or (
            expected.get("postfix_action", "") in _KEPT_ACTIONS
            and expected.get("postfix_smtp_stage", "") not in _NO_MESSAGE
        ):
            yield "interest", "an event", parsed.kind
    elif not isinstance(parsed, list) and hasattr(parsed, "reason"):
        yield "reading", "an event", f"unreadable: {parsed.reason}"
