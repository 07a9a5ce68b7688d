"""A real Exim, given by the path of its binary, with every kind of end that a recipient can meet."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from pathlib import Path

from tests.real_mta.far_server import USUAL_SCRIPTS, FarServers, Script
from tests.real_mta.run import LOCAL, Letter, Run, free_port, make_certificate

SCRIPTS = {
    **USUAL_SCRIPTS,
    "mail550": Script(mail="550 5.7.1 <sender> is => not welcome"),
    "dot550": Script(dot="550 5.7.1 => looks like spam [x] R=y T=z"),
    "prdr": Script(offers_prdr=True),
}
ADDRESSES = {name: f"127.0.0.{number}" for number, name in enumerate(SCRIPTS, 10)}
DEFERRED_BY = ("down", "banner421", "ehlo421", "nostarttls", "notls", "mail451", "rcpt451", "rcpt421", "data451",
               "dot451", "drops", "ours535")  # fmt: skip
BOUNCED_BY = ("banner554", "mail550", "data550", "dot550")

CONFIG = """
primary_hostname = web7.hosting.example
exim_path = {binary}
exim_user = {user}
exim_group = {user}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
pid_file_path = {folder}/exim.pid
deliver_drop_privilege = true
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
keep_environment =
qualify_domain = bakery.example
domainlist hosted = bakery.example
trusted_users = {user}
tls_advertise_hosts = *
tls_certificate = {folder}/certificate.pem
prdr_enable = true
host_lookup =
rfc1413_query_timeout = 0s
message_logs = false
smtp_accept_max = 0
system_filter = {folder}/system-filter
system_filter_pipe_transport = bypipe
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
acl_smtp_data_prdr = check_prdr
acl_smtp_mail = check_mail
freeze_tell =
.ifdef FROZEN_FOR
timeout_frozen_after = FROZEN_FOR
.endif
{options}

begin acl
check_mail:
  deny senders = ^nosender
       message = sender is not welcome
  accept
check_rcpt:
  accept hosts = :
  deny local_parts = ^refused
       message = policy says => no
  defer local_parts = ^greylisted
       message = greylisted
  discard local_parts = ^vanish
       log_message = thrown away
  deny domains = callout.far.example
      !verify = recipient/callout=5s,defer_ok
  warn domains = cut.far.example
       control = cutthrough_delivery
  accept domains = +hosted : *.far.example
  deny message = relay not permitted
check_data:
  deny condition = ${{if def:h_X-Refuse:}}
       message = content refused: $h_X-Refuse:
  warn condition = ${{if def:h_X-Fake:}}
       control = fakereject/550 we say no and keep it
  warn condition = ${{if def:h_X-Freeze:}}
       control = freeze/no_tell
  accept
check_prdr:
  deny local_parts = ^prdrno
       message = prdr says no
  defer local_parts = ^prdrwait
       message = prdr says later
  accept local_parts = ^prdrtalk
       message = prdr is glad
  accept

begin routers
ours:
  driver = accept
  domains = +hosted
  local_parts = ^scanned
  condition = ${{if !eq{{$received_protocol}}{{spam-scanned}}}}
  transport = scanner
lists:
  driver = redirect
  domains = +hosted
  data = ${{lookup{{$local_part}}lsearch{{{folder}/lists}}}}
  errors_to = owner-$local_part@bakery.example
  check_ancestor
aliases:
  driver = redirect
  domains = +hosted
  data = ${{lookup{{$local_part}}lsearch*{{{folder}/aliases}}}}
  condition = ${{if !match{{$local_part}}{{^(box|letter|owner-|full|away|tfilter|badfilter|scanned)}}}}
  allow_fail
  allow_defer
  file_transport = byfile
  pipe_transport = bypipe
  reply_transport = vacation
vacation:
  driver = accept
  domains = +hosted
  local_parts = ^away
  senders = ! : !*-request@*
  unseen
  transport = vacation
full:
  driver = accept
  domains = +hosted
  local_parts = ^full
  transport = small
filtered:
  driver = accept
  domains = +hosted
  local_parts = ^tfilter
  transport = filtered
