"""The story of one delivery: what happened, in one plain sentence, what it means, what to do, and how it went.

Pure: a row as its viewer may see it → sentences. Each sentence is one whole message with named values, so that it can
be translated; it says nothing that the row does not tell.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from postwatch.query.advice import ADVICE, Advice
from postwatch.query.sentences import Clause, Moment, Sentence, Span, Value
from postwatch.query.statements import Delivery
from postwatch.query.translation import N_
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    RECEIVED,
    REJECTED,
    Attempt,
    Outcome,
)
from postwatch.streams.enrichment.reasons import BUILT_IN

MOST_FIRST_ATTEMPTS = 50
"""Of a row with more attempts, the first so many and the last are kept."""

CAUSES = {
    "unknown-user": N_("the mailbox does not exist"),
    "mailbox-full": N_("the mailbox is full"),
    "greylisted": N_("senders who are not known there have to try again later"),
    "reputation": N_("the server that sent the message is not trusted"),
    "spam": N_("the message was taken for spam or malware"),
    "authentication": N_("it could not be verified that the message comes from the sender's domain"),
    "rate-limit": N_("too much mail was sent in a short time"),
    "dns": N_("a domain or its mail server was not found"),
    "connection": N_("no connection could be made, or it broke"),
    "tls": N_("no encrypted connection could be made"),
    "size": N_("the message is too large"),
    "relay-denied": N_("mail for the recipient's domain is not accepted there"),
    "own-login": N_("the login or the sender address of your provider was not accepted"),
    "routing": N_("no way to deliver to this address was found"),
    "policy": N_("a rule does not allow the message"),
}
"""Each is a whole clause behind a colon. `other` and `expired` have none: the answer itself is shown."""

_NOBODY_ANSWERED = frozenset(("connection", "dns", "tls", "routing"))
_RETRIED = frozenset(("greylisted", "rate-limit", "connection"))
"""Reasons whose remedy is to wait, which helps nobody once the mail system has given up."""
_NO_ATTEMPT = ("retry time not reached", "some host address lookups failed and retry time not reached")
_GAVE_UP = re.compile(r"retry timeout exceeded|envelope expired|.{0,20}exceeds the expiry tim", re.IGNORECASE)
_ON_HOLD = "on hold"
_OUR_OWN = re.compile(r"127\.|::1$|localhost|/|private/|unix:")
_FAR = re.compile(r"smtp|remote|relay", re.IGNORECASE)
_PROGRAM = re.compile(r"pipe|prog|mailman|command", re.IGNORECASE)


class TimelineEntry(NamedTuple):
    """Something that happened, in the order of time."""

    at_ms: int
    said: Sentence
    status: str = ""
    """The status after it; empty: it changed none."""
    smtp_code: int = 0
    reply: str = ""
    """The server's words; may have several lines."""
    remote_host: str = ""
    remote_ip: str = ""
    is_same_reply: bool = False
    """The words of the attempt before, once more."""


class Story(NamedTuple):
    """What is told of a row."""

    headline: Sentence
    meaning: str
    """A message of ADVICE, or empty: there is nothing to explain."""
    remedy: str
    advice: Advice | None
    """For the engineer, its cause and action."""
    answer: str
    """The last real answer that a failure or a delay goes back to; empty: there is none."""
    timeline: tuple[TimelineEntry, ...]
    notes: tuple[Sentence, ...]


def story_of(row: Outcome) -> Story:
    """The row, which is what its viewer may see, as a story."""
    reason = cause_of(row)
    advice = ADVICE.get(reason) or ADVICE.get(row.reason)
    ended = row.status in (BOUNCED, EXPIRED)
    remedy = "" if advice is None else ADVICE["expired"].remedy if ended and reason in _RETRIED else advice.remedy
    return Story(
        headline=_headline(row, reason),
        meaning=advice.meaning if advice else "",
        remedy=remedy,
        advice=advice,
        answer="" if row.status in (DELIVERED, PENDING) else last_answer(row),
        timeline=_timeline(row),
        notes=tuple(_notes(row)),
    )


def cause_of(row: Outcome) -> str:
    """The reason; of an expiry that of the last real answer."""
    if row.status != EXPIRED:
        return row.reason
    answer = last_answer(row)
    code = row.enhanced_code if answer == row.response else ""
    return BUILT_IN.find_reason(BOUNCED, code, answer) if answer else row.reason


def last_answer(row: Outcome) -> str:
    """The last words that tell why; that the mail system gave up, or did not try yet, tells nothing."""
    words = [row.response, *(one.response for one in reversed(row.attempts) if one.status != DELIVERED)]
    return next((one for one in words if one and not _GAVE_UP.match(one) and not one.startswith(_NO_ATTEMPT)), "")


def far_server(remote_provider: str, remote_host: str, remote_ip: str) -> str:
    """Who answered, as people call it; empty: this mail system itself, or nobody."""
    host = "" if _OUR_OWN.match(remote_host) else remote_host
    address = "" if _OUR_OWN.match(remote_ip) or _OUR_OWN.match(remote_host) else remote_ip
    return remote_provider or host or address


