"""Events as tuples of their fields, to be sent from the process that parses to the one that joins.

Invariant: what is made of the tuples of events are the same events, in the same order. Fields are read by their
names as they stand here, for this runs for each event and compiled code takes a twentieth of what a look by name takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from postwatch.streams.parsers.events import Arrival, Attempt, Event, LifecycleEvent, Refusal, Step

Fields = tuple[Any, ...]
"""The kind of an event, and its fields in order."""
_ARRIVAL, _ATTEMPT, _LIFECYCLE_EVENT, _REFUSAL, _STEP = range(5)
_KINDS: tuple[Callable[..., Event], ...] = (Arrival, Attempt, LifecycleEvent, Refusal, Step)


def to_fields(events: Iterable[Event]) -> list[Fields]:
    """Strings, numbers and tuples of these alone."""
    found: list[Fields] = []
    for one in events:
        if type(one) is Attempt:
            found.append(
                (
                    _ATTEMPT,
                    one.queue_id,
                    one.at,
                    one.line,
                    one.status,
                    one.is_attempt,
                    one.recipient,
                    one.original_recipient,
                    one.smtp_code,
                    one.enhanced_code,
                    one.response,
                    one.remote_host,
                    one.remote_ip,
                    one.tls,
                    one.router,
                    one.transport,
                    one.next_queue_id,
                    one.handover,
                    one.is_expanded,
                    one.passage_id,
                    one.told_by,
                    one.envelope_sender,
                    one.beside,
                    one.is_original_unsure,
                    one.source_ip,
                )
            )
        elif type(one) is Arrival:
            found.append(
                (
                    _ARRIVAL,
                    one.queue_id,
                    one.at,
                    one.line,
                    one.sender,
                    one.recipients,
                    one.client_host,
                    one.client_ip,
                    one.system_user,
                    one.auth_method,
                    one.authenticated_as,
                    one.size_bytes,
                    one.message_id,
                    one.subject,
                    one.parent_queue_id,
                    one.part,
                    one.earlier_queue_id,
                    one.recipient_count,
                    one.session_id,
                )
            )
        elif type(one) is LifecycleEvent:
            found.append(
                (
                    _LIFECYCLE_EVENT,
                    one.queue_id,
                    one.at,
                    one.line,
                    one.status,
                    one.closes,
                    one.recipient,
                    one.is_before_queue,
                    one.response,
                    one.smtp_code,
                    one.enhanced_code,
                    one.is_claim,
                )
            )
        elif type(one) is Refusal:
            found.append(
                (
                    _REFUSAL,
                    one.queue_id,
                    one.at,
                    one.line,
                    one.sender,
                    one.recipient,
                    one.client_host,
                    one.client_ip,
                    one.system_user,
                    one.auth_method,
                    one.authenticated_as,
                    one.smtp_code,
                    one.enhanced_code,
                    one.response,
                    one.status,
                    one.closes,
                    one.session_id,
                    one.told_by,
                    one.passage_id,
                    one.answers_id,
                    one.is_changed,
                    one.awaits_arrival,
                    one.has_content,
                    one.message_id,
                    one.subject,
                )
            )
        elif type(one) is Step:
            found.append(
                (
                    _STEP,
                    one.queue_id,
                    one.at,
                    one.line,
                    one.kind,
                    one.words,
                    one.process,
                    one.file,
                    one.remote_host,
                    one.sender,
                    one.recipients,
                    one.message_id,
                    one.status,
                    one.answer,
                    one.group,
                    one.domain,
                    one.counts,
                    one.is_first,
                    one.remote_ip,
                    one.transport,
                )
            )
    return found


def from_fields(found: Iterable[Fields]) -> list[Event]:
    """The inverse of `to_fields`."""
    return [_KINDS[one[0]](*one[1:]) for one in found]