badly_filtered:
  driver = accept
  domains = +hosted
  local_parts = ^badfilter
  transport = badly_filtered
boxes:
  driver = accept
  domains = +hosted
  local_parts = ^(box|letter|owner-|away|scanned)
  transport = box
over_lmtp:
  driver = manualroute
  domains = lmtp.far.example
  route_data = {lmtp}
  self = send
  transport = over_lmtp
far:
  driver = manualroute
  domains = *.far.example
  route_data = ${{lookup{{${{extract{{1}}{{.}}{{$domain}}}}}}lsearch{{{folder}/far}}}}
  self = send
  transport = ${{if match{{$domain}}{{^(notls|nostarttls|tls)}}{{secure}}{{plain}}}}
  no_more

begin transports
box:
  driver = appendfile
  file = {folder}/mail/${{lookup{{$local_part}}lsearch{{{folder}/boxes}}}}@bakery.example
  message_prefix = "From MAILER\\n"
small:
  driver = appendfile
  file = {folder}/mail/${{lookup{{$local_part}}lsearch{{{folder}/boxes}}}}@bakery.example
  message_prefix = "From MAILER\\n"
  quota = 20
  quota_is_inclusive
filtered:
  driver = appendfile
  file = {folder}/mail/${{lookup{{$local_part}}lsearch{{{folder}/boxes}}}}@bakery.example
  message_prefix = "From MAILER\\n"
  transport_filter = /bin/cat
badly_filtered:
  driver = appendfile
  file = {folder}/mail/${{lookup{{$local_part}}lsearch{{{folder}/boxes}}}}@bakery.example
  transport_filter = /bin/false
byfile:
  driver = appendfile
  message_prefix = "From MAILER\\n"
bypipe:
  driver = pipe
  return_output
scanner:
  driver = pipe
  command = {binary} -C {folder}/configure -oMr spam-scanned -bS
  use_bsmtp
  message_prefix =
  message_suffix =
  log_output
vacation:
  driver = autoreply
  to = $sender_address
  from = $local_part@$domain
  subject = "Away: $h_subject:"
  text = "I am away until Monday."
over_lmtp:
  driver = smtp
  protocol = lmtp
  port = {far_port}
  allow_localhost
  hosts_try_fastopen = :
plain:
  driver = smtp
  port = {far_port}
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_fastopen = :
  hosts_require_auth = {ours535}
  command_timeout = 5s
  final_timeout = 5s
secure:
  driver = smtp
  port = {far_port}
  allow_localhost
  hosts_require_tls = *
  tls_verify_certificates =
  hosts_try_fastopen = :

begin retry
*@exp.far.example * F,1s,1s
* * F,2h,1s

begin authenticators
login:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{$auth3}}{{secret}}}}
  server_set_id = $auth2
  client_send = ^smarthost@bakery.example^secret
"""
SYSTEM_FILTER = """# Exim filter
if $h_x-system: contains "fail" and first_delivery then fail text "the system says no" seen finish endif
if $h_x-system: contains "freeze" then freeze text "look at this first" endif
if first_delivery and $h_x-system: contains "other" then deliver box-other@bakery.example endif
if $h_x-system: contains "also" then unseen deliver box-also@bakery.example endif
if $h_x-system: contains "drop" then seen finish endif
"""
ALIASES = """
pair: box-p1, gone-p2@ok.far.example
nest: pair2
pair2: box-n1
faildirect: :fail: => this person left R=x
deferdirect: :defer: come back
hole: :blackhole:
include: :include:{folder}/included
command: "|/bin/sh -c '(echo From MAILER; cat) >> {folder}/mail/command%bakery.example'"
badcommand: "|/bin/false"
tempcommand: "|/bin/sh -c 'exit 75'"
file: {folder}/mail/file%bakery.example
"""
LISTS = "crew: box-c1, gone-c2@ok.far.example, c3@ok.far.example\nlatecrew: c4@down.far.example, box-c5\n"
BOXES = ("box-", "letter", "full-", "away-", "tfilter-", "badfilter-", "scanned-")
"""Exim takes a file name only from a list, never from a stranger's address."""
NAMES = {
    f"{address} [{address}]": f"mx.{name}.far.example [192.0.2.{address.rpartition('.')[2]}]"
    for name, address in ADDRESSES.items()
} | {
    "127.0.0.51": "198.51.100.7",
}


