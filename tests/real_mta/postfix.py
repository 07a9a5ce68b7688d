"""A real Postfix, given by the folders of its daemons and commands, with all that can become of a recipient."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.real_mta.far_server import USUAL_SCRIPTS, FarServers, Script
from tests.real_mta.run import LOCAL, Letter, Run, free_port, make_certificate

LISTS = "lists.example"
"""The domain of aliases and of mailboxes of system users, which `local` delivers to."""
SCRIPTS = {
    **USUAL_SCRIPTS,
    "verify": Script(offers_tls=True),
    "never": Script(offers_tls=True),
    "maynot": Script(starttls="454 4.7.0 TLS not available", offers_tls=True),
    "mail550": Script(mail="550 5.7.1 you are not welcome"),
    "dot550": Script(dot="550 5.7.1 looks like spam; status=sent (250 ok)"),
    "filtered": Script(rcpt="550 5.1.1 odd words that a filter turns"),
    "status": Script(rcpt="452 4.2.2 soft words that a filter hardens"),
}
ADDRESSES = {name: f"127.0.0.{number}" for number, name in enumerate(SCRIPTS, 10)}
FILTER_ADDRESS = "127.0.0.1"
DEFERRED_BY = {
    "down": "", "banner421": "421", "ehlo421": "421", "nostarttls": "", "notls": "", "verify": "", "mail451": "451",
    "rcpt451": "451", "rcpt421": "421", "data451": "451", "dot451": "451", "drops": "", "ours535": "535",
    "filtered": "450",
}  # fmt: skip
BOUNCED_BY = {"mail550": "550", "data550": "550", "dot550": "550", "status": "452"}
LEVELS = {"tls": "encrypt", "nostarttls": "encrypt", "notls": "encrypt", "verify": "secure", "never": "none"}

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
command_directory = {commands}
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = web7.hosting.example
mydomain = hosting.example
myorigin = lists.example
mydestination = lists.example
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
local_recipient_maps =
smtpd_reject_unlisted_recipient = no
alias_maps = hash:{folder}/aliases
alias_database =
recipient_delimiter =
owner_request_special = yes
expand_owner_alias = no
forward_path = {folder}/forward/$user
mail_spool_directory = {folder}/mail/lists.example
mailbox_size_limit = 0
virtual_mailbox_domains = bakery.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/boxes
virtual_alias_maps = texthash:{folder}/virtual
virtual_minimum_uid = 1
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_mailbox_limit = 0
recipient_bcc_maps = texthash:{folder}/bcc
transport_maps = regexp:{folder}/transport
header_checks = regexp:{folder}/header_checks
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/access, permit_mynetworks, reject
smtpd_reject_filter_maps = regexp:{folder}/rejections
smtpd_command_filter = regexp:{folder}/commands
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/certificate.pem
smtpd_tls_key_file = {folder}/certificate.pem
smtp_tls_security_level = may
smtp_tls_policy_maps = texthash:{folder}/levels
smtp_tls_loglevel = 1
smtp_host_lookup = native
smtp_connection_cache_on_demand = no
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{folder}/passwords
smtp_sasl_security_options =
smtp_reply_filter = regexp:{folder}/replies
smtp_delivery_status_filter = regexp:{folder}/statuses
smtp_data_done_timeout = 10s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 3s
destination_concurrency_feedback_debug = no
default_destination_concurrency_failed_cohort_limit = 0
smtpd_delay_reject = yes
notify_classes =
"""
SERVICES = """
postlog unix-dgram n - n - 1 postlogd
{port} inet n - n - - smtpd
{filtered_port} inet n - n - - smtpd -o content_filter=scan:[{filter_address}]:{scanner_port}
{copied_port} inet n - n - - smtpd -o cleanup_service_name=copying
{back_port} inet n - n - - smtpd -o content_filter= -o receive_override_options={unmapped}
pickup unix n - n 1 1 pickup -o content_filter=scan:[{filter_address}]:{scanner_port}
cleanup unix n - n - 0 cleanup
copying unix n - n - 0 cleanup -o always_bcc=box-archive@bakery.example
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
scan unix - - n - - smtp -o smtp_tls_security_level=none -o smtp_send_xforward_command=yes
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""
HEADER_CHECKS = """
/^Subject: .*hc-info/ INFO seen
/^Subject: .*hc-warn/ WARN odd; from=<x@y.example> to=<z@y.example>
/^Subject: .*hc-replace/ REPLACE Subject: [list] changed
/^Subject: .*hc-prepend/ PREPEND X-Seen: yes
/^Subject: .*hc-bcc/ BCC box-b@bakery.example
/^Subject: .*hc-discard/ DISCARD thrown away
/^Subject: .*hc-redirect/ REDIRECT box-r@bakery.example
/^Subject: .*hc-hold/ HOLD look at this
/^Subject: .*hc-reject/ REJECT no such words here
"""
ALIASES = """
pair: box-p1@bakery.example, gone-p2@ok.far.example
owner-crew: box-owner@bakery.example
crew: box-c1@bakery.example, gone-c2@ok.far.example, c3@ok.far.example
owner-latecrew: box-owner@bakery.example
latecrew: c4@down.far.example, box-c5@bakery.example
command: "|(echo From MAILER; cat) >> {folder}/mail/command%lists.example"
badcommand: "|exit 1"
tempcommand: "|exit 75"
file: {folder}/mail/file%lists.example
hole: /dev/null
nest: pair2
pair2: box-n1@bakery.example
away: backup, "|(echo From MAILER; cat) >> {folder}/mail/away%lists.example"
awaybad: box-gone@bakery.example, "|(echo From MAILER; cat) >> {folder}/mail/awaybad%lists.example"
awaylate: box-bad@bakery.example, "|(echo From MAILER; cat) >> {folder}/mail/awaylate%lists.example"
included: :include:{folder}/included
"""
NAMES = {
    f"{address}[{address}]": f"mx.{name}.far.example[192.0.2.{address.rpartition('.')[2]}]"
    for name, address in ADDRESSES.items()
} | {"127.0.0.51": "198.51.100.7"}


class Postfix:
    """A Postfix instance in a folder of its own. Its master needs root."""

    def __init__(self, daemons: Path, commands: Path, folder: Path) -> None:
        self.daemons, self.commands, self.folder = daemons, commands, folder
        self.port, self.far_port, self.back_port, self.scanner_port = (free_port() for _ in range(4))
        self.filtered_port, self.copied_port = free_port(), free_port()
        folder.chmod(0o755)
        self._make_folders()
        self.etc = folder / "etc"
        listening = {ADDRESSES[name]: script for name, script in SCRIPTS.items() if name != "down"}
        self.far = FarServers(self.far_port, listening, make_certificate(folder))
        self._write_settings()
        self.call("postalias", f"hash:{folder}/aliases")
        self._master = subprocess.Popen(
            [daemons / "master", "-c", self.etc, "-d"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # its end takes its process group along
        )
        self._await_start()
        self._scanner: FarServers | None = None

    def start_scanner(self) -> None:
        """The content filter, which gives every message back: before that, its hand-over is refused."""
        script = {FILTER_ADDRESS: Script(gives_back_to=self.back_port)}
        self._scanner = FarServers(self.scanner_port, script, self.folder / "certificate.pem")

    def _make_folders(self) -> None:
        postfix, postdrop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        queue = self.folder / "queue"
        for part in ("log", "etc", "mail", "forward", "data", "mail/lists.example", "queue"):
            (self.folder / part).mkdir()
        os.chown(self.folder / "data", postfix, -1)
        os.chown(self.folder / "mail", 8, 8)
        (self.folder / "mail").chmod(0o1777)
        (self.folder / "mail/lists.example").chmod(0o1777)
        private = "active bounce corrupt defer deferred flush hold incoming private saved trace"
        for part in (*private.split(), "maildrop", "public", "pid"):
            (queue / part).mkdir(mode=0o700)
            if part != "pid":
                os.chown(queue / part, postfix, -1)
        os.chown(queue / "maildrop", postfix, postdrop)
        os.chown(queue / "public", postfix, postdrop)
        (queue / "maildrop").chmod(0o1777)
        (queue / "public").chmod(0o755)
        (queue / "pid").chmod(0o755)

    def _write_settings(self) -> None:
        folder = self.folder
        places = {
            "folder": folder, "daemons": self.daemons, "commands": self.commands, "port": self.port,
            "filtered_port": self.filtered_port, "copied_port": self.copied_port,
            "back_port": self.back_port, "scanner_port": self.scanner_port, "filter_address": FILTER_ADDRESS,
            "unmapped": "no_header_body_checks,no_address_mappings",
        }  # fmt: skip
        boxes = [f"{name}{number}" for name in ("box-", "letter", "away-") for number in range(1, 130)]
        boxes += [f"box-{word}" for word in "p1 c1 c5 n1 b r owner archive i1 f1 v1".split()]
        far = "".join(
            f"/@{name}\\.far\\.example$/ {'lmtp:inet:' if name == 'lmtp' else 'smtp:'}[{address}]:{self.far_port}\n"
            for name, address in ADDRESSES.items()
        )
        texts = {
            "etc/main.cf": MAIN.format(**places),
            "etc/master.cf": SERVICES.format(**places),
            "aliases": ALIASES.format(**places),
            "included": "box-i1@bakery.example, gone-i2@ok.far.example\n",
            "forward/games": "box-f1@bakery.example, gone-f2@ok.far.example, \\games\n",
            "boxes": "".join(f"{box}@{LOCAL} {box}@{LOCAL}\n" for box in boxes)
            + f"box-bad@{LOCAL} certificate/box-bad\n",
            "virtual": f"va@{LOCAL} box-v1@{LOCAL}, gone-v2@ok.far.example\n",
            "bcc": f"box-50@{LOCAL} box-51@{LOCAL}\n",
            "transport": far + "/@error\\.example$/ error:5.1.2 we do not send there\n"
            "/@later\\.example$/ retry:4.3.0 not now\n/@nowhere\\.example$/ discard:thrown away by us\n",
            "header_checks": HEADER_CHECKS,
            "access": f"refused-1@{LOCAL} REJECT policy says no\nrefused-2@{LOCAL} REJECT not now\n"
            f"greylisted-1@{LOCAL} DEFER greylisted\n"
            f"vanish-1@{LOCAL} DISCARD thrown away\nholdme-1@{LOCAL} HOLD look first\n"
            f"elsewhere-1@{LOCAL} REDIRECT box-r@{LOCAL}\n",
            "commands": "/^RCPT TO:<old(.*)>(.*)/ RCPT TO:<box$1>$2\n",
            "rejections": "/^554 5.7.1 <refused-2.*/ 450 4.7.1 come back later\n",
            "levels": "".join(f"[{ADDRESSES[name]}]:{self.far_port} {level}\n" for name, level in LEVELS.items()),
            "passwords": f"[{ADDRESSES['ours535']}]:{self.far_port} us:secret\n",
            "replies": "/^550 5.1.1 odd words(.*)/ 450 4.1.1 odd words$1\n",
            "statuses": "/^4.2.2 (.*soft words.*)/ 5.2.2 $1\n",
        }  # fmt: skip
        for name, text in texts.items():
            (folder / name).write_text(text)

    @property
    def log_file(self) -> Path:
        return self.folder / "log/maillog"

    def _await_start(self) -> None:
        for _ in range(100):
            if self.log_file.exists() and "daemon started" in self.log_file.read_text():
                return
            time.sleep(0.1)
        raise RuntimeError(f"Postfix did not start: {self.daemons}")

    def close(self) -> None:
        self._master.terminate()
        self._master.wait(20)
        self.far.close()
        if self._scanner:
            self._scanner.close()

    def call(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.commands / command, "-c", self.etc, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr

    def queue(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.call("postqueue", "-j").splitlines() if line.startswith("{")]

    def id_of(self, letter: Letter) -> str:
        """The queue id, from the queue and not from the log."""
        for _ in range(50):
            for message in self.queue():
                if message["sender"] == letter.sender and message["queue_name"] != "active":
                    return message["queue_id"]
            time.sleep(0.1)
        raise RuntimeError(f"{letter.name} is not on the queue")

    def change(self, option: str, letter: Letter) -> None:
        """`postsuper`, again where a queue run had just taken the message up."""
        for _ in range(50):
            if ": 1 message" in self.call("postsuper", option, self.id_of(letter)):
                return
            time.sleep(0.1)
        raise RuntimeError(f"postsuper {option} found no {letter.name}")


def scenarios(postfix: Postfix, run: Run) -> None:
    requeued = _before_the_filter(postfix, run)
    _usual(run)
    _header_checks(run)
    _aliases(run)
    _access(run, has_reject_filter=version_of(postfix.commands) >= "3.11")
    _stages(run)
    _by_hand(postfix, run)
    _requeue(postfix, run, requeued)
    run.settle(30)


def _usual(run: Run) -> None:
    run.send({f"box-1@{LOCAL}": "delivered", "a@ok.far.example": "delivered", "gone-1@ok.far.example": "bounced 550"})
    run.send({f"box-1@{LOCAL}": "delivered", "full-1@ok.far.example": "deferred 452"})
    run.send({"shut-1@ok.far.example": "bounced 554", "b@tls.far.example": "delivered"}, source="127.0.0.1")
    run.send({"x@lmtp.far.example": "delivered", "spam-1@lmtp.far.example": "bounced 550",
              "slow-1@lmtp.far.example": "deferred 450", "gone-2@lmtp.far.example": "bounced 550"})  # fmt: skip
    run.send({f"box-bad@{LOCAL}": "deferred", f"box-2@{LOCAL}": "delivered", f"box-gone@{LOCAL}": "bounced"})
    run.send({f"box-v1@{LOCAL}": "delivered", "gone-v2@ok.far.example": "bounced 550"}, [f"va@{LOCAL}"])
    run.send({f"box-50@{LOCAL}": "delivered", f"box-51@{LOCAL}": "delivered"}, [f"box-50@{LOCAL}"])
    run.send({"a@error.example": "bounced", "b@later.example": "deferred", "c@nowhere.example": "discarded"})
    run.send({f"box-3@{LOCAL}": "delivered"}, [f"old-3@{LOCAL}"])
    run.send({"d@never.far.example": "delivered", "e@maynot.far.example": "delivered"})


def _header_checks(run: Run) -> None:
    for word in ("info", "warn", "replace", "prepend"):
        run.send({f"box-4@{LOCAL}": "delivered", "gone-4@ok.far.example": "bounced 550"}, subject=f"an hc-{word} one")
    run.send({f"box-4@{LOCAL}": "delivered", f"box-b@{LOCAL}": "delivered"}, [f"box-4@{LOCAL}"], subject="hc-bcc")
    run.send({"g@ok.far.example": "discarded"}, [f"box-4@{LOCAL}", "g@ok.far.example"], subject="hc-discard")
    run.send({f"box-r@{LOCAL}": "delivered"}, [f"box-4@{LOCAL}", "h@ok.far.example"], subject="hc-redirect")
    run.send({f"box-4@{LOCAL}": "deferred"}, subject="hc-hold")
    run.send({f"box-4@{LOCAL}": "rejected", }, subject="hc-reject")  # fmt: skip


def _aliases(run: Run) -> None:
    run.send({f"box-p1@{LOCAL}": "delivered", "gone-p2@ok.far.example": "bounced 550"}, [f"pair@{LISTS}"])
    run.send({f"box-c1@{LOCAL}": "delivered", "gone-c2@ok.far.example": "bounced 550",
              "c3@ok.far.example": "delivered"}, [f"crew@{LISTS}"])  # fmt: skip
    run.send({"c4@down.far.example": "deferred", f"box-c5@{LOCAL}": "delivered"}, [f"latecrew@{LISTS}"])
    run.send({f"box-n1@{LOCAL}": "delivered"}, [f"nest@{LISTS}"])
    run.send({f"box-i1@{LOCAL}": "delivered", "gone-i2@ok.far.example": "bounced 550"}, [f"included@{LISTS}"])
    run.send({f"command@{LISTS}": "delivered", f"file@{LISTS}": "delivered"})
    run.send({f"badcommand@{LISTS}": "bounced", f"tempcommand@{LISTS}": "deferred"})
    run.send({f"backup@{LISTS}": "delivered", f"away@{LISTS}": "delivered"}, [f"away@{LISTS}"])
    run.send({f"box-gone@{LOCAL}": "bounced", f"awaybad@{LISTS}": "delivered"}, [f"awaybad@{LISTS}"])
    run.send({f"box-bad@{LOCAL}": "deferred", f"awaylate@{LISTS}": "delivered"}, [f"awaylate@{LISTS}"])
    run.send({f"games@{LISTS}": "delivered", f"box-f1@{LOCAL}": "delivered", "gone-f2@ok.far.example": "bounced 550"},
             [f"games@{LISTS}"])  # fmt: skip
    run.send({f"backup@{LISTS}": "delivered", f"nobody-here@{LISTS}": "bounced"})


def _access(run: Run, *, has_reject_filter: bool) -> None:
    run.send({f"refused-1@{LOCAL}": "rejected", f"box-8@{LOCAL}": "delivered"})
    if has_reject_filter:
        run.send({f"refused-2@{LOCAL}": "rejected", f"box-8@{LOCAL}": "delivered"})
    run.send({f"vanish-1@{LOCAL}": "discarded"})
    run.send({f"holdme-1@{LOCAL}": "deferred"}, [f"box-8@{LOCAL}", f"holdme-1@{LOCAL}"])
    run.send({f"box-r@{LOCAL}": "delivered"}, [f"elsewhere-1@{LOCAL}"])


def _stages(run: Run) -> None:
    for name, code in DEFERRED_BY.items():
        run.send({f"j@{name}.far.example": f"deferred {code}"})
    for name, code in BOUNCED_BY.items():
        run.send({f"k@{name}.far.example": f"bounced {code}"})


def _by_hand(postfix: Postfix, run: Run) -> None:
    stuck = "down.far.example"
    removed = run.send({f"m1@{stuck}": "cancelled", f"box-9@{LOCAL}": "delivered"})
    held = run.send({f"m2@{stuck}": "deferred", f"box-9@{LOCAL}": "delivered"})
    expired = run.send(
        {f"m3@{stuck}": "expired", "full-3@ok.far.example": "expired 452", f"box-9@{LOCAL}": "delivered"}
    )
    requeued = run.send({f"m4@{stuck}": "deferred", f"box-9@{LOCAL}": "delivered", "gone-9@ok.far.example": "bounced"})
    released = run.send({f"box-9@{LOCAL}": "delivered"}, subject="hc-hold, and let go")
    postfix.change("-d", removed)
    postfix.change("-h", held)
    postfix.change("-e", expired)
    postfix.change("-H", released)
    for _ in range(2):
        postfix.change("-r", requeued)
        postfix.call("postqueue", "-f")
        time.sleep(2)


def _before_the_filter(postfix: Postfix, run: Run) -> list[Letter]:
    """Letters for a content filter that does not listen yet, and so are deferred."""
    to = {f"box-60@{LOCAL}": "delivered", "n@ok.far.example": "delivered", "gone-10@ok.far.example": "bounced 550"}
    return [run.send(to, port=postfix.filtered_port), run.send(to, port=postfix.filtered_port)]


def _requeue(postfix: Postfix, run: Run, letters: Iterable[Letter]) -> None:
    """Twice in vain, then past the filter, which listens at last."""
    first, second = letters
    for _ in range(2):
        postfix.change("-r", first)
        postfix.call("postqueue", "-f")
        time.sleep(1)
    postfix.start_scanner()
    postfix.call("postqueue", "-f")
    run.wait(15, [first, second])
    to: Mapping[str, str] = {f"box-61@{LOCAL}": "delivered", "gone-11@ok.far.example": "bounced 550"}
    run.send(to, port=postfix.filtered_port)
    run.send({f"box-62@{LOCAL}": "delivered", f"box-archive@{LOCAL}": "delivered"}, [f"box-62@{LOCAL}"],
             port=postfix.copied_port)  # fmt: skip


def version_of(commands: Path) -> str:
    done = subprocess.run(
        [commands / "postconf", "-d", "-h", "mail_version"], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise RuntimeError(f"{commands} has no commands of Postfix")
    return done.stdout.strip()
