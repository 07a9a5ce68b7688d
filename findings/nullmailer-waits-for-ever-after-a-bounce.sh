#!/usr/bin/env bash
# nullmailer 2.2 (Debian 1:2.2-4): after one bounce, a smarthost that does not answer holds up the queue for ever.
#
# Guess before the run: a try that gets no answer is ended after `sendtimeout` seconds, each time, as the manual says
# ("The time to wait for a remote module listed above to complete sending a message").
# Seen: the first time it is. Once the process has generated a bounce, it is not: nullmailer-send counts the end of the
# two programs that make a bounce as the end of the next sending program, stops watching the clock and waits for that
# without a limit. What is left over is never used up, because each later try leaves one behind. The log shows
# "Starting delivery" and then nothing, no later message is tried, and only a restart helps.
# So a message of which the last line is the beginning of a try, hours ago, is not being tried: the queue stands still.
set -euo pipefail
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download --quiet=2 nullmailer=1:2.2-4 2>/dev/null && dpkg-deb -x nullmailer_*.deb package)
chmod 0755 "$folder/package/usr/sbin/nullmailer-queue" # setuid programs ignore the prefix
cat >"$folder/smarthost.py" <<'PYTHON'
"""An SMTP server that refuses `nouser`, never answers for `silent`, and takes the rest."""

import socketserver
import time


class Smarthost(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say("220 smtp.smarthost.example ESMTP")
        for line in self.rfile:
            command = line.decode().upper()
            if command.startswith("RCPT TO:<NOUSER"):
                self.say("550 5.1.1 No such user")
            elif command.startswith("RCPT TO:<SILENT"):
                time.sleep(120)
            elif command.startswith("DATA"):
                self.say("354 go")
                while self.rfile.readline().strip() != b".":
                    pass
                self.say("250 2.0.0 Ok")
            else:
                self.say("250 Ok")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


socketserver.ThreadingTCPServer.daemon_threads = True
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smarthost)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
python3 "$folder/smarthost.py" >"$folder/port" 2>/dev/null &
pids+=($!)
until [ -s "$folder/port" ]; do sleep 0.1; done

run() { # name, then recipients, in turn → `timeouts`: how often a try was ended within 15 s (sendtimeout is 3 s)
    local home="$folder/$1" package="$folder/package/usr" name
    mkdir -p "$home"/{conf,protocols,sbin,bin} "$home"/queue/{queue,tmp,failed}
    mkfifo "$home/queue/trigger"
    ln -s "$package"/lib/nullmailer/* "$home/protocols/"
    ln -s "$package"/sbin/* "$package"/bin/* "$home/sbin/"
    ln -s "$package"/sbin/* "$package"/bin/* "$home/bin/"
    echo web7.hosting.example >"$home/conf/me"
    echo 1 >"$home/conf/pausetime"
    echo 3 >"$home/conf/sendtimeout"
    echo "127.0.0.1 smtp port=$(cat "$folder/port")" >"$home/conf/remotes"
    NULLMAILER_TEST_PREFIX="$home" "$home/sbin/nullmailer-send" >"$home/log" 2>&1 &
    pids+=($!)
    shift
    for name in "$@"; do
        printf 'app@bakery.example\n%s@far.example\n\nSubject: %s\n\nhello\n' "$name" "$name" |
            NULLMAILER_TEST_PREFIX="$home" "$home/sbin/nullmailer-queue"
        sleep 3
    done
    sleep 12
    kill "${pids[-1]}"
    timeouts=$(grep -c "^Sending timed out, killing protocol" "$home/log" || true)
}

run without-a-bounce reader silent
before=$timeouts
run with-a-bounce nouser silent
after=$timeouts
tail -2 "$folder/with-a-bounce/log"
echo "tries that sendtimeout ended: $before without a bounce before, $after with one"
[ "$before" -gt 0 ] || { echo "sendtimeout ends no try at all: the finding is out of date"; exit 1; }
[ "$after" -eq 0 ] || { echo "sendtimeout ends tries after a bounce now: the finding is out of date"; exit 1; }
