"""The fields of Exim's lines about deliveries → attempts, whichever way the fields were found."""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DISCARDED, EXPIRED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import ASIDE, FILTER, REPLY, Attempt
from postwatch.streams.parsers.exim import ambiguous
from postwatch.streams.parsers.exim.grammar import ID, SMTP_WORDS
from postwatch.streams.parsers.programs import what_runs
from postwatch.streams.parsers.smtp import (
    MOST_OF_CODES,
    codes_of,
    is_lmtp,
    is_near,
    is_saved,
    known_codes,
    named_mailbox,
)

_WAIT_NUMBERS = frozenset(("-51", "-52", "-53", "-54", "-56", "-57"))
"""Exim's numbers from ERRNO_RRETRY on, some of which stood for another error before 4.95. So the words decide."""
_WAIT_WORDS = (
    "retry time not reached",
    "Retry time not yet reached",
    "reusing SMTP connection skips previous routing defer",
    "no host found for existing SMTP connection",
    "connection limit reached for all hosts",
    "concurrency limit reached for transport",
    "some host address lookups failed and retry time not reached",
)
SYSTEM_FILTER = "system-filter"
"""Exim's own name, without a domain, for what the recipients of its system filter are logged as made from."""
_EXIM_ID = compiled(ID)
_GIVEN_UP = "retry timeout exceeded"
_LONG_FAILURE = (
    "retry time not reached for any host after a long failure period",
    "all hosts for ",
    "all hosts have been failing ",
)
_ERROR_THEN_HOST = compiled(
    r"([^:\[\]=<>\"]{1,80}) H=(\S+)(?: DS)? \[([\w.:]+)\](?::\w+)?\*?(?: PRX=\S+?(?=:? |$))?"
    r"(?: I=\[([^\] ]*)\](?::\w+)?)?(?: TFO\*{0,2})?(?: DT=\S+?(?=:? |$))?(?:: (.*))?$"
)
"""An error of the system stands in front of the host, the rest behind it."""
_DATA_ERRORS = ("PRDR error ", "LMTP error ")
_NO_MAILBOX = frozenset("|/>:sd")
"""How what is no mailbox begins: a command, a file, a reply, nowhere, `save file`, `discarded`; see `what_beside`."""
_HOST_IN_TEXT = compiled(r": host (\S+) \[([0-9a-fA-F.:]+)\]")
_EHLO_ANSWER = " (EHLO response was: "
"""Exim falls back to HELO, and a server that answers 421 is gone by then: its answer stands in brackets."""
_DELIVER_TIME = compiled(r" DT=[\d.dhmsw]++$")
_LONGEST_ID = 40
_NEXT_ID = compiled(r"(?:\bid=|\bqueued as )([\w.-]{5,40})(?![\w@-])")
NO_ANSWER = (0, "", "", "")


def answered(answer: str, ip: str) -> tuple[int, str, str, str]:
    """Reply code, enhanced code, the id under which the next hop queued it, and whether that is Exim here again."""
    next_id = handover = ""
    named = answer.find("queued as ")
    if named >= 0:
        next_id = answer[named + 10 :]
        if not next_id.isalnum() or len(next_id) > _LONGEST_ID:
            next_id = next_id.partition(" ")[0]
            if not next_id.isalnum() or len(next_id) > _LONGEST_ID:
                next_id, handover = _next_hop(answer, ip)
    elif "id=" in answer:
        next_id, handover = _next_hop(answer, ip)
    code, enhanced = known_codes(answer[:MOST_OF_CODES])  # as `codes_of`, without the call
    return code, enhanced, next_id, handover


def _next_hop(answer: str, ip: str) -> tuple[str, str]:
    """The id under which the next hop queued it; a hand-over where that is Exim on this server again."""
    found = _NEXT_ID.search(answer)
    if found is None:
        return "", ""
    next_id = found[1].rstrip(".")
    is_here = ip.startswith(("127.", "::1")) and _EXIM_ID.fullmatch(next_id) is not None
    return next_id, FILTER if is_here else ""


def deferred(queue_id: str, at: int, line: str, fields: tuple[str, ...]) -> Attempt:
    """`fields` as the groups of DEFER."""
    final, original, router, transport, number, host, ip, source_ip, tls, words = fields
    if number in _WAIT_NUMBERS and words.startswith(_WAIT_WORDS):
        beside = what_beside(final) if final[:1] in _NO_MAILBOX else ""
        is_made = original == SYSTEM_FILTER
        final, original = final_address(final, original)
        return Attempt(
            queue_id,
            at,
            line,
            DEFERRED,
            is_attempt=False,
            recipient=final,
            original_recipient=original,
            response=words,
            remote_host=host,
            remote_ip=ip,
            tls=tls,
            router=router,
            transport=transport,
            is_expanded=is_made,
            beside=beside,
        )
    return failed(queue_id, at, line, DEFERRED, (final, original, router, transport, host, ip, source_ip, tls, words))


