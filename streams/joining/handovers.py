"""An attempt that did not end at its recipient: to whom it went, a filter or a script, and what tells the rest."""

from __future__ import annotations

from postwatch.streams.joining.lineages import Lineages
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.joining.return_ties import ReturnTies
from postwatch.streams.joining.verdicts import Verdicts
from postwatch.streams.parsers.events import FILTER, JUDGED, REDIRECTED, Attempt
from postwatch.streams.parsers.queue_ids import DOVECOT_PREFIX, PASSAGE_PREFIX


class Handovers:
    """Hands each attempt to the ties that it concerns; those of a forward are made with its arrival, see `arrivals`."""

    def __init__(self, messages: OpenMessages) -> None:
        self.lineages = Lineages(messages)
        self.returns = ReturnTies(messages, self.lineages)
        self.verdicts = Verdicts(messages, self.lineages)

    def take(self, message: Message, event: Attempt) -> None:
        """The recipient continues under another queue id on this server, or a filter's own line tells of it."""
        if event.passage_id.startswith(DOVECOT_PREFIX):
            self.verdicts.ask_script(message, event)
            if self.returns.has_entries or message.was_parked:
                self.returns.give(message, event)
        elif event.handover == REDIRECTED:
            self.returns.redirect(message, event)
        elif event.handover == JUDGED:
            if message.queue_id.startswith(PASSAGE_PREFIX):
                self.verdicts.take(message, event)
            else:
                self.verdicts.keep_back(message, event)
        elif event.passage_id and not event.told_by:
            self.verdicts.ask(message, event)
        else:
            self.lineages.go_on(message, event)

    def take_again(self, message: Message) -> None:
        """What was handed over before the message's own arrival was seen."""
        for attempts in list(message.attempts.values()):
            for attempt in attempts:
                if attempt.handover == FILTER:
                    self.take(message, attempt)
