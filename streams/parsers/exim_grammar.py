"""The fields of Exim's log lines as regular expressions, in the order in which Exim writes them.

No expression here can backtrack over a stranger's words: values hold no blank, free text stands only at the end of a
line, and quantifiers are possessive, which makes them a third faster too.
"""

from __future__ import annotations

import re

ID = r"[0-9A-Za-z]{6}-(?:[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{11}-[0-9A-Za-z]{4})"
HEAD = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,6})?+( [+-]\d{4})?+ (?:\[\d++\] )?+"
    rf"(?:({ID}) (?:(<=|=>|->|\*\*|==|Completed|>>|\*>|\(=)(?: ++|(?<=d)$|(?<===)))?+)?+"
)
"""Second, fraction, offset, queue id, flag."""

QUOTED = r'"(?:[^"\\]++|\\.)*+"'
IP = r"[\w.:]++"
"""An address; of letters too, for logs in which somebody has masked it."""
CONNECTION = r"(?: (?:DS|I=\[[^\]\s]*+\](?::\w++)?+|TFO\*?+|PRX=\S++))*+"
TLS = rf"(?: (?:X=\S++|CV=\w++|DN={QUOTED}|SNI=(?:{QUOTED}|\S++)))*+"
SESSION = (
    r"(?: U=(\S++))?+(?: Ci=\S++)?+(?: P=(\S++))?+(?: L[-*.]?+(?= ))?+"
    rf"{TLS}(?: A=([^\s:]++)(?::([^\s,:]++)\S*+)?+)?+(?: (?:PRX=\S++|K(?= )|PRDR(?= )|SPF(?:=\w++)?+(?= )))*+"
    r"(?: S=(\w++))?+(?: (?:M8S=\d++|RT=\S++|Q=\S++|DKIM=\S++|DMARC=\w++|ARC(?= |$)))*+"
)
"""User, protocol, authenticator, login, size."""

ARRIVAL = re.compile(
    r"([^\s\"]\S*+)(?: R=(\S++))?+"
    rf"(?: H=([^\s()\[\]]++)?+(?: ?\([^\s()]*+\))?+ ?\[({IP})\](?::\w++)?+)?+"
    rf"{CONNECTION}{SESSION}(?: id\*?+=(\S++))?+(?: T=\"((?:[^\"\\]++|\\.)*+)\")?+(?: from <[^>\"]*+>)?+"
    r"(?: for ([^\"]++))?+$"
)
"""Sender, parent id, host, address, the SESSION, Message-ID, subject as escaped, recipients. No value has a blank."""

_ADDRESS = r"([^\s\"(<|>/:]\S*+)(?: <([^\s\"<>]++)>)?+(?: [FP]=<[^>\"]*+>)*+"
_PEER = (
    r"(?: H=(\S++)(?: DS)?+ \[([^\]\s]++)\](?::\w++)?+\*?+)?+(?: (?:I=\[[^\]\s]++\](?::\w++)?+|PS=\w++))*+"
    r"(?: X=(\S++) CV=\w++(?: DN=\"[^\"\\]*+\")?+)?+"
    r"(?: (?:A=[\w.@-]++(?::[\w.@-]++)?+|L|K|PRDR|DKIM=[^\s:]++(?::[^\s:]++)*+)(?![^ :]))*+"
)

DELIVERY = re.compile(
    rf"{_ADDRESS}(?: R=(\S++))?+(?: T=(\S++))?+(?: S=\d++)?+{_PEER}(?: C=\"(.*)\")?(?: [QD]T=\S++)*+$"
)
"""Final and original address, router, transport, host, address, TLS, answer."""
FAILURE = re.compile(rf"{_ADDRESS}(?: R=([^\s:]++))?+(?: T=([^\s:]++))?+{_PEER} ?: (.*)$")
"""Final and original address, router, transport, host, address, TLS, words."""
DEFER = re.compile(
    rf"{_ADDRESS}(?: R=([^\s:]++))?+(?: T=([^\s:]++))?+(?: routing)?+ defer \((-?\w++)\){_PEER}(?: ?: (.*))?+$"
)
"""Final and original address, router, transport, error number, host, address, TLS, words."""

_DRIVER = (
    rf"(?: F=<(?:{QUOTED})?[^>]*>)?(?: Q=\S+)?(?: SRS=<[^>]*>)?(?: P=<(?:{QUOTED})?[^>]*>)?"
    r"(?: R=([^\s:]+))?(?: T=([^\s:]+))?(?: S=\w+)?"
)
_ANY_PEER = (
    r"(?: H=([^\s\[\]]+)?(?: DS)?(?: ?\([^\s()]*\))? ?(?:\[([^\]\s]*)\](?::\w+)?)?\*?)?(?: I=\[[^\]\s]*\](?::\w+)?)?"
    r"(?: ST=\S+(?: \([^()\"]*+\))?+| PS=\w+| PRX=\S+| TFO\*?| DS| L[-*.]?(?= |$))*+"
    rf"(?: X=(\S+?)(?=:? |$))?(?: CV=\w+| DN={QUOTED}| SNI=\S+)*+(?: A=\S+?(?=:? |$))?"
    r"(?: L\*?(?= |$)| K(?= |$)| PRDR(?= |$)| DKIM=\S+?(?=:? |$))*+"
)
_TIMES = r"(?: QT=\S+?(?=:? |$)| DT=\S+?(?=:? |$))*+"
DELIVERY_TAIL = re.compile(rf"{_DRIVER}{_ANY_PEER}(?: C=\"(.*)\")?{_TIMES}$")
FAILURE_TAIL = re.compile(rf"{_DRIVER}{_ANY_PEER}{_TIMES} ?: (.*)$")
DEFER_TAIL = re.compile(rf"{_DRIVER}(?: routing| delivery)? defer(?: \((-?\w+)\))?{_ANY_PEER}{_TIMES}(?: ?: (.*))?$")
"""What may follow the addresses, whatever the log_selector; the same groups as above without the addresses."""

SMTP_WORDS = re.compile(
    r"(?:PRDR error after DATA: |(?:[A-Z]+ )?error from remote mail server after "
    r"(?:[A-Z]+ TO:<[^>]*+>(?: [A-Z]+=\S++)*+|[^:<]*+(?:<[^>]*+>)?+[^:<]*+): )"
    r"(?:host \S+ \[[^\]]*\](?::\d+)?: )?"
)
"""What Exim puts in front of the far server's words."""
SMTP_CODE = re.compile(r"([2-5]\d\d)(?:[ -](?:(\d\.\d{1,3}\.\d{1,3})(?=[ \\]|$))?|$)")
"""Reply code and enhanced code (RFC 5321 §4.2, RFC 3463 §2)."""