class Exim:
    """An Exim daemon in a folder of its own, without root."""

    def __init__(self, binary: Path, folder: Path, user: str, options: str = "") -> None:
        self.binary, self.folder, self.user = binary, folder, user
        self.port, far_port = free_port(), free_port()
        for part in ("spool", "log", "mail"):
            (folder / part).mkdir()
        certificate = make_certificate(folder)
        listening = {ADDRESSES[name]: script for name, script in SCRIPTS.items() if name != "down"}
        self.far_port = far_port
        self.far = FarServers(far_port, listening, certificate)
        texts = {
            "configure": CONFIG.format(
                user=user, folder=folder, port=self.port, options=options, far_port=far_port, binary=binary, **ADDRESSES
            ),
            "system-filter": SYSTEM_FILTER,
            "aliases": ALIASES.format(folder=folder),
            "lists": LISTS,
            "boxes": "".join(f"{name}{n}: {name}{n}\n" for name in BOXES for n in range(1, 100))
            + "".join(
                f"{name}: {name}\n" for name in ("box-other", "box-also", "box-self", "owner-crew", "owner-latecrew")
            )
            + "".join(f"box-{word}: box-{word}\n" for word in ("p1", "n1", "c1", "c5", "i1")),
            "included": "box-i1, gone-i2@ok.far.example\n",
            "far": "".join(f"{name}: {address}\n" for name, address in ADDRESSES.items())
            + f"exp: {ADDRESSES['rcpt451']}\ncut: {ADDRESSES['ok']}\ncallout: {ADDRESSES['ok']}\n"
            + f"two: {ADDRESSES['rcpt451']}:{ADDRESSES['ok']}\ntwobad: {ADDRESSES['down']}:{ADDRESSES['rcpt451']}\n",
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        identity = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, identity.pw_uid, identity.pw_gid)
        self._daemon = subprocess.Popen(
            [binary, "-C", folder / "configure", "-bdf"],
            user=user,
            group=identity.pw_gid,
            extra_groups=[],
            cwd="/",
            stderr=subprocess.DEVNULL,
        )
        self._await_start()

    def _await_start(self) -> None:
        for _ in range(100):
            if self.log_file.exists() and "daemon started" in self.log_file.read_text():
                return
            time.sleep(0.1)
        raise RuntimeError(f"Exim did not start: {self.binary}")

    @property
    def log_file(self) -> Path:
        return self.folder / "log/main"

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(20)
        self.far.close()

    def call(self, *arguments: str, content: bytes = b"") -> bytes:
        """Exim's command line; it may fail where a scenario means it to."""
        identity = pwd.getpwnam(self.user)
        done = subprocess.run(
            [self.binary, "-C", self.folder / "configure", *arguments],
            input=content, capture_output=True, check=False, timeout=60, cwd="/",
            user=self.user, group=identity.pw_gid, extra_groups=[],
        )  # fmt: skip
        return done.stdout + done.stderr

    def id_of(self, letter: Letter) -> str:
        """The queue id, from the spool and not from the log."""
        for path in (self.folder / "spool/input").rglob("*-H"):
            if f"<{letter.sender}>" in path.read_text(errors="replace").split("\n")[2]:
                return path.name.removesuffix("-H")
        raise RuntimeError(f"{letter.name} is not on the queue")


def scenarios(exim: Exim, run: Run) -> None:
    _usual(run)
    _prdr(run)
    _filters(exim, run)
    _aliases(run)
    _acls(run)
    _stages(run)
    _by_hand(exim, run)
    _expiry(exim, run)
    run.settle(30)


