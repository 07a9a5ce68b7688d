#!/usr/bin/env bash
# nullmailer 2.2 (Debian 1:2.2-4): with AUTH LOGIN, one refused password returns the whole queue to its senders.
#
# Guess before the run: a smarthost that refuses the password (535) leaves the mail in the queue until an engineer mends
# the login, for the list of changes of 2.2 says "Fixed treating authentication failure as message rejection".
# Seen: that holds for AUTH PLAIN alone. With AUTH LOGIN the user name is sent first, and an answer 535 to the password
# behind it is treated as a refusal of the message. Each message in the queue, also one that had nothing to do with the
# login when it was queued, is moved to `failed`, and its bounce to the sender is refused and moved there too. So nobody
# is told. Every smarthost that offers LOGIN and not PLAIN, or an option `auth-login`, is enough.
# So a report must show these messages as bounced, with the reason `own-login`: the engineer has to send them again.
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download --quiet=2 nullmailer=1:2.2-4 2>/dev/null && dpkg-deb -x nullmailer_*.deb package)
chmod 0755 "$folder/package/usr/sbin/nullmailer-queue" # setuid programs ignore the prefix
cat >"$folder/smarthost.py" <<'PYTHON'
"""An SMTP server that offers the mechanism that is named, and refuses the password."""

import socketserver
import sys

mechanism = sys.argv[1]


class Smarthost(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say("220 smtp.smarthost.example ESMTP")
        for line in self.rfile:
            command = line.decode().upper().split()
            if command[:1] == ["EHLO"]:
                self.say("250-smtp.smarthost.example")
                self.say(f"250-AUTH {mechanism}")
                self.say("250 SIZE")
            elif command[:2] == ["AUTH", "LOGIN"]:
                self.say("334 UGFzc3dvcmQ6")
            elif command[:1] == ["QUIT"]:
                return self.say("221 bye")
            else:
                self.say("535 5.7.8 Authentication credentials invalid")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smarthost)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON

run() { # mechanism → `counted`: how many of two messages are in the queue after 5 s, and how many are in `failed`
    local home="$folder/$1" port package="$folder/package/usr"
    mkdir -p "$home"/{conf,protocols,sbin,bin} "$home"/queue/{queue,tmp,failed}
    mkfifo "$home/queue/trigger"
    ln -s "$package"/lib/nullmailer/* "$home/protocols/"
    ln -s "$package"/sbin/* "$package"/bin/* "$home/sbin/"
    ln -s "$package"/sbin/* "$package"/bin/* "$home/bin/"
    python3 "$folder/smarthost.py" "$1" >"$home/port" 2>/dev/null &
    pids+=($!)
    until [ -s "$home/port" ]; do sleep 0.1; done
    port=$(cat "$home/port")
    echo web7.hosting.example >"$home/conf/me"
    echo 1 >"$home/conf/pausetime"
    echo "127.0.0.1 smtp port=$port user=app pass=old" >"$home/conf/remotes"
    for name in one two; do
        printf 'app@bakery.example\n%s@far.example\n\nSubject: %s\n\nhello\n' "$name" "$name" |
            NULLMAILER_TEST_PREFIX="$home" "$home/sbin/nullmailer-queue"
    done
    NULLMAILER_TEST_PREFIX="$home" "$home/sbin/nullmailer-send" >"$home/log" 2>&1 &
    pids+=($!)
    sleep 5
    kill "${pids[-1]}"
    counted="$(find "$home/queue/queue" -type f | wc -l) $(find "$home/queue/failed" -type f | wc -l)"
}

run PLAIN
plain=$counted
run LOGIN
login=$counted
grep -h "^smtp: \|^Sending\|^Moving" "$folder/LOGIN/log" | sort | uniq -c | sort -rn | head -3
echo "of two messages, queued and failed: AUTH PLAIN $plain; AUTH LOGIN $login (with two bounces that nobody gets)"
[ "$plain" = "2 0" ] || { echo "AUTH PLAIN bounces too now: the finding is out of date"; exit 1; }
[ "$login" = "0 4" ] || { echo "AUTH LOGIN keeps the queue now: the finding is out of date"; exit 1; }
