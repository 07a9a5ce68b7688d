"""What a reason means and what to do about it, for the owner of the mailbox and for the engineer on call.

Invariant: every value of `outcome.REASONS` has its four sentences. None of them repeats a word of a log line.
"""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    meaning: str
    """One sentence in plain words, for the mailbox owner."""
    remedy: str
    """What the mailbox owner can do."""
    cause: str
    """One sentence for the engineer: where it comes from."""
    action: str
    """What the engineer can do."""


ADVICE = {
    "unknown-user": Advice(
        "There is no such mailbox at the recipient's domain.",
        "Check the spelling of the address and ask the recipient for the right one.",
        "The far server, or our own, knows no such recipient (5.1.1 and the like).",
        "If the address is ours, look for a deleted mailbox or alias; many of them from one sender mean an old list.",
    ),
    "mailbox-full": Advice(
        "The recipient's mailbox has no room for more mail.",
        "Tell the recipient by another way, and send again when there is room.",
        "The mailbox is over its quota (x.2.2).",
        "If the mailbox is ours, tell its owner or raise the quota; mail that was deferred goes on by itself.",
    ),
    "greylisted": Advice(
        "The recipient's server asks unknown senders to try again later.",
        "Nothing: the next try is made by itself and mostly succeeds within minutes.",
        "Greylisting: the far server wants the same sender, recipient and address to come again.",
        "Watch that retries leave from the same address; only delays of hours are worth a look.",
    ),
    "reputation": Advice(
        "The recipient's server does not trust the server that sent the mail.",
        "Ask your provider; sending again does not help before this is mended.",
        "The sending address is on a block list, or its reputation is bad there.",
        "Look the address up on the list that is named, find who sends spam through it, then ask for delisting.",
    ),
    "spam": Advice(
        "The recipient's server took the message for spam or found malware in it.",
        "Write it differently, with fewer links and attachments, or send it by another way.",
        "A content filter refused this message.",
        "Compare with other mail of the sender: an account that was broken into sends many of these at once.",
    ),
    "authentication": Advice(
        "The recipient's server could not verify that the mail comes from the sender's domain.",
        "Ask whoever keeps the domain's DNS to put its SPF, DKIM and DMARC records right.",
        "SPF, DKIM or DMARC failed for the sender's domain.",
        "Check the domain's records against our sending addresses, the DKIM key, and whether the mail was forwarded.",
    ),
    "rate-limit": Advice(
        "Too much mail was sent in a short time.",
        "Wait; what was deferred is tried again by itself, and large mailings are better spread out.",
        "A limit on messages, recipients or connections was reached, there or here.",
        "Slow down towards that provider, and see whether one account sends more than it ever did.",
    ),
    "dns": Advice(
        "The recipient's domain could not be found.",
        "Check the part behind the @ for a typing error.",
        "The domain has no usable MX or address record, or its name servers do not answer.",
        "Resolve it from the sending server; if other domains fail too, our own resolver is at fault.",
    ),
    "connection": Advice(
        "The recipient's server could not be reached.",
        "Nothing yet: further tries are made by themselves for some days.",
        "Connections were refused, timed out or broke off.",
        "Try the port from the sending server; if many far hosts fail at once, look at our own network or firewall.",
    ),
    "tls": Advice(
        "No encrypted connection to the recipient's server could be made.",
        "Ask your provider; the recipient may be reached by another address meanwhile.",
        "The TLS handshake or the certificate failed where encryption is required (MTA-STS, DANE or a setting).",
        "Compare both sides' protocol versions and certificates, and the domain's MTA-STS or TLSA records.",
    ),
    "size": Advice(
        "The message is larger than the recipient's server takes.",
        "Send a smaller attachment, or a link to it.",
        "The message is over a size limit (x.3.4, 552).",
        "If the limit is ours, see whether it is what customers were told.",
    ),
    "relay-denied": Advice(
        "The server that was asked does not take mail for the recipient's domain.",
        "When this is mail of your own, check that your mail program logs in; otherwise ask the recipient.",
        "A server refused to relay: its domain list or the MX record is wrong, or the client did not log in.",
        "Check the MX of the recipient's domain, and for our own server the list of hosted domains.",
    ),
    "routing": Advice(
        "The mail system found no way to deliver to this address.",
        "Check the address, and any forward or list that it goes through.",
        "The address can't be routed: a broken alias, a loop, or no route for the domain.",
        "Follow the address through the aliases and routers of the server that says so.",
    ),
    "policy": Advice(
        "The recipient's server refuses this message by a rule of its own.",
        "Ask the recipient, or send it in another way.",
        "A policy refused it: of the recipient's organisation, or of our own access lists.",
        "Read the answer for the rule's name or link; if it is our own rule, see what it matched.",
    ),
    "expired": Advice(
        "The mail could not be delivered for so long that the mail system gave up.",
        "Check the address, and send again when the recipient's server works.",
        "Every try failed until the longest time in the queue was over.",
        "The attempts tell why; the last real answer counts, not the giving up.",
    ),
    "other": Advice(
        "The recipient's server gave a reason of its own.",
        "Read the error message, or show it to your provider.",
        "No rule knows these words.",
        "If such answers are many, teach Postwatch their words (POSTWATCH_JOIN_REASONS_FILE).",
    ),
}