def _headline(row: Outcome, reason: str) -> Sentence:
    at, cause = Moment(row.updated_at), CAUSES.get(reason)
    who = far_server(row.remote_provider, row.remote_host, row.remote_ip)
    if row.status == DELIVERED:
        return _arrived(row, who)
    if row.status == PENDING and isinstance(row, Delivery) and row.hops and not row.hops[-1].is_told:
        if row.hops[-1].server:
            return Sentence(
                N_("The message was handed to %(server)s on %(at)s, whose log has not told yet what became of it."),
                {"server": row.hops[-1].server, "at": at},
            )
        return Sentence(
            N_(
                "The message went on to another mail server of your provider on %(at)s, whose log has not told yet what"
                " became of it."
            ),
            {"at": at},
        )
    if row.status == PENDING:
        return Sentence(N_("The message is on its way. The log's last word on it is of %(at)s."), {"at": at})
    if row.status == CANCELLED:
        return Sentence(N_("An operator cancelled the message on %(at)s. It was not delivered."), {"at": at})
    if row.status == DEFERRED and row.response.startswith(_ON_HOLD):
        return Sentence(N_("The message is on hold since %(at)s, until an operator releases it."), {"at": at})
    if row.status not in _HEADLINES:  # of a newer version than this one
        return Sentence(N_("The log's last word on the message is of %(at)s."), {"at": at})
    if row.status == DISCARDED and reason == "policy":
        cause = None  # the sentence says so already
    refused = bool(who) and row.status != DISCARDED and row.smtp_code >= 400 and reason not in _NOBODY_ANSWERED
    message = _HEADLINES[row.status][refused, cause is not None]
    values: dict[str, Value] = {"at": at, "who": who, "cause": Clause(cause or "")}
    return Sentence(message, {name: value for name, value in values.items() if f"%({name})s" in message})


_HEADLINES = {
    # (another server refused it, the cause is known)
    BOUNCED: {
        (True, True): N_("%(who)s refused the message on %(at)s: %(cause)s."),
        (True, False): N_("%(who)s refused the message on %(at)s."),
        (False, True): N_("The message could not be delivered on %(at)s: %(cause)s."),
        (False, False): N_("The message could not be delivered on %(at)s."),
    },
    REJECTED: {
        (True, True): N_("%(who)s refused the message on %(at)s: %(cause)s."),
        (True, False): N_("%(who)s refused the message on %(at)s."),
        (False, True): N_("The mail server did not take the message on %(at)s: %(cause)s."),
        (False, False): N_("The mail server did not take the message on %(at)s."),
    },
    EXPIRED: {
        (True, True): N_("The mail system gave up on %(at)s. The last answer, from %(who)s, was: %(cause)s."),
        (True, False): N_("The mail system gave up on %(at)s, because %(who)s did not take the message for too long."),
        (False, True): N_("The mail system gave up on %(at)s. The last problem was: %(cause)s."),
        (False, False): N_(
            "The mail system gave up on %(at)s, because the message could not be delivered for too long."
        ),
    },
    DEFERRED: {
        (True, True): N_("On %(at)s %(who)s did not take the message: %(cause)s. It is tried again automatically."),
        (True, False): N_("On %(at)s %(who)s did not take the message. It is tried again automatically."),
        (False, True): N_("On %(at)s the message could not be delivered: %(cause)s. It is tried again automatically."),
        (False, False): N_("The message waits in the mail system. The log's last word on it is of %(at)s."),
    },
    DISCARDED: {
        (False, True): N_("A rule or a filter discarded the message on %(at)s: %(cause)s."),
        (False, False): N_("A rule or a filter discarded the message on %(at)s. It was not delivered."),
    },
}


def _arrived(row: Outcome, who: str) -> Sentence:
    at = Moment(row.updated_at)
    if "lmtp" in row.transport.lower() or (not who and row.transport and not _FAR.search(row.transport)):
        if _PROGRAM.search(row.transport):
            return Sentence(
                N_("The message was handed to a program on %(at)s, such as a mailing list or an automatic reply."),
                {"at": at},
            )
        return Sentence(N_("The message was delivered into the mailbox on %(at)s."), {"at": at})
    if who:
        return Sentence(N_("%(who)s accepted the message on %(at)s."), {"who": who, "at": at})
    if row.transport:
        return Sentence(N_("The next mail server accepted the message on %(at)s."), {"at": at})
    return Sentence(N_("The message was delivered on %(at)s."), {"at": at})


