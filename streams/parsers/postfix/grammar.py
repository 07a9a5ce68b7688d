"""The fields of Postfix's log lines as regular expressions (Postfix 2.x to 3.x, the sources of its daemons).

No expression can backtrack over a stranger's words: an address is quoted or has no angle bracket, free text stands only
where a line ends, and quantifiers are possessive.
"""

from __future__ import annotations

from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.smtp import ADDRESS

_LONG = "[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]"
LONG_ID = rf"{_LONG}{{10}}z{_LONG}++"
ID = rf"(?:[0-9A-F]{{6,}}+(?=[: ]|$)|{LONG_ID})"
HEAD = compiled(
    r"([A-Z][a-z][a-z] [ \d]\d \d\d:\d\d:\d\d) [\w.:\[\]%-]++(?<!:) (postfix[\w.+-]*+/[\w./+-]++)\[\d++\]: "
    rf"(?:({ID}): )?+"
)
"""The usual head of a line, and the queue id, in one go: stamp, program, queue id."""
QUEUE_ID = compiled(rf"({ID}):? ")
WHOLE_ID = compiled(rf"{ID}$")
_BARE = r"([^\s,<>]++)"

DELIVERY = compiled(
    rf"to=(?:<{ADDRESS}>|{_BARE}), (?:orig_to=(?:<{ADDRESS}>|{_BARE}), )?+"
    r"relay=([^\s,\[]*+)(?:\[([^\]]*+)\](?::\d++)?+)?+, (?:conn_use=\d++, )?+delay=[\d.]++, (?:delays=[\d./]++, )?+"
    r"(?:tls=([^\s,]*+), )?+(?:dsn=(\d\.\d++\.\d++), )?+status=([\w-]++)(?: \((.*))?+$"
)
"""Recipient and original, each in angle brackets or bare; relay, its address; TLS, enhanced code, status, words.

The words end with the line, which may have been cut before its last parenthesis."""
QUEUED = compiled(
    rf"from=(?:<{ADDRESS}>|{_BARE}) ?+, (?:size=(\d++), nrcpt=\d++ \(queue active\)|status=((?:force-)?+expired), .*)$"
)
"""Sender, in angle brackets or bare; size, recipients; or the word for an expired one."""
ODD_ID = compiled(
    r"(?:(?!warning:|NOQUEUE:)\S{1,64}+ )?"
    r"(?:to=<?+[^,]*+,.{0,2000}? status=|from=<?+[^,]*+, size=\d|client=[^\s\[]*+\[|removed$|message-id=<)"
)
"""A line about a message behind something that is no queue id, or behind nothing."""
CLIENT_LINE = compiled(r"client=([^\s,\[]*+)\[([^\]]*+)\](?::\d++)?+(?:, (.*))?+$")
CLIENT_FIELDS = compiled(r", (?=(?:orig_queue_id|orig_client|sasl_method|sasl_username|sasl_sender)=)")
CLIENT_NAME = compiled(r"([^\s,\[]*+)\[([^\]]*+)\]")
PICKUP = compiled(rf"uid=(?P<uid>\d++) from=<{ADDRESS}>(?: orig_id=(?P<earlier>{ID}))?+$")
NOTICE = compiled(rf"(?:[a-z]++ )(?:non-delivery|delay|delivery status) notification: ({ID})$")
ACTION = compiled(
    r"(reject|milter-reject|discard|milter-discard|hold|milter-hold): "
    r"(?:([A-Z]++(?:-[A-Z]++)*+)(?: command)?+ from ([^\s\[]*+)\[([^\]]*+)\](?::\d++)?+: |(?:header|body|mime-error) )"
)
"""What was done; the command, the client's name and address, all empty for a header or a line of the body."""
TAIL_START = compiled(r"; (?=from=<|proto=)")
TAIL = compiled(rf"; (?:from=<{ADDRESS}>)?+(?:,?+ to=<{ADDRESS}>)?+(?:,?+ ?+proto=\w++)?+(?:,?+ helo=(?:<|$)|$)")
"""Sender and recipient of a refused command. The HELO name, which may hold anything, ends the line with its bracket."""
HEADER_TAIL = compiled(
    rf"; from=<{ADDRESS}>(?: to=<{ADDRESS}>)?+(?: proto=\w++)?+(?: helo=<.*?>(?=: |$))?+(?:: (.*))?+$"
)
"""Sender, recipient, and the reply to a header that was not wanted."""
SUBJECT_LINE = compiled(
    r"(?:warning|info|prepend|replace|filter|pass|redirect|bcc|strip): header (?i:subject) ?:(?:\?{1,2}+)?+"
)
"""A header check that lets the message go on. Postfix shows a line end and a tab of the header as question marks."""
ENDING_SUBJECT = compiled(r"(?:reject|discard|hold): header (?i:subject) ?:(?:\?{1,2}+)?+")
"""One that does not."""
FOLD = compiled(r"(?<=\?=)\?[ ?]++(?==\?)")
"""A line end between two encoded words, as Postfix shows it."""
ORIGIN = compiled(r" from (?:local|([^\s\[]*+)\[([^\s\[\]]*+)\](?::\d++)?+)(?=; from=<)")
SAID = compiled(
    r"(?:host [^\s\[]*+\[[^\]]*+\](?::\d++)?+ (?:said|refused to talk to me)|"
    r"(SASL) authentication failed; server [^\s\[]*+\[[^\]]*+\](?::\d++)?+ said): "
)
"""What stands before the remote server's own words; whether they answer our login."""
ENCRYPTED = compiled(
    r"(?!none\b|unknown\b)[a-z-]++(?::(?!none\b)[a-z-]++)?+(?:/!?+requiretls(?::none|:nocertmatch|\?)?+)?+$"
)
"""The TLS features of a connection that was encrypted (Postfix 3.11, `smtp_log_tls_feature_status`). A level that was
lowered to none, a violated one (`!`), or one that was not decided (`?`) stands for no encrypted connection."""
COMMAND = compiled(
    r"(?:delivered to command: |Command (?:died with (?:status|signal) \d++|time limit exceeded|failed: [^\"]*+): \")"
    r"(.++)"
    r"|(?:command line usage error|data format error|cannot open input|user unknown|host name unknown"
    r"|service unavailable|internal software error|system resource problem|critical OS file missing"
    r"|can't create user output file|input/output error|temporary failure|remote error in protocol|permission denied"
    r"|local configuration error)(?:\. Command output: |$)"
)
"""What local says of a command: its words, or what an exit code of sysexits.h means, which names no command."""
VERDICT = compiled(
    r"250 (?:(?:2\.\d\.\d )?+Ok, (?:discarded\b|id=[\w-]++, (?:(?P<bounce>BOUNCE)|DISCARDED)\b)"
    r"|2\.7\.0 BLOCKED \((?P<passage>[0-9A-F]{12,40})\)$|Virus Detected; Discarded Email$)"
)
"""What a filter says when it keeps a message back; whether it sent a bounce itself.

amavisd-new; Proxmox Mail Gateway; clamsmtp and proxsmtp."""
SAVED = compiled(r"250 2\.\d\.\d (?:<[^<>\s]++> )?+([\w+/]{18,}+(?::[TRP]\d++)*+) Saved$")
"""Dovecot's answer over LMTP, with its own id of the delivery."""
REJECTED_PASSAGE = compiled(r"554 5\.7\.1 Rejected for policy reasons \(([0-9A-F]{12,40})\)$")
"""The same before the queue, where it refused all recipients."""
PASSAGE = compiled(r"250 2\.5\.0 OK \(([0-9A-F]{12,40})\)$")
"""Proxmox Mail Gateway's answer, with its own id: it gave the message back, or put it into quarantine."""
