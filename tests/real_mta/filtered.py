"""A real Postfix with filters and mailboxes: amavisd-new behind and before the queue, SpamAssassin by pipe, Dovecot.

Everything is Debian's. It runs in namespaces of its own, so that the packages' own paths, `/dev/log` and port 25 are
those of a mail server, and nothing of the machine is touched. Addresses are those that are reserved for documentation.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.real_mta.far_server import Accepted, FarServers, Script
from tests.real_mta.run import LOCAL, Run, make_certificate, rows_of

PROGRAMS = ("/usr/sbin/postfix", "/usr/sbin/amavisd", "/usr/bin/spamassassin", "/usr/sbin/dovecot")
PACKAGES = "postfix amavisd-new spamassassin dovecot-lmtpd dovecot-sieve"
MAIL_SERVER, MAILBOX_SERVER, CLIENT = "203.0.113.1", "10.0.0.5", "198.51.100.4"
FAR = {"ok": "198.51.100.25"}
PLAIN, BEHIND, PIPED, BEFORE = 25, 2525, 2526, 2527
"""Ports of the mail server by what filters their mail."""
SPAM = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
ATTACHED = (
    'MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name="a.exe"\r\n'
    'Content-Disposition: attachment; filename="a.exe"\r\n'
)
_START_SECONDS = 40
_MOST_SECONDS = 40
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")

HOSTS = f"""
127.0.0.1 localhost
{MAIL_SERVER} mx.hosting.example mx
{MAILBOX_SERVER} mailboxes.hosting.example
{CLIENT} mail.shop.example
{FAR["ok"]} mx.far.example
"""

MAIN = """
compatibility_level = 3.6
myhostname = mx.hosting.example
mydestination = localhost
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1, 203.0.113.1
inet_protocols = ipv4
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = yes
virtual_mailbox_domains = bakery.example
virtual_mailbox_maps = static:all
virtual_alias_maps = texthash:/etc/postfix/aliases
virtual_transport = lmtp:inet:10.0.0.5:24
transport_maps = texthash:/etc/postfix/transport
relay_domains = far.example
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
lmtp_destination_recipient_limit = 10
spam_destination_recipient_limit = 10
smtp-amavis_destination_recipient_limit = 10
minimal_backoff_time = 1000s
header_checks =
"""
TRANSPORT = "far.example smtp:[198.51.100.25]\n"
ALIASES = "office@bakery.example anna@bakery.example, fred@far.example\n"
_OFF = "-o content_filter= -o smtpd_proxy_filter= -o receive_override_options=no_unknown_recipient_checks"
MASTER = f"""
25 inet n - n - - smtpd
{BEHIND} inet n - n - - smtpd -o content_filter=smtp-amavis:[127.0.0.1]:10024
  -o receive_override_options=no_address_mappings
{PIPED} inet n - n - - smtpd -o content_filter=spam:dummy
{BEFORE} inet n - n - - smtpd -o smtpd_proxy_filter=127.0.0.1:10028 -o smtpd_proxy_options=
127.0.0.1:10025 inet n - n - - smtpd {_OFF}
127.0.0.1:10026 inet n - n - - smtpd {_OFF} -o smtpd_authorized_xforward_hosts=127.0.0.0/8
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
smtp-amavis unix - - n - 2 smtp -o smtp_send_xforward_command=yes
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
spam unix - n n - 2 pipe flags=Rq user=mail null_sender= argv=%s/filter -f ${{sender}} -- ${{recipient}}
"""
FILTER = """#!/bin/sh
# As in Postfix's FILTER_README: a simple filter that hands the message in again.
umask 077
trap 'rm -f in.$$ out.$$' 0 1 2 3 15
cd {folder}/filtering || exit 75
cat > in.$$ || exit 75
/usr/bin/spamassassin --local --cf='required_score 500' < in.$$ > out.$$ || exit 75
if grep -q '^X-Spam-Flag: YES' out.$$; then
    grep -q '^Subject: .*quiet' in.$$ && exit 0
    echo 'Message content rejected'; exit 69
