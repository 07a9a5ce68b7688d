"""The fields of Exim's log lines as regular expressions, in the order in which Exim writes them.

No expression here can backtrack over a stranger's words: values hold no blank, free text stands only at the end of a
line, and quantifiers are possessive, which makes them a third faster too.
"""

from __future__ import annotations

import re

from postwatch.streams.expressions import compiled

ID = r"[0-9A-Za-z]{6}+-(?:[0-9A-Za-z]{6}+-[0-9A-Za-z]{2}+|[0-9A-Za-z]{11}+-[0-9A-Za-z]{4}+)"
HEAD = compiled(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,6})?+( [+-]\d{4})?+ (?:\[\d++\] )?+"
    rf"(?:({ID}) (?:(<=|=>|->|\*\*|==|Completed|>>|\*>|\(=)(?: ++|(?<=d)$|(?<===)))?+)?+",
    re.ASCII,
)
"""Second, fraction, offset, queue id, flag."""

QUOTED = r'"(?:[^"\\]++|\\.)*+"'
IP = r"[0-9A-Za-z.:]++"
"""An address; of letters too, for logs in which somebody has masked it."""
CONNECTION = r"(?: (?:DS|I=\[[^\] ]*+\](?::[0-9A-Za-z_]++)?+|TFO\*?+|PRX=[^ ]++))*+"
TLS = rf"(?: (?:X=[^ ]++|CV=\w++|DN={QUOTED}|SNI=(?:{QUOTED}|[^ ]++)))*+"
SESSION = (
    r"(?: U=([^ ]++))?+(?: Ci=[^ ]++)?+(?: P=[^ ]++)?+(?: L[*.]?+-?+(?= ))?+"
    rf"{TLS}(?: A=([^ :]++)(?::([^ ,:]++)[^ ]*+)?+)?+(?: (?:PRX=[^ ]++|K(?= )|PRDR(?= )|SPF(?:=\w++)?+(?= )))*+"
    r"(?: S=(\w++))?+(?: (?:M8S=\d++|RT=[^ ]++|Q=[^ ]++|DKIM=[^ ]++|DMARC=\w++|ARC(?= |$)))*+"
)
"""User, authenticator, login, size."""

ARRIVAL = compiled(
    r"([^ \"][^ ]*+)(?: R=([^ ]++))?+"
    rf"(?: H=([^ ()\[\]]++)?+(?: ?\([^ ()]*+\))?+ ?\[({IP})\](?::[0-9A-Za-z_]++)?+)?+"
    rf"{CONNECTION}{SESSION}(?: id\*?+=([^ ]++))?+(?: T=\"((?:[^\"\\]++|\\.)*+)\")?+(?: from <[^>\"]*+>)?+"
    r"(?: for ([^\"]++))?+$",
    re.ASCII,
)
"""Sender, parent id, host, address, the SESSION, Message-ID, subject as escaped, recipients. No value has a blank."""

_ADDRESS = r"([^ \"(<|>/:][^ ]*+)(?: <([^ \"<>]++)>)?+(?: [FP]=<[^>\"]*+>)*+"
_PEER = (
    r"(?: H=([^ ]++)(?: DS)?+ \[([^\] ]++)\](?::[0-9A-Za-z_]++)?+\*?+)?+"
    r"(?: (?:I=\[([^\] ]++)\](?::[0-9A-Za-z_]++)?+|PS=\w*+))*+"
    r"(?: X=([^ ]++) CV=\w++(?: DN=\"[^\"\\]*+\")?+)?+"
    r"(?: (?:A=[\w.@-]++(?::[\w.@-]++)?+|L\*?+|K|PRDR|DKIM=[^ :]++(?::[^ :]++)*+)(?![^ :]))*+"
)

