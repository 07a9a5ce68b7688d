"""Puts what a filter's own lines say of a message in place of the answer that the MTA logged for it.

Invariant: the rows are the same whether the verdict or the answer comes first; both meet at the passage, which is kept
like a message. `passages` has the rules of what a verdict means.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.joining.lineages import Lineages
from postwatch.streams.joining.logins import find_login
from postwatch.streams.joining.merge import add_attempt, add_part, add_refusal
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import MOST_RECENT, OpenMessages
from postwatch.streams.joining.passages import (
    by_mailbox,
    decide,
    is_about_kept,
    judge,
    kept_back,
    note_asker,
    note_kept,
    others_refused,
    refusals_of,
)
from postwatch.streams.joining.recent import Recent
from postwatch.streams.parsers.events import ANSWERED, FILTER, LOGIN, Arrival, Attempt, Refusal
from postwatch.streams.parsers.queue_ids import DOVECOT_PREFIX


class Verdicts:
    """The passages of one partition."""

    def __init__(self, messages: OpenMessages, lineages: Lineages) -> None:
        self._messages = messages
        self._lineages = lineages
        self._saved: Recent[tuple[Message, Attempt]] = Recent(MOST_RECENT)
        """By Dovecot's id of the delivery: its line about what a script did may come when the message is closed."""

    def ask(self, message: Message, event: Attempt) -> None:
        """The filter's own lines, which may come before or after its answer, tell what became of the recipient."""
        passage = self._messages.find_or_open(message.server, event.passage_id, event.at)
        note_asker(passage, event)
        self._judge(passage, message, event)

    def ask_script(self, message: Message, event: Attempt) -> None:
        """The same of the script of a mailbox that Dovecot stored it in."""
        self._saved.put((message.server, event.passage_id), (message, event))
        passage = self._messages.find(message.server, event.passage_id)
        if passage is not None:
            self._heed_script(passage)

    def take(self, passage: Message, event: Attempt) -> None:
        """A filter's own line: for the messages whose answer named the passage, or for the client that waited."""
        passage.completed_at = max(passage.completed_at, event.at)
        if passage.queue_id.startswith(DOVECOT_PREFIX):
            self._heed_script(passage)
            return
        for part in list((passage.parts or {}).values()):
            if part.part == ANSWERED:
                self._refuse(passage, part)
                continue
            message = self._messages.find(passage.server, part.earlier_queue_id)
            if message is None:
                continue
            self._messages.hold(message)
            if is_about_kept(part):
                self._judge_kept(passage, message, part)
                continue
            for attempt in list(message.attempts.get(event.recipient, ())):
                if attempt.passage_id == passage.queue_id:
                    self._judge(passage, message, attempt)
        self._messages.refusals += [(passage.server, refusal) for refusal in others_refused(passage)]

    def _heed_script(self, passage: Message) -> None:
        """Put what the mailbox's script did in place of the answer; Dovecot's lines may come just behind it."""
        saved = self._saved.get((passage.server, passage.queue_id))
        if saved is None:
            return
        message, answer = saved
        told = by_mailbox(passage, answer)
        known = message.attempts.get(answer.recipient, [])
        if told is None or not any(one.line == answer.line for one in known):
            return
        self._messages.servers[message.server].setdefault(message.queue_id, message)
        self._messages.touch(message)
        message.attempts[answer.recipient] = [told if one.line == answer.line else one for one in known]
        message.change([answer.recipient])
        self._messages.links.append((passage, message))

    def take_kept(self, message: Message, event: Arrival) -> None:
        """Some recipients of the message are named by the filter alone, which kept them back."""
        passage = self._messages.find_or_open(message.server, event.session_id, event.at)
        self._judge_kept(passage, message, note_kept(passage, event))

    def _judge_kept(self, passage: Message, message: Message, noted: Arrival) -> None:
        self._messages.links.append((passage, message))
        for verdict in kept_back(passage, noted):
            add_attempt(message, verdict)
            self.keep_back(message, verdict)

    def keep_back(self, message: Message, verdict: Attempt) -> None:
        """The recipient does not go on in the message that the filter's answer named."""
        for attempt in message.attempts[verdict.recipient]:
            if attempt.handover != FILTER or not attempt.next_queue_id:
                continue
            self._messages.handed_on.discard((message, verdict.recipient))
            next_message = self._messages.find(message.server, attempt.next_queue_id)
            if next_message is not None and next_message.lineage is not None:
                self._messages.hold(next_message)
                next_message.lineage.handed.pop(verdict.recipient, None)
                if verdict.recipient not in next_message.attempts:
                    next_message.dirty = [one for one in next_message.dirty or () if one != verdict.recipient]

    def _judge(self, passage: Message, message: Message, event: Attempt) -> None:
        """Put what the filter told in place of its answer."""
        verdict = decide(passage, event.recipient)
        if verdict is None:
            message.awaits_verdict = True
            return
        self._lineages.go_on(message, judge(message, event, verdict))

    def take_answer(self, passage: Message, event: Arrival) -> None:
        """The answer of a filter before the queue. The process that logged it has told who its client is."""
        login = find_login(self._messages, passage.server, event) if event.session_id else None
        told = login.parts[LOGIN] if login is not None and login.parts else Arrival("", 0, "")
        if login is not None:
            self._messages.links.append((login, passage))
        event = msgspec.structs.replace(
            event,
            client_host=told.client_host,
            client_ip=told.client_ip,
            authenticated_as=told.authenticated_as,
            auth_method=told.auth_method,
        )
        add_part(passage, event)
        passage.completed_at = max(passage.completed_at, event.at)
        assert passage.parts is not None
        self._refuse(passage, passage.parts[ANSWERED])

    def _refuse(self, passage: Message, answer: Arrival) -> None:
        self._messages.refusals += [(passage.server, refusal) for refusal in refusals_of(passage, answer)]

    def tell_others(self, server: str, event: Refusal) -> None:
        """The filter's own lines name the other recipients of a message that was refused or thrown away."""
        passage = self._messages.find_or_open(server, event.passage_id, event.at)
        add_refusal(passage, event)
        passage.completed_at = max(passage.completed_at, event.at)
        for origin in (event.session_id, event.queue_id):
            known = self._messages.servers[server].get(origin)
            if known is not None:
                self._messages.links.append((known, passage))
        self._messages.refusals += [(server, refusal) for refusal in others_refused(passage)]