fi
/usr/sbin/sendmail -G -i "$@" < out.$$
exit $?
"""
AMAVIS = """
use strict;
$max_servers = 2; $file = 'file';
$daemon_user = 'amavis'; $daemon_group = 'amavis';
$mydomain = 'hosting.example'; $myhostname = 'mx.hosting.example';
$MYHOME = '{folder}/amavis'; $TEMPBASE = "$MYHOME/tmp"; $QUARANTINEDIR = "$MYHOME/quarantine";
$db_home = "$MYHOME/db"; $enable_db = 0; $enable_global_cache = 0;
$pid_file = "$MYHOME/amavisd.pid"; $lock_file = "$MYHOME/amavisd.lock";
$do_syslog = 1; $syslog_ident = 'amavis'; $syslog_facility = 'mail'; $log_level = 0; $log_recip_templ = undef;
$inet_socket_bind = '127.0.0.1'; $inet_socket_port = [10024, 10028];
@inet_acl = qw(127.0.0.0/8); @mynetworks = qw(127.0.0.0/8); @local_domains_maps = ([".bakery.example"]);
$forward_method = 'smtp:[127.0.0.1]:10025'; $notify_method = 'smtp:[127.0.0.1]:10025';
$interface_policy{{'10028'}} = 'BEFORE';
$policy_bank{{'BEFORE'}} = {{ forward_method => 'smtp:[127.0.0.1]:10026',
    final_destiny_maps_by_ccat => {{ CC_SPAM, [ D_REJECT ], CC_BANNED, [ D_DISCARD ], CC_CATCHALL, [ D_PASS ] }} }};
$sa_local_tests_only = 1; $sa_tag_level_deflt = 2; $sa_tag2_level_deflt = 500; $sa_kill_level_deflt = 500;
$sa_dsn_cutoff_level = 100000; $sa_spam_subject_tag = undef;
$final_spam_destiny = D_DISCARD; $final_banned_destiny = D_DISCARD; $final_bad_header_destiny = D_PASS;
$final_destiny_maps_by_ccat{{+CC_SPAM}} = [
    {{ 'bouncy@bakery.example' => D_BOUNCE, 'strict@bakery.example' => D_REJECT }}, \\$final_spam_destiny ];
@spam_lovers_maps = ( {{ 'lover@bakery.example' => 1 }} );
@banned_files_lovers_maps = ( {{ 'lover@bakery.example' => 1 }} );
$banned_filename_re = new_RE(qr'.\\.exe$'i);
$bypass_decode_parts = 0; @av_scanners = (); @av_scanners_backup = (); @bypass_virus_checks_maps = (1);
$virus_admin = undef; $spam_admin = undef; $banned_admin = undef;
$spam_quarantine_to = 'spam-quarantine'; $spam_quarantine_method = 'local:spam-%m';
1;
"""
DOVECOT = """
protocols = lmtp
listen = 10.0.0.5
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot
default_login_user = nobody
default_internal_user = mail
default_internal_group = mail
log_path = syslog
syslog_facility = mail
ssl = no
mail_location = maildir:{folder}/mail/%u
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
hostname = mailboxes.hosting.example
postmaster_address = postmaster@bakery.example
service lmtp {{
  inet_listener lmtp {{
    address = 10.0.0.5
    port = 24
  }}
  user = mail
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/home/%u allow_all_users=yes
}}
protocol lmtp {{
  mail_plugins = sieve
}}
plugin {{
  sieve = file:{folder}/sieve/%n.sieve
  sieve_vacation_send_from_recipient = yes
}}
lda_mailbox_autocreate = yes
"""
SIEVE = {
    "filed": 'require ["fileinto"]; fileinto "Orders";',
    "moved": 'redirect "friend@far.example";',
    "moved-gone": 'redirect "gone-1@far.example";',
    "copied": 'require ["copy"]; redirect :copy "friend@far.example";',
    "away": 'require ["vacation"]; vacation :days 1 "I am away";',
    "thrown": "discard;",
    "refusing": 'require ["reject"]; reject "no such offers, please";',
    "kept-too": 'require ["fileinto"]; fileinto "Orders"; discard;',
    "thrown-last": 'require ["fileinto"]; discard; fileinto "Orders"; keep;',
    "moved-only": 'discard; redirect "friend@far.example";',
}


class Log(threading.Thread):
    """`/dev/log`, as a syslog daemon without a host would write it."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        Path("/dev/log").unlink(missing_ok=True)
        self._socket.bind("/dev/log")
        Path("/dev/log").chmod(0o666)

    def run(self) -> None:
        with self.path.open("a") as log:
            while True:
                said = self._socket.recv(65_536).decode("utf-8", "replace").rstrip("\n\0")
                found = re.match(r"<\d+>(\w{3} [ \d]\d \d\d:\d\d:\d\d) (.*)", said, re.DOTALL)
                if found:
                    log.write(f"{found[1]} mx {found[2]}\n".replace("\n", " ").rstrip() + "\n")
                    log.flush()