DELIVERY = compiled(
    rf"{_ADDRESS}(?: R=([^ ]++))?+(?: T=([^ ]++))?+(?: S=\d++)?+{_PEER}(?: C=\"(.*)\")?(?: [QD]T=[^ ]++)*+$", re.ASCII
)
"""Final and original address, router, transport, host, its address, ours, TLS, answer."""
FAILURE = compiled(rf"{_ADDRESS}(?: R=([^ :]++))?+(?: T=([^ :]++))?+{_PEER} ?: (.*)$")
"""Final and original address, router, transport, host, its address, ours, TLS, words."""
DEFER = compiled(
    rf"{_ADDRESS}(?: R=([^ :]++))?+(?: T=([^ :]++))?+(?: routing)?+ defer \((-?\w++)\){_PEER}(?: ?: (.*))?+$"
)
"""Final and original address, router, transport, error number, host, its address, ours, TLS, words."""

_DRIVER = (
    rf"(?: F=<(?:{QUOTED})?[^>]*>)?(?: Q=[^ ]+)?(?: SRS=<[^>]*>)?(?: P=<(?:{QUOTED})?[^>]*>)?"
    r"(?: R=([^ :]+))?(?: T=([^ :]+))?(?: S=\w+)?"
)
_ANY_PEER = (
    r"(?: H=([^ \[\]]+)?(?: DS)?(?: ?\([^ ()]*\))? ?(?:\[([^\] ]*)\](?::\w+)?)?\*?)?(?: I=\[([^\] ]*)\](?::\w+)?)?"
    r"(?: ST=[^ ]+(?: \((?:[^()\"]++|\([^()\"]*+\))*+\))?+| PS=\w*+| PRX=[^ ]+| TFO\*?| DS| L[*.]?+-?+(?= |$))*+"
    rf"(?: X=([^ ]+?)(?=:? |$))?(?: CV=\w+| DN={QUOTED}| SNI=[^ ]+)*+(?: A=[^ ]+?(?=:? |$))?"
    r"(?: L[*.]?+-?+(?= |$)| K(?= |$)| PRDR(?= |$)| DKIM=[^ ]+?(?=:? |$))*+"
)
_TIMES = r"(?: QT=[^ ]+?(?=:? |$)| DT=[^ ]+?(?=:? |$))*+"
DELIVERY_TAIL = compiled(rf"{_DRIVER}{_ANY_PEER}(?: C=\"(.*)\")?{_TIMES}$")
FAILURE_TAIL = compiled(rf"{_DRIVER}{_ANY_PEER}{_TIMES} ?: (.*)$")
DEFER_TAIL = compiled(rf"{_DRIVER}(?: routing| delivery)? defer(?: \((-?\w+)\))?{_ANY_PEER}{_TIMES}(?: ?: (.*))?$")
"""What may follow the addresses, whatever the log_selector; the same groups as above without the addresses."""

_PATH = rf"<(?:{QUOTED})?+[^>]*+>"
SMTP_WORDS = compiled(
    r"(?:(?:PRDR|LMTP) error|(?:[A-Z]+ )?error from remote mail server) after "
    rf"(?:(?:pipelined )?[A-Z]+ (?:TO|FROM):{_PATH}(?: [A-Z][A-Z0-9-]*+(?:=(?:[^\s:]++|:(?! ))*+)?+)*+"
    rf"|[^:<\[]*+(?:{_PATH}|\[[^\] ]*+\])?+[^:<]*+): "
    r"(?:host \S+ \[[^\]]*\](?::\d+)?: )?"
)
"""What Exim puts in front of the far server's words."""

LONGEST_LISTED = 2000
"""Characters of an arrival up to which its list of recipients is certainly whole; four bytes to a character at most."""
_BUFFER_BYTES = 8170
"""Exim's buffer holds 8192 bytes of an entry, with its end. Before 4.99 nothing shows that a list was cut there."""


def whole_addresses(line: str, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """The recipients of an arrival without the last one, where the entry fills the buffer or ends within an address."""
    if len(recipients) < 2:
        return recipients
    _, at_sign, domain = recipients[-1].rpartition("@")
    ends_early = domain[-1:] in ("", ".", "-") if at_sign else "@" in recipients[0]
    fills_buffer = len(line) > LONGEST_LISTED and len(line.encode(errors="replace")) >= _BUFFER_BYTES
    return recipients[:-1] if ends_early or fills_buffer else recipients