def failed(queue_id: str, at: int, line: str, status: str, fields: tuple[str, ...]) -> Attempt:
    """`fields` as the groups of FAILURE; their words may tell more than the status that the flag stands for."""
    final, original, router, transport, host, ip, source_ip, tls, response = fields
    beside = what_beside(final) if final[:1] in _NO_MAILBOX else ""
    is_made = original == SYSTEM_FILTER
    final, original = final_address(final, original)
    if not ip and status == DEFERRED and " H=" in response:
        placed = _ERROR_THEN_HOST.match(response)
        if placed:
            error, host, ip, source_ip, words_behind = placed.groups("")
            response = f"{error}: {words_behind}" if words_behind else error
    if " DT=" in response:
        response = _DELIVER_TIME.sub("", response)
    if "error " in response and ("error from remote mail server" in response or response.startswith(_DATA_ERRORS)):
        if not ip:
            named = _HOST_IN_TEXT.search(response)
            if named:
                host, ip = named.groups()
        words = SMTP_WORDS.match(response)
        if words:
            response = response[words.end() :]
    code, enhanced = codes_of(response)
    if not code and _EHLO_ANSWER in response:
        code, enhanced = codes_of(response.partition(_EHLO_ANSWER)[2])
    if transport and code and "<" in response[:12] and (not ip or (is_near(ip) and is_lmtp(transport))):
        final, original = named_mailbox(response, final, original)
    if status == BOUNCED and code < 500:
        if response.endswith(_GIVEN_UP) or response.startswith(_LONG_FAILURE):
            status = EXPIRED
        elif response == "delivery cancelled by administrator":
            status = CANCELLED
        elif not ip and response.endswith("Message discarded."):
            status = DISCARDED  # cPanel's limits: nobody is told
    return Attempt(
        queue_id, at, line, status, True, final, original, code, enhanced, response, host, ip, tls, router, transport,
        "", "", is_made, "", "", "", beside, False, source_ip,
    )  # fmt: skip


def what_beside(final: str) -> str:
    """ASIDE or REPLY for what is delivered to in place of a mailbox: a command, a file, nowhere, or a reply."""
    if final.startswith((":", "|", "/", "save ")) or final == "discarded":
        return (what_runs(final) or ASIDE) if final.startswith("|") else ASIDE
    return REPLY if final.startswith(">") else ""


def mailbox_in(answer: str, ip: str, transport: str, final: str, original: str) -> tuple[str, str]:
    """Final and original address, with the mailbox that the answer names, where the transport is a local one."""
    if answer.startswith(f"{final}>", answer.find("<") + 1):
        return final, original  # as nearly always, and quicker
    if "@" in final and (not ip or is_saved(answer, ip) or (is_near(ip) and is_lmtp(transport))):
        return named_mailbox(answer, final, original)
    return final, original


def final_address(final: str, original: str) -> tuple[str, str]:
    """The final address, and the one that it was made from where they differ, both lower-cased.

    Exim logs a local delivery with the bare local part, a quoted local part without its quotes, and a delivery into a
    pipe, a file or nowhere with the command or path: there the mailbox is the address that it was made from. For a far
    server without SMTPUTF8 it writes both parts of an address as ASCII.
    """
    final = final.lower()
    if not original:
        return final, ""
    original = original.lower()
    local, at_sign, domain = original.rpartition("@")
    if final in (local, original, "discarded") or final[0] in "|/>:" or final.startswith("save "):
        return original, ""
    if original == SYSTEM_FILTER:
        return final, ""  # nobody's mailbox: the filter delivers there beside the recipients, or in their place
    if '"' in local:
        plain = ambiguous.plain_local(local)
        if final in (plain, f"{plain}@{domain}"):
            return original, ""
    if "@" not in final and at_sign:
        return f"{final}@{domain}", original
    if "xn--" in final and _to_unicode(final) == _to_unicode(original):
        return original, ""
    return final, original


def _to_unicode(address: str) -> str:
    return re.sub(r"(?<![^@.])xn--([\w-]++)(?![^@.])", _decode_label, address)


def _decode_label(found: re.Match[str]) -> str:
    try:
        return found[1].encode().decode("punycode")
    except UnicodeError:
        return found[0]
