"""The words of a reply that tell a reason, in the order in which they are tried.

Invariant: every expression reads lower case, and none can backtrack far: what lies between two words is bounded. A word
begins with its letters and looks back afterwards, so that a reply is searched for these letters alone. Remote
servers write the words, so a match picks a reason and nothing else.
"""

from __future__ import annotations

from postwatch.streams.expressions import compiled

_RULES = (
    (
        "greylisted",
        r"gr[ea]y-?list|postgrey|milter-greylist|internal resources? (?:is |are )?temporarily unavailable|"
        r"^4\d\d .{0,100}please come back later",
    ),
    (
        "policy",
        r"not rfc \d{4} compliant|not rfc.?compliant|duplicate header|not allowed to post|closed mailing list|"
        r"resolver\.rst\.(?!\w{0,20}size)|(?:in|out)bounds disabled|sender verify failed|connection refused - policy|"
        r"sender address is not allowed",
    ),
    (
        "spam",
        r"spam classification|blacklisted (?:url|link)|spam pattern|dt:spm|mi:spb",
    ),
    (
        "own-login",
        r"^53[45][ -]|sasl (?:login )?authentication (?:failed|failure)|temporary authentication failure|"
        r"submitter failed to|sending paused|unconfigured sending domain|unauthenticated senders? not allowed|"
        r"free accounts are for|dt:sum|unusual sending activity|sender is not allowed to relay",
    ),
    (
        "rate-limit",
        r"unusual rate|unusual amount|mail ?bomb|hl:i[cf]c|mi:(?:dmc|sfq|stc|c[ec]l)|rp:(?:[dqt]rc|c[ec]l)|"
        r"receivingrate|too much recipient|message threshold|server busy\. please try again later from|"
        r"limits? (?:for|on) (?:how many|the number of) messages|policy rejection.{0,3}quota",
    ),
    (
        "authentication",
        r"spf\b|dkim\b|dmarc|sender policy framework|arc\b(?<!\warc) fail|unauthenticated (?:e-?mail|sender|"
        r"message)|is unauthenticated|authentication (?:checks|level|information)|"
        r"sender id (?:\(pra\) )?not permitted|purported responsible|invalid ip for sending mail",
    ),
    (
        "own-login",
        r"authentication (?:credentials|failure|failed|unsuccessful|rejected|error|attempt\(s\) failed)|(?:bad|"
        r"invalid) (?:credentials|login)\b(?! for relay)|(?:username|login) and password not accepted|"
        r"incorrect authentication|password required|log ?in (?:with|through|via) your web browser|"
        r"too many login attempts|not owned by|no identity changes|permissions? to send as|"
        r"not allowed to send (?:as|from)|send as this sender|sendas ?denied|(?:e-?mail|sender|"
        r"from) address (?:is )?not verified|not match a verified|verified sender identity|"
        r"different address or alias|relaying disallowed as|sending for this account|account not subscribed|"
        r"(?:sender|sending account|your (?:sending )?account)\b.{0,30}(?:is |has been |temporarily )(?:disabled|"
        r"suspended|blocked from sending)|bad outbound sender|unregistered domain|from address is not one of your|"
        r"not an authorized sender|unauthori[sz]ed sender address",
    ),
    (
        "mailbox-full",
        r"too many (?:messages|mails) on the server|mailbox message limit|maximum number of messages in",
    ),
    (
        "rate-limit",
        r"rate.?limit|too many (?!hops|received|[\x22']|spam|unwanted|invalid|bad|recipients? (?:unknown|"
        r"rejected))|exceeded the (?:max|rate)|throttl|due to volume|excessive volume|"
        r"receiving (?:e-?)?mail (?:too quickly|at a rate)|has exceeded the max|(?:messages|e-?mails) per hour|"
        r"per hour message|frequency limited|large number of (?:e-?)?mails|(?:sending|submission|relay|"
        r"sent) (?:\w+ )?(?:quota|limit)|(?:daily|hourly) .{0,30}(?:quota|limit)|message quota exceeded|"
        r"thread limit exceeded|slow down|slower|sending too (?:fast|many|quickly)|trop de (?:connexions|"
        r"messages)|(?:max(?:imum)?|concurrent) .{0,30}(?:connections|sessions|recipients|per connection)|"
        r"exceeded (?:permitted|sending) limits?|connection (?:rate|limit)|limit your|exceeded threshold|"
        r"recipients? limit|receiving limit",
    ),
    (
        "mailbox-full",
        r"quota|(?:mailbox|account|inbox|folder|maildir|user|recipient|bo[iî]te)\b.{0,60}(?:\bfull\b(?! )|\bfull$|"
        r"is full|\bvoll\b|pleine|overdrawn)|\bfull (?:mail|in)box|mail(?:box)? full|(?:out of|exceed\w*|"
        r"not enough|insufficient|not sufficient|reached|over) .{0,40}(?:storage|disk space|mailbox limit|"
        r"disk quota)|storage (?:limit|space|allocation|full)|insufficient disk|no space left|disk (?:is )?full|"
        r"(?:not have|not) enough (?:storage |disk )?space|mailbox (?:size )?limit|mailbox (?:has )?exceed|"
        r"mailbox would exceed|speicher(?:volumen|platz)|disk space limit|too much mail data|"
        r"mailbox is at its limit|space has been used",
    ),
    (
        "unknown-user",
        r"account or domain may not exist|disableduser|recipientnotfound|#5\.1\.[01]\b|not our customer|"
        r"resolver\.adr\.|(?:is|has been) (?:currently |temporarily )?(?:suspended|deactivated)|temporary locked|"
        r"archived recipient|destinataire archiv|not an active address|missing home|nessun utente|badrecipient|"
        r"envelope recipient|no longer (?:on server|valid)|not listed in (?:the )?(?:domino|public)|"
        r"extended inactivity|recipient account is blocked|compte du destinataire est bloqu",
    ),
    (
        "reputation",
        r"spamhaus|spamcop|barracudacentral|sorbs|uceprotect|ivmsip|invaluement|senderscore|sender score|"
        r"senderbase|blacklist(?<!user in blacklist)|blocklist|black list|block list|block listed|rbl\b(?<!\wrbl)|"
        r"dnsbl|aup#\w{0,8}rbl|reputation|"
        r"listed (?:at|in|by|on)|blocked using|banned sending|\[tss?\d|user complaints|ip=\S{1,80} - |poor sender|"
        r"abusix|mailspike|\(dyn:t\d|messages from .{1,60} weren't sent|"
        r"ipcheck\.proofpoint|csi\.cloudmark|dnsbl-lookup|bad (?:sending|sender) ip|bad ip|dynamic.{0,30}\bip|"
        r"dial-?up|zombie|too many spam|unwanted messages|in patterns (?:which|that) are characteristic|bl0\d{3,}|"
        r"cxbl\b|ipbl\d|open proxy|sending spam|ip address (?:is|has been) (?:block|ban|reject)|"
        r"ip(?<!\wip)s?\b.{0,40}(?:blocked|banned)|your network is|ip address rejected|forbidden by your ip|"
        r"go away|not in whitelist|low reputation|mail from your ip|too many unwanted|"
        r"traffic not accepted from this ip|abus detecte|access denied, banned|suspicious activity|"
        r"part of their network|host blocked for spam|source bloqu|remotehost looks|smtp (?:server|relay) (?:of|"
        r"at) your "
        r"(?:isp|service provider)|hl:(?:rep|mep|ipb|ihu)|dt:rbl",
    ),
    (
        "spam",
        r"spam|virus|infected|malware|unsolicited|phish|suspicio|junk|content (?:denied|rejected)|eicar|surbl|"
        r"uribl|bulk (?:e-?mail|advert)|content filter|banned content|pattern detection|unacceptable content|"
        r"urlbl|bulk mail|message filtered|suspected bounce|unerw[uü]nscht",
    ),
    (
        "routing",
        r"loop(?:s|ed|ing)?\b(?<!\wloop)(?<!\wloops)|mailloop|too many hops|hop count|exceeded \d{1,4} hops|"
        r"received[\x22']? header|maximum hop|too many [\x22']?received",
    ),
    (
        "relay-denied",
        r"relay(?:ing)?\b.{0,30}(?:not permitted|denied|not allowed|prohibited|disallowed|refused|rejected)|"
        r"unable to relay|(?:permitted|allowed|configured) to relay|no relaying|relaying mail to|"
        r"not an open relay|as a relay|mail relay\b|cannot relay|not relay|not a gateway|rcpthosts|"
        r"isn't in my list|auth(?:entication)? (?:is )?required|requires? (?:smtp )?auth|"
        r"client (?:host rejected: )?was not authenticated|not authenticated(?! (?:for|by))|turn on smtp auth|"
        r"authentication turned on|not logged in|non-local|credentials for relay|send e?-?mail directly|"
        r"not one of our domains|domain\b.{0,80}\bnot hosted|not local host|permissions to submit to|"
        r"delivery is not allowed to|(?:don't|do not) handle mail for|local user only",
    ),
    (
        "tls",
        r"tls\b|ssl\b|certificate|tlsa|dnssec-invalid",
    ),
    (
        "dns",
        r"domain\b.{0,80}(?:not exist|n't exist|not found|must exist|not resolv|unresolv|unknown|not reachable)|"
        r"no such domain|sender domain|unknown domain|domain is invalid|valid sender domain|invalid domain|"
        r"must resolve|"
        r"find any host (?:by that name|named)",
    ),
    (
        "unknown-user",
        r"(?<!sender )(?<!sending )(?:account|mailbox|user|recipient|addressee|address|alias)\b.{0,60}(?:disabled|"
        r"closed|suspended|inactive|deactivated|terminated|discontinued|frozen|locked|archiv|expired|no longer|"
        r"not active|abandoned|suspend the)|(?:disabled|inactive|deactivated|suspended|closed) (?:user|account|"
        r"mailbox|e-?mail)",
    ),
    (
        "unknown-user",
        r"(?<!sender )(?:account|mail-?box|user|recipient|addressee|address|alias|local part|mail box|"
        r"empf[aä]nger|id)\b.{0,60}(?:unknown|not found|not exist|n't exist|not known|invalid|not valid|"
        r"unrecogni[sz]ed|not be found|not present|not listed|(?<!temporarily )unavailable|not available|"
        r"undeliverable|unbekannt|"
        r"nicht bekannt|inconnu|not a valid|not a known|not local|not ok|unavaiable|not our)",
    ),
    (
        "unknown-user",
        r"unbekannter? (?:empf|nutzer|benutzer)|"
        r"unknown (?:user|recipient|mailbox|address|account|local part|or illegal|e-?mail)|invalid (?:recipient|"
        r"mailbox|user|account)|no such|does not exist|doesn't exist|no (?:mail ?box|mail-box|account) (?:here|by|"
        r"for|found|available)|not a (?:known|valid) (?:user|mailbox|recipient|account)|no one at|nobody|"
        r"user doesn't have|unavailable user|utilisateur inconnu|(?<!sender )invalid address|"
        r"addresses were unknown|no valid recipients|not a local address|recipients? (?:is |was |"
        r"were )?(?:not accepted|undeliverable)|boite.{0,30}inconnu|no existe|n'existe|sconosciut|inesistente|"
        r"nie istnieje|badrcptto|validrcptto|(?<!sender )(?<!sender email )(?<!ip )address (?:is )?(?:rejected|"
        r"invalid)(?:\.?$|\.? \(in reply|: (?:undeliverable|access denied))|bad (?:destination|recipient) |"
        r"has moved|\b(?:4|5)\.1\.0 address rejected|not our user|not a registered|not found recipient|"
        r"can(?:'t|not) accept user|rejected recipients|recipient rejected(?!:)|that recipient is not allowed|"
        r"mailbox name not allowed|cannot deliver mail for",
    ),
    (
        "size",
        r"message (?:size|length|too (?:big|large))|exceeds .{0,60}size|size limit|too large|too big|"
        r"size (?:exceeds|exceeded)|per individual header|taille limite",
    ),
    (
        "dns",
        r"host (?:address )?lookup|name or service|unexpected name server|nameserver|(?:domain|"
        r"host) does not accept mail(?! from)|dns\b(?<!\wdns)|name service|no mx|lowest numbered mx|"
        r"mx\b(?<!\wmx).{0,60}(?:invalid|not found|non-existent|point)|null ?mx|reverse|rdns\b|ptr\b|"
        r"mismatches client ip|unresolvable|"
        r"not resolve|resolve (?:the )?(?:host|domain)|host not found|host unknown|unknown host|"
        r"find your hostname|name lookup|nxdomain|lookup fail(?<!temporary lookup fail)|"
        r"mx or srv|no nameserver|is the local host|"
        r"malformed name server|domain name not found|no (?:a|aaaa|address) record|cannot find your|"
        r"mail server for the domain",
    ),
    (
        "connection",
        r"connection (?:was )?(?:refused|timed out|reset|closed|lost|dropped|failed)|no route to host|timed? ?out|"
        r"unreachable|lost connection|closed connection|closing transmission channel|could not connect|"
        r"unable to connect|not accepting (?:network|connection|mail from)|server (?:is )?(?:too )?busy|network error|"
        r"esmtp not accepting|establish an smtp connection",
    ),
    (
        "routing",
        r"unrouteable|unroutable|alias|mailing list|no route|mail transport",
    ),
    (
        "policy",
        r"sender (?:address )?(?:is )?rejected|sender address.{0,60}not a valid|list of senders to accept|"
        r"user in blacklist|mass mailer|header error|not pre-?approved|not accept mail from|unsigned dsn|"
        r"potentially executable|corrupt message|bare [cl][rf]\b|"
        r"8-bit data in|mime headers|improperly.formatted|unnecessary base64|valid message-id|"
        r"valid address in the from",
    ),
    (
        "other",
        r"temporary (?:server|system|internal) (?:error|problem)",
    ),
)
"""Reason and words. Specific words stand before those that other answers hold too. Where two reasons share a word, the
longer form stands first: "sending quota" before "quota", "domain … not found" before "not found"."""

BY_WORDS = tuple((reason, compiled(words)) for reason, words in _RULES)

GENERIC = compiled(
    r"policy|policies|not allowed|access denied|reject|blocked|prohibit|not accepted|denied|verify failed|"
    r"not authori[sz]ed|not permitted|not authenticated|refuse|forbidden|invalid sender|bogus|\bbatv|"
    r"members-only|non-member|not subscribed|illegal|violation|organizational|not accepting|only accepting|"
    r"^on hold"
)
"""A refusal whose words tell no more; a code goes before it."""

ECHOED = compiled(r"<[^<>]{0,320}+>|(?<![^\s<>@])[^\s<>@]++@[^\s<>@]{1,255}+")
"""Addresses, which a reply only quotes. Looked for where a word begins: else each word is read from each character."""
LINKS = compiled(r"(?:https?://|www\.)\S+")
"""Links name their subject, and other subjects too."""