def _usual(run: Run) -> None:
    run.send({f"box-1@{LOCAL}": "delivered", "a@ok.far.example": "delivered", "gone-1@ok.far.example": "bounced 550"})
    run.send({f"box-1@{LOCAL}": "delivered", "full-1@ok.far.example": "deferred 452"}, login=True)
    run.send({"shut-1@ok.far.example": "bounced 554", "b@tls.far.example": "delivered"}, source="127.0.0.1")
    run.send({"x@lmtp.far.example": "delivered", "spam-1@lmtp.far.example": "bounced 550",
              "slow-1@lmtp.far.example": "deferred 450", "gone-2@lmtp.far.example": "bounced 550"},
             login=True)  # fmt: skip
    run.send({f"full-2@{LOCAL}": "deferred", f"box-2@{LOCAL}": "delivered"})
    run.send({f"tfilter-1@{LOCAL}": "delivered", f"badfilter-1@{LOCAL}": "deferred"})
    run.send({f"away-1@{LOCAL}": "delivered", "gone-3@ok.far.example": "bounced 550"})


def _prdr(run: Run) -> None:
    run.send({f"box-3@{LOCAL}": "delivered", f"prdrno-1@{LOCAL}": "rejected"}, prdr=True)
    run.send({f"prdrno-5@{LOCAL}": "rejected", f"prdrno-2@{LOCAL}": "rejected"}, prdr=True)
    run.send({f"box-3@{LOCAL}": "delivered", "prdrtalk-1@ok.far.example": "delivered",
              f"prdrno-3@{LOCAL}": "rejected"}, prdr=True)  # fmt: skip
    run.send({"y@prdr.far.example": "delivered", "spam-2@prdr.far.example": "bounced 550",
              "slow-2@prdr.far.example": "deferred 450", "gone-4@prdr.far.example": "bounced 550"},
             prdr=True)  # fmt: skip
    run.send({"prdrno-4@ok.far.example": "rejected", "gone-5@ok.far.example": "bounced 550"}, prdr=True)


def _filters(exim: Exim, run: Run) -> None:
    run.send({f"box-4@{LOCAL}": "bounced", "c@ok.far.example": "bounced"}, headers="X-System: fail\r\n")
    run.send({f"box-4@{LOCAL}": "deferred", "d@ok.far.example": "deferred"}, headers="X-System: freeze\r\n")
    run.send(
        {f"box-other@{LOCAL}": "delivered", f"box-5@{LOCAL}": "discarded", "e@ok.far.example": "discarded"},
        [f"box-5@{LOCAL}", "e@ok.far.example"],
        headers="X-System: other\r\n",
    )
    run.send({f"box-also@{LOCAL}": "delivered", f"box-5@{LOCAL}": "delivered"}, [f"box-5@{LOCAL}"],
             headers="X-System: also\r\n")  # fmt: skip
    run.send({f"box-5@{LOCAL}": "discarded", "f@ok.far.example": "discarded"}, headers="X-System: drop\r\n")
    run.send({f"box-6@{LOCAL}": "deferred"}, headers="X-Freeze: yes\r\n")


def _aliases(run: Run) -> None:
    run.send({f"box-p1@{LOCAL}": "delivered", "gone-p2@ok.far.example": "bounced 550"}, [f"pair@{LOCAL}"])
    run.send({f"box-n1@{LOCAL}": "delivered"}, [f"nest@{LOCAL}"])
    run.send({f"box-c1@{LOCAL}": "delivered", "gone-c2@ok.far.example": "bounced 550",
              "c3@ok.far.example": "delivered"}, [f"crew@{LOCAL}"])  # fmt: skip
    run.send({"c4@down.far.example": "deferred", f"box-c5@{LOCAL}": "delivered"}, [f"latecrew@{LOCAL}"])
    run.send({f"faildirect@{LOCAL}": "bounced", f"box-7@{LOCAL}": "delivered"})
    run.send({f"deferdirect@{LOCAL}": "deferred"})
    run.send({f"box-i1@{LOCAL}": "delivered", "gone-i2@ok.far.example": "bounced 550"}, [f"include@{LOCAL}"])
    run.send({f"badcommand@{LOCAL}": "bounced", f"tempcommand@{LOCAL}": "deferred"})
    run.send({f"scanned-1@{LOCAL}": "delivered", f"box-7@{LOCAL}": "delivered"})
    run.send({f"hole@{LOCAL}": "discarded", f"box-7@{LOCAL}": "delivered"})
    run.send({f"command@{LOCAL}": "delivered", "gone-8@ok.far.example": "bounced 550"})
    run.send({f"file@{LOCAL}": "delivered"})