class FilteredRun(Run):
    """Mailboxes are Maildirs, with folders below them."""

    def __init__(self, folder: Path, far: FarServers) -> None:
        super().__init__(folder, PLAIN, far)
        self.server = MAIL_SERVER
        self._taken: set[Accepted] = set()

    def _mail(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        for mailbox in (self.folder / "mail").iterdir():
            for path in (*mailbox.glob("new/*"), *mailbox.glob("cur/*"), *mailbox.glob(".*/new/*")):
                found.append((mailbox.name, path.read_bytes()))
        return found

    def notices(self) -> list[str]:
        """Those of Postfix, of amavisd-new and of sieve's `reject`."""
        return [content.decode("utf-8", "replace") for _, content in self._mail() if b"multipart/report" in content]

    def wait_for_queue(self) -> None:
        """Until Postfix has nothing left, twice: a filter may just hold the last message."""
        end = time.monotonic() + _MOST_SECONDS
        empty = 0
        while time.monotonic() < end and empty < 3:
            time.sleep(0.3)
            listed = subprocess.run(["/usr/sbin/postqueue", "-p"], capture_output=True, check=False).stdout
            empty = empty + 1 if b"Mail queue is empty" in listed else 0

    def redirect(self, mailbox: str, expected: dict[str, str]) -> None:
        """Send to a mailbox whose script passes the letter on and keeps nothing: LMTP has taken it all the same."""
        taken = f"{mailbox}@{LOCAL}"
        letter = self.send({taken: "delivered", **expected}, [taken], source=CLIENT)
        self._taken.add(Accepted(letter.name, taken))

    def seen(self) -> set[Accepted]:
        return super().seen() | self._taken

    def through(self, port: int) -> FilteredRun:
        self.port = port
        return self


class Servers:
    """Postfix, amavisd-new and Dovecot in one folder, inside the namespaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log_file = folder / "maillog"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._prepare()
        Log(self.log_file).start()
        self._start()

    def _write(self, name: str, content: str, mode: int = 0o644) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)

    def _prepare(self) -> None:
        folder = self.folder
        folder.chmod(0o755)
        self._write("postfix/main.cf", MAIN)
        self._write("postfix/master.cf", MASTER % folder)
        self._write("postfix/transport", TRANSPORT)
        self._write("postfix/aliases", ALIASES)
        for name in ("postfix-files", "dynamicmaps.cf", "postfix-script", "post-install"):
            if Path("/etc/postfix", name).exists():
                shutil.copy(Path("/etc/postfix", name), folder / "postfix" / name)
        self._write("filter", FILTER.format(folder=folder), 0o755)
        self._write("amavisd.conf", AMAVIS.format(folder=folder))
        self._write("dovecot.conf", DOVECOT.format(folder=folder))
        for name, script in SIEVE.items():
            self._write(f"sieve/{name}.sieve", script + "\n")
            (folder / "home" / f"{name}@{LOCAL}").mkdir(parents=True)
            shutil.chown(folder / "home" / f"{name}@{LOCAL}", "mail")
        for name, owner in (
            ("filtering", "mail"), ("mail", "mail"), ("home", "mail"), ("sieve", "mail"), ("data", "postfix"),
            ("amavis/tmp", "amavis"), ("amavis/quarantine", "amavis"), ("amavis/db", "amavis"), ("amavis", "amavis"),
        ):  # fmt: skip
            (folder / name).mkdir(parents=True, exist_ok=True)
            shutil.chown(folder / name, owner)
        (folder / "spool").mkdir()
        for source, target in (
            ("postfix", "/etc/postfix"),
            ("spool", "/var/spool/postfix"),
            ("data", "/var/lib/postfix"),
        ):
            subprocess.run(["mount", "--bind", folder / source, target], check=True)

    def _start(self) -> None:
        self._processes = [
            subprocess.Popen(["/usr/sbin/amavisd", "-c", self.folder / "amavisd.conf", "foreground"]),
            subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", self.folder / "dovecot.conf"]),
        ]
        subprocess.run(["/usr/sbin/postfix", "start"], check=True)
        for address, port in (("127.0.0.1", PLAIN), ("127.0.0.1", 10024), ("127.0.0.1", 10028), (MAILBOX_SERVER, 24)):
            _await_port(address, port)

    def close(self) -> None:
        subprocess.run(["/usr/sbin/postfix", "stop"], check=False, capture_output=True)
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def _await_port(address: str, port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def scenarios(run: FilteredRun) -> None:
    """Every letter and what becomes of its recipients."""
    at = f"@{LOCAL}"
    run.through(PLAIN)
    run.send({f"anna{at}": "delivered"}, source=CLIENT)
    run.send({f"anna{at}": "delivered", "fred@far.example": "delivered"}, [f"office{at}"], source=CLIENT)
    run.send({f"filed{at}": "delivered", f"bob{at}": "delivered"}, source=CLIENT)
    run.send({f"away{at}": "delivered"}, headers=f"Cc: away{at}\r\n", source=CLIENT)
    run.send({f"thrown{at}": "discarded"}, source=CLIENT)
    run.send({f"refusing{at}": "bounced"}, source=CLIENT)
    run.redirect("moved", {"friend@far.example": "delivered"})
    run.redirect("moved-gone", {"gone-1@far.example": "bounced 550"})
    run.send({f"copied{at}": "delivered", "friend@far.example": "delivered"}, [f"copied{at}"], source=CLIENT)
    run.send({f"kept-too{at}": "delivered", f"thrown-last{at}": "delivered"}, source=CLIENT)
    run.redirect("moved-only", {"friend@far.example": "delivered"})
    run.through(BEHIND)
    run.send({f"anna{at}": "delivered", f"bob{at}": "delivered"}, source=CLIENT)
    run.send({f"anna{at}": "delivered", "fred@far.example": "delivered"}, [f"office{at}"], source=CLIENT)
    run.send({f"anna{at}": "discarded", f"bob{at}": "discarded"}, body=SPAM, source=CLIENT)
    run.send({f"anna{at}": "discarded", f"lover{at}": "delivered"}, body=SPAM, source=CLIENT)
    run.send({f"bouncy{at}": "bounced", f"lover{at}": "delivered"}, body=SPAM, source=CLIENT)
    run.send({f"strict{at}": "bounced 554"}, body=SPAM, source=CLIENT)
    run.send({f"anna{at}": "discarded", f"bob{at}": "discarded"}, headers=ATTACHED, source=CLIENT)
    run.send({"gone-2@far.example": "bounced 550", "fred@far.example": "delivered"}, source="127.0.0.1")
    run.through(BEFORE)
    run.send({f"anna{at}": "delivered", f"bob{at}": "delivered"}, source=CLIENT)
    run.send({f"anna{at}": "rejected", f"bob{at}": "rejected"}, body=SPAM, source=CLIENT)
    run.send({f"anna{at}": "discarded", f"bob{at}": "discarded"}, headers=ATTACHED, source=CLIENT)
    run.send({f"anna{at}": "discarded", f"lover{at}": "delivered"}, headers=ATTACHED, source=CLIENT)
    run.through(PIPED)
    run.send({f"anna{at}": "delivered", f"bob{at}": "delivered"}, source=CLIENT)
    run.send({f"anna{at}": "delivered", "gone-3@far.example": "bounced 550"}, source="127.0.0.1")
    run.send({f"anna{at}": "bounced"}, body=SPAM, source=CLIENT)
    run.wait_for_queue()


def inside(folder: Path) -> int:
    """The whole run; the namespaces are there."""
    certificate = make_certificate(folder)
    far = FarServers(25, {address: Script() for address in FAR.values()}, certificate)
    servers = Servers(folder)
    run = FilteredRun(folder, far)
    try:
        scenarios(run)
    finally:
        servers.close()
    run.check_witnesses()
    for words in run.wrong:
        print(f"scenario: {words}")
    compared, wrong = run.compare(rows_of(servers.log_file, "auto"))
    for words in wrong:
        print(f"wrong: {words}")
    print(f"{compared} recipients compared, {len(wrong)} wrong, {len(run.wrong)} not as the scenario expected")
    return 1 if wrong or run.wrong else 0


def _prepare_namespaces(folder: Path) -> None:
    """Addresses on the loopback, `/etc/hosts`, and a `/dev` of our own for `/dev/log`."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (MAIL_SERVER, MAILBOX_SERVER, CLIENT, *FAR.values()):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    (folder / "hosts").write_text(HOSTS)
    subprocess.run(["mount", "--bind", folder / "hosts", "/etc/hosts"], check=True)
    devices = folder / "dev"
    devices.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", devices], check=True)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (devices / name).touch()
        subprocess.run(["mount", "--bind", f"/dev/{name}", devices / name], check=True)
    (devices / "shm").mkdir(mode=0o1777)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (devices / name).symlink_to(f"/proc/self/fd/{number}")
    (devices / "fd").symlink_to("/proc/self/fd")
    subprocess.run(["mount", "--rbind", devices, "/dev"], check=True)


def may_have_namespaces() -> bool:
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def run_filtered(keep_log: Path | None = None) -> int:
    """Run all scenarios in namespaces of their own; 0: every recipient is right."""
    folder = Path(tempfile.mkdtemp(prefix="postwatch-filtered-"))
    try:
        done = subprocess.run([*_UNSHARE, sys.executable, "-m", "tests.real_mta.filtered", str(folder)], check=False)
        if keep_log is not None and (folder / "maillog").exists():
            shutil.copy(folder / "maillog", keep_log)
        return done.returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    socket.sethostname("mx.hosting.example")
    _prepare_namespaces(Path(sys.argv[1]))
    sys.exit(inside(Path(sys.argv[1])))