def _timeline(row: Outcome) -> tuple[TimelineEntry, ...]:
    """What came in, the attempts, and what ended it where no attempt did."""
    entries = [TimelineEntry(row.queued_at, _came_in(row))]
    before = ""
    for one in row.attempts:
        if not one.response.startswith(_NO_ATTEMPT):
            entries.append(_entry(row, one)._replace(is_same_reply=bool(before) and one.response == before))
            before = one.response
    if row.status == CANCELLED and (not row.attempts or row.attempts[-1].status != CANCELLED):
        entries.append(TimelineEntry(row.updated_at, Sentence(N_("An operator cancelled the message.")), CANCELLED))
    elif not row.attempts and row.status not in (PENDING, DEFERRED):
        reply = row.response
        said = Sentence(_BY_ITSELF.get(row.status, _BY_ITSELF[PENDING]))
        entries.append(TimelineEntry(row.updated_at, said, row.status, row.smtp_code, reply))
    return tuple(entries)


def _came_in(row: Outcome) -> Sentence:
    if row.status == REJECTED:
        named = row.client_host or row.client_ip
        message = N_("%(client)s offered the message.") if named else N_("The message was offered.")
        return Sentence(message, {"client": named} if named else {})
    if row.authenticated_as and row.client_ip:
        return Sentence(
            N_("%(login)s handed the message in, from %(client)s."),
            {"login": row.authenticated_as, "client": row.client_host or row.client_ip},
        )
    if row.authenticated_as:
        return Sentence(N_("%(login)s handed the message in."), {"login": row.authenticated_as})
    if row.client_host or row.client_ip:
        return Sentence(
            N_("The mail server received the message from %(client)s."), {"client": row.client_host or row.client_ip}
        )
    return Sentence(N_("The mail server received the message."))


_ENDED = {
    DELIVERED: N_("The message was delivered."),
    BOUNCED: N_("The message could not be delivered."),
    REJECTED: N_("The mail server did not take it."),
    EXPIRED: N_("The mail system gave up."),
    DISCARDED: N_("A rule or a filter discarded the message."),
    CANCELLED: N_("An operator cancelled the message."),
}
_BY_SERVER = {
    DELIVERED: N_("%(who)s accepted the message."),
    BOUNCED: N_("%(who)s refused the message."),
    DEFERRED: N_("%(who)s did not take the message yet."),
}
_BY_ITSELF = {**_ENDED, DEFERRED: N_("The message could not be delivered yet."), PENDING: N_("The message went on.")}


def _entry(row: Outcome, one: Attempt) -> TimelineEntry:
    is_last_host = bool(one.remote_host) and one.remote_host == row.remote_host
    who = far_server(row.remote_provider if is_last_host else "", one.remote_host, one.remote_ip)
    answered = one.smtp_code >= 200 or one.status == DELIVERED
    said = Sentence(_BY_ITSELF.get(one.status, _BY_ITSELF[PENDING]))
    if who and answered and one.status in _BY_SERVER:
        said = Sentence(_BY_SERVER[one.status], {"who": who})
    elif one.status == DELIVERED and row.direction == RECEIVED and "smtp" not in row.transport.lower():
        said = _without_time(_arrived(row, who))
    return TimelineEntry(one.at, said, one.status, one.smtp_code, one.response, one.remote_host, one.remote_ip)


def _without_time(said: Sentence) -> Sentence:
    short = {
        "The message was delivered into the mailbox on %(at)s.": N_("The message was delivered into the mailbox."),
        "The message was handed to a program on %(at)s, such as a mailing list or an automatic reply.": N_(
            "The message was handed to a program."
        ),
    }
    return Sentence(short.get(said.message, _ENDED[DELIVERED]))


def _notes(row: Outcome) -> list[Sentence]:
    notes: list[Sentence] = []
    if isinstance(row, Delivery) and row.hops and row.hops[0].server:
        names = " → ".join(dict.fromkeys((row.server, *(hop.server for hop in row.hops))))
        notes.append(Sentence(N_("The message went from server to server: %(servers)s."), {"servers": names}))
    who = far_server(row.remote_provider, row.remote_host, row.remote_ip)
    if row.status == DELIVERED and who and "lmtp" not in row.transport.lower():
        notes.append(
            Sentence(
                N_(
                    "Accepted means: that server took the message over. Whether it lies in the inbox or among the spam,"
                    " and whether somebody has read it, no log here tells."
                )
            )
        )
    if row.original_recipient:
        notes.append(
            Sentence(
                N_("The message was written to %(original)s, which leads to %(recipient)s."),
                {"original": row.original_recipient, "recipient": row.recipient},
            )
        )
    if row.status in (DELIVERED, BOUNCED, EXPIRED) and row.delay_ms >= 60_000:
        notes.append(Sentence(N_("It took %(span)s."), {"span": Span(row.delay_ms)}))
    if row.status == DELIVERED and row.tls and not re.search(r"none", row.tls):
        notes.append(Sentence(N_("The connection to the next server was encrypted.")))
    if len(row.attempts) > MOST_FIRST_ATTEMPTS:
        notes.append(
            Sentence(
                N_("Of all attempts, the first %(number)s and the last are listed."), {"number": MOST_FIRST_ATTEMPTS}
            )
        )
    if not row.account:
        notes.append(
            Sentence(N_("The log begins in the middle of this message, so its sender's account is not known."))
        )
    return notes