def _acls(run: Run) -> None:
    run.send({f"refused-1@{LOCAL}": "rejected", f"box-8@{LOCAL}": "delivered"})
    run.send({f"vanish-1@{LOCAL}": "discarded", f"box-8@{LOCAL}": "delivered"})
    run.send({f"vanish-2@{LOCAL}": "discarded"})
    run.send({"": "rejected"}, [f"box-8@{LOCAL}", "g@ok.far.example"], headers="X-Refuse: => bad words\r\n")
    run.send({f"box-8@{LOCAL}": "delivered"}, headers="X-Fake: yes\r\n")
    run.send({"gone-6@callout.far.example": "rejected", "h@callout.far.example": "delivered"})
    run.send({"i@cut.far.example": "delivered"})
    run.send({"gone-7@cut.far.example": "rejected"})
    run.send({"far@nowhere.example": "rejected"})


def _stages(run: Run) -> None:
    for name in DEFERRED_BY:
        run.send({f"j@{name}.far.example": f"deferred {code_of(name)}"}, login=True)
    for name in BOUNCED_BY:
        run.send({f"k@{name}.far.example": f"bounced {code_of(name)}"}, login=True)
    run.send({"l@two.far.example": "delivered", "l@twobad.far.example": "deferred"}, login=True)


def _by_hand(exim: Exim, run: Run) -> None:
    stuck = "down.far.example"
    given_up = run.send({f"m1@{stuck}": "cancelled", f"box-9@{LOCAL}": "delivered"})
    all_done = run.send({f"m2@{stuck}": "cancelled", f"m3@{stuck}": "cancelled", f"box-9@{LOCAL}": "delivered"})
    removed = run.send({f"m4@{stuck}": "cancelled", f"box-9@{LOCAL}": "delivered"})
    frozen = run.send({f"m5@{stuck}": "deferred", f"box-9@{LOCAL}": "delivered"})
    one_done = run.send({f"m6@{stuck}": "cancelled", f"m7@{stuck}": "deferred"})
    added = run.send({f"m8@{stuck}": "deferred", "added@ok.far.example": "delivered"}, [f"m8@{stuck}"])
    thawed = run.send({f"box-9@{LOCAL}": "delivered"}, headers="X-Freeze: yes\r\n")
    too_long = run.send({f"box-9@{LOCAL}": "expired", "o@ok.far.example": "expired"}, headers="X-Freeze: yes\r\n")
    run.wait(5, [given_up, all_done, removed, frozen])
    time.sleep(1)
    exim.call("-Mg", exim.id_of(given_up))
    exim.call("-Mmad", exim.id_of(all_done))
    exim.call("-M", exim.id_of(all_done))
    exim.call("-DFROZEN_FOR=1s", "-Mc", exim.id_of(too_long))
    exim.call("-Mrm", exim.id_of(removed))
    exim.call("-Mf", exim.id_of(frozen))
    exim.call("-Mmd", exim.id_of(one_done), f"m6@{stuck}")
    exim.call("-M", exim.id_of(one_done))
    exim.call("-Mar", exim.id_of(added), "added@ok.far.example")
    exim.call("-M", exim.id_of(added))
    exim.call("-Mt", exim.id_of(thawed))
    exim.call("-M", exim.id_of(thawed))


def _expiry(exim: Exim, run: Run) -> None:
    run.send({"n@exp.far.example": "expired", f"box-10@{LOCAL}": "delivered"}, login=True)
    for _ in range(3):
        time.sleep(2)
        exim.call("-qq")


def code_of(name: str) -> str:
    """The code that a far server answers, where its name tells it."""
    return name[-3:] if name[-3:].isdecimal() and name != "ours535" else ""


def version_of(binary: Path) -> str:
    words = subprocess.run(
        [binary, "-bV", "-C", "/dev/null"], capture_output=True, text=True, check=False, cwd="/"
    ).stdout
    found = re.search(r"Exim version (\S+)", words)
    if found is None:
        raise RuntimeError(f"{binary} is no Exim")
    return found[1]
