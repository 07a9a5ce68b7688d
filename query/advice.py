"""What each reason means and what to do about it, for the owner of the mailbox and for the engineer on call.

Invariant: every value of `outcome.REASONS` has its four sentences. None of them quotes a log line.
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
        "The recipient's mailbox does not exist.",
        "Check the spelling of the address, or ask the recipient for the right one.",
        "The remote server or one of ours rejected the recipient (for example 5.1.1).",
        "If the address is ours, look for a deleted mailbox or alias. Many of these from one sender mean an old list.",
    ),
    "mailbox-full": Advice(
        "The recipient's mailbox is full.",
        "Contact the recipient another way, and send the message again when there is space.",
        "The mailbox is over its quota (x.2.2).",
        "If the mailbox is ours, tell its owner or raise the quota. Deferred mail is retried automatically.",
    ),
    "greylisted": Advice(
        "The recipient's server asks unknown senders to try again later.",
        "Do nothing: the message is retried automatically and usually arrives within minutes.",
        "Greylisting: the remote server accepts a retry from the same IP address, sender and recipient.",
        "Make sure that retries use the same IP address. Investigate only if the delay lasts for hours.",
    ),
    "reputation": Advice(
        "The recipient's server does not trust the server that sent the message.",
        "Tell your provider. Sending the message again does not help until the provider has fixed this.",
        "The sending IP address is on a block list or has a bad reputation with the recipient's provider.",
        "Look up the IP address on the block list that is named, stop the spam at its source, then ask for delisting.",
    ),
    "spam": Advice(
        "The recipient's server classified the message as spam or malware.",
        "Use fewer links and attachments, or contact the recipient another way.",
        "A content filter rejected this message.",
        "Compare it with the sender's other mail: a compromised account sends many of these at once.",
    ),
    "authentication": Advice(
        "The recipient's server could not verify that the message really came from the sender's domain.",
        "Ask whoever manages the domain's DNS to check its SPF, DKIM and DMARC records.",
        "SPF, DKIM or DMARC failed for the sender's domain.",
        "Check the domain's records against our sending addresses, the DKIM key, and whether the mail was forwarded.",
    ),
    "rate-limit": Advice(
        "Too much mail was sent in a short time.",
        "Wait: deferred mail is retried automatically. Spread large mailings over a longer time.",
        "A limit on messages, recipients or connections was reached, on the remote server or on ours.",
        "Slow down delivery to that provider, and check whether one account sends more than usual.",
    ),
    "dns": Advice(
        "The recipient's domain could not be found.",
        "Check the part of the address after the @ for a typing error.",
        "The domain has no usable MX or address record, or its name servers do not answer.",
        "Resolve the domain on the sending server. If other domains fail too, check our own resolver.",
    ),
    "connection": Advice(
        "The recipient's server could not be reached.",
        "Do nothing yet: the message is retried automatically for several days.",
        "Connections were refused, timed out or were closed.",
        "Try the port from the sending server. If many remote hosts fail at once, check our network and firewall.",
    ),
    "tls": Advice(
        "An encrypted connection to the recipient's server could not be established.",
        "Tell your provider, and use another address of the recipient in the meantime.",
        "The TLS handshake or the certificate failed, and encryption is required (MTA-STS, DANE or a setting).",
        "Compare the protocol versions and certificates of both sides, and the domain's MTA-STS or TLSA records.",
    ),
    "size": Advice(
        "The message is larger than the recipient's server accepts.",
        "Send a smaller attachment or a link to it.",
        "The message exceeds a size limit (x.3.4, 552).",
        "If the limit is ours, check whether it matches what customers were told.",
    ),
    "relay-denied": Advice(
        "The server does not accept mail for the recipient's domain.",
        "If you sent this message, check that your mail program logs in. Otherwise tell the recipient.",
        "A server refused to relay: its list of domains or the MX record is wrong, or the client did not log in.",
        "Check the MX record of the recipient's domain. If the server is ours, check its list of hosted domains.",
    ),
    "own-login": Advice(
        "The server through which your provider sends mail refused your provider's login or sender address.",
        "Tell your provider. Sending the message again does not help until the provider has fixed this.",
        "A smarthost refused our login (535) or does not let our login send with this sender address.",
        "This is yours to fix: check the user and password for the smarthost, and the sender addresses that it allows.",
    ),
    "routing": Advice(
        "The mail system found no way to deliver to this address.",
        "Check the address, and any forwarder or mailing list that it goes through.",
        "The address can't be routed: a broken alias, a mail loop, or no route for the domain.",
        "Follow the address through the aliases and routers of the server that reported this.",
    ),
    "policy": Advice(
        "The recipient's server rejected the message because of one of its own rules.",
        "Ask the recipient about the rule, or contact the recipient another way.",
        "A policy of the recipient's organization or one of our own access lists rejected the message.",
        "Look for a rule name or a link in the reply. If the rule is ours, find out what it matched.",
    ),
    "expired": Advice(
        "The message could not be delivered for so long that the mail system gave up.",
        "Check the address, and send the message again when the recipient's server works.",
        "Every attempt failed until the maximum time in the queue was over.",
        "Read the attempts: the last real reply tells the cause.",
    ),
    "other": Advice(
        "The recipient's server gave a reason that is not known here.",
        "Read the error message, or show it to your provider.",
        "No rule matches this reply.",
        "If there are many such replies, add a rule for them, as the operations guide describes.",
    ),
}
