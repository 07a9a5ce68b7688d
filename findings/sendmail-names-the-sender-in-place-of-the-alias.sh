#!/usr/bin/env bash
# Sendmail 8.17.1.9 (Debian 8.17.1.9-2+deb12u2): `ctladdr=` of what an alias made is the sender, if he is a user here.
#
# Guess, as the documentation of Postwatch said before the run: a recipient that stands in the log without angle brackets
# came from an alias, and then `ctladdr=<...>` is the alias.
# Seen: it is the alias, or missing, only where the sender is no user of the server. Where he is one, `ctladdr=` is his
# own address in the same form, and no line of the message names the alias at all.
# So whoever reads `ctladdr=` as the address that was submitted reports mail to other people as mail that came in for its
# sender. It has to be compared with `from=` first.
set -euo pipefail
if ! unshare --mount --uts true 2>/dev/null; then
    echo "skipped: this machine allows no mount namespace, and Sendmail logs to /dev/log alone"
    exit 0
fi
version=8.17.1.9-2+deb12u2
folder=$(mktemp -d /var/tmp/finding.XXXXXX)
trap 'rm -rf "$folder"' EXIT
(
    cd "$folder"
    apt-get download --quiet=2 "sendmail-bin=$version" "sendmail-base=$version" "sendmail-cf=$version" libwrap0 2>/dev/null
    for package in *.deb; do dpkg-deb -x "$package" root; done
)
cat >"$folder/syslog.py" <<'PYTHON'
import socket
import sys

listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listening.bind(sys.argv[1])
with open(sys.argv[2], "w", buffering=1) as log:
    while True:
        log.write(listening.recv(65536).decode().rstrip("\n\0") + "\n")
PYTHON
cat >"$folder/inside.sh" <<'BASH'
set -euo pipefail
mount -t tmpfs -o mode=755 none /mnt # below a folder that all may write to, Sendmail reads no file
mkdir -p /mnt/queue
hostname mx.bakery.example # or Sendmail waits a minute for a name with a domain
printf '127.0.0.1 mx.bakery.example localhost\n' >/mnt/hosts
mount --bind /mnt/hosts /etc/hosts
cat >/mnt/aliases <<ALIASES
postmaster: root
list: daemon
ALIASES
printf 'hosts files\naliases files\n' >/mnt/switch
cf="$1/root/usr/share/sendmail/cf"
m4 -D_CF_DIR_="$cf/" - >/mnt/sendmail.cf <<M4
include(\`$cf/m4/cf.m4')dnl
OSTYPE(\`linux')dnl
define(\`confDOMAIN_NAME', \`mx.bakery.example')dnl
define(\`QUEUE_DIR', \`/mnt/queue')dnl
define(\`ALIAS_FILE', \`/mnt/aliases')dnl
define(\`STATUS_FILE', \`/mnt/statistics')dnl
define(\`confSERVICE_SWITCH_FILE', \`/mnt/switch')dnl
define(\`confDONT_PROBE_INTERFACES', \`True')dnl
define(\`LOCAL_MAILER_PATH', \`/bin/sh')dnl
define(\`LOCAL_MAILER_ARGS', \`sh -c cat>/dev/null')dnl
FEATURE(\`nocanonify')dnl
FEATURE(\`accept_unresolvable_domains')dnl
MAILER(\`local')dnl
MAILER(\`smtp')dnl
M4
python3 "$1/syslog.py" /mnt/socket "$1/log" &
logger=$!
trap 'kill $logger' EXIT
while [ ! -S /mnt/socket ]; do sleep 0.1; done
[ -e /dev/log ] || touch /dev/log
mount --bind /mnt/socket "$(readlink -f /dev/log)"
export LD_LIBRARY_PATH="$1/root/lib/x86_64-linux-gnu:$1/root/usr/lib/x86_64-linux-gnu"
sendmail="$1/root/usr/libexec/sendmail/sendmail"
chmod 700 /mnt/queue
"$sendmail" -C /mnt/sendmail.cf -bi >/dev/null
for sender in ann@far.example games@mx.bakery.example; do
    while read -r command; do # one after the other: Sendmail refuses who does not wait for its answers
        sleep 0.5
        printf '%s\r\n' "$command"
    done <<SMTP | "$sendmail" -C /mnt/sendmail.cf -O DeliveryMode=i -bs >/dev/null
HELO localhost
MAIL FROM:<$sender>
RCPT TO:<list@mx.bakery.example>
DATA
Subject: test
.
QUIT
SMTP
done
sleep 1
BASH
unshare --mount --uts --fork bash "$folder/inside.sh" "$folder"
grep -E "from=|to=" "$folder/log" | sed 's/^[^:]*:[^:]*:[^:]*: //'
told() { grep -A2 "from=<$1>" "$folder/log" | grep -o "to=daemon,.*mailer=local" | sed 's/, delay.*//'; }
stranger=$(told ann@far.example) user=$(told games@mx.bakery.example)
echo "a stranger's mail: $stranger"
echo "a user's mail: $user"
[[ $user == "to=daemon, ctladdr=<games@mx.bakery.example> "* ]] || { echo "the finding is out of date"; exit 1; }
[[ $stranger != *"ctladdr=<ann@far.example>"* ]] || { echo "the finding is out of date"; exit 1; }
