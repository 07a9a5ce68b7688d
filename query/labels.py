"""What people read for the words that a row is stored with: results, statuses, directions, reasons.

Invariant: every word of the contract has its label. Outside a page a word stays as it is stored, because people give it
to a command or to the API again.
"""

from __future__ import annotations

from postwatch.query.translation import N_, PLAIN, gettext, language

LABELS = {
    "accepted": N_("accepted"),
    "failed": N_("failed"),
    "pending": N_("pending"),
    "discarded": N_("discarded"),
    "deferred": N_("deferred"),
    "delivered": N_("delivered"),
    "bounced": N_("bounced"),
    "expired": N_("expired"),
    "rejected": N_("rejected"),
    "cancelled": N_("cancelled"),
    "in-progress": N_("in progress"),
    "failures": N_("failures"),
    "blocked": N_("blocked"),
    "sent": N_("sent"),
    "received": N_("received"),
    "unknown-user": N_("unknown user"),
    "mailbox-full": N_("mailbox full"),
    "greylisted": N_("greylisted"),
    "reputation": N_("reputation"),
    "spam": N_("spam"),
    "authentication": N_("authentication"),
    "rate-limit": N_("rate limit"),
    "dns": N_("DNS"),
    "connection": N_("connection"),
    "tls": N_("TLS"),
    "size": N_("size"),
    "relay-denied": N_("relay denied"),
    "own-login": N_("own login"),
    "routing": N_("routing"),
    "policy": N_("policy"),
    "other": N_("other"),
}


def label(word: str) -> str:
    """A word of a row as people read it; one that is not known stays as it is."""
    return word if language() is PLAIN or word not in LABELS else gettext(LABELS[word])
