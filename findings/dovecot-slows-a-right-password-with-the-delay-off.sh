#!/usr/bin/env bash
# Dovecot 2.3.19.1 (Debian 1:2.3.19.1+dfsg1-2.1+deb12u7): `auth_failure_delay = 0` does not make a failed log-in free.
#
# Guess before the run: the delay after a wrong password is `auth_failure_delay`. Set to 0, each answer comes at once,
# and a right password is never held up.
# Seen: a second delay, kept for each client's address by the service anvil, goes on. It grows with each failure (here
# to 15 s after three), and it comes before the answer to any password: a right one of another mailbox waits as well.
# Another client's right password is answered at once.
# So a program that asks one IMAP server about many people's passwords, such as a web page, is slowed down as one client
# by anybody's typing errors; its time-out has to be longer than the delay, or its address a trusted one.
set -euo pipefail
version=1:2.3.19.1+dfsg1-2.1+deb12u7
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
mkdir "$folder"/{packages,root,run,mail}
(
    cd "$folder/packages"
    apt-get download --quiet=2 "dovecot-core=$version" "dovecot-imapd=$version" \
        libexttextcat-2.0-0 libstemmer0d libsodium23 liblua5.3-0 liblua5.4-0 libwrap0 2>/dev/null
    for package in *.deb; do dpkg-deb -x "$package" "$folder/root"; done
)
chown mail "$folder/mail"
printf '%s:{PLAIN}%s:::::\n' anna@a.example right-1 bert@b.example right-2 >"$folder/users"
chmod 644 "$folder/users"
cat >"$folder/dovecot.conf" <<CONF
protocols = imap
listen = 127.0.0.1
base_dir = $folder/run
state_dir = $folder/run
default_login_user = nobody
default_internal_user = mail
default_internal_group = mail
log_path = $folder/log
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:$folder/mail/%n
first_valid_uid = 1
service imap-login {
  chroot =
  inet_listener imap {
    port = 20143
  }
}
service anvil {
  chroot =
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u $folder/users
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$folder/mail/%n
}
CONF
cat >"$folder/ask.py" <<'PYTHON'
import imaplib
import time


def connection() -> imaplib.IMAP4:
    for _ in range(100):
        try:
            return imaplib.IMAP4("127.0.0.1", 20143, timeout=30)
        except OSError:
            time.sleep(0.1)
    raise SystemExit("no server")


def ask(client: str, name: str, password: str) -> None:
    imap = imaplib.IMAP4.__new__(imaplib.IMAP4)

    def open_from(self: imaplib.IMAP4, timeout: float | None = None) -> object:
        import socket

        return socket.create_connection(("127.0.0.1", 20143), 30, source_address=(client, 0))

    imap._create_socket = open_from.__get__(imap)  # type: ignore[method-assign]
    imap.__init__("127.0.0.1", 20143)  # type: ignore[misc]
    began = time.monotonic()
    try:
        imap.login(name, password)
        word = "right"
    except imaplib.IMAP4.error:
        word = "wrong"
    print(f"{client} {name} {word}: {time.monotonic() - began:.0f} s")


connection().logout()  # it answers
ask("127.0.0.2", "bert@b.example", "right-2")
for password in ("x", "y", "z"):
    ask("127.0.0.2", "anna@a.example", password)
ask("127.0.0.2", "bert@b.example", "right-2")
ask("127.0.0.3", "bert@b.example", "right-2")
PYTHON
# A mount namespace of its own, in which the packages lie over /usr: Dovecot's paths are compiled in.
unshare --mount --net bash -euc '
    folder=$1
    ip link set lo up
    mount -t overlay -o lowerdir="$folder/root/usr:/usr" overlay /usr
    ldconfig -C "$folder/cache" 2>/dev/null || true
    export LD_LIBRARY_PATH="/usr/lib/$(uname -m)-linux-gnu:/usr/lib/dovecot"
    dovecot -F -c "$folder/dovecot.conf" & server=$!
    python3 "$folder/ask.py" >"$folder/answers"
    kill "$server"
    wait "$server" || true
' run "$folder" || { cat "$folder/log"; exit 1; }
cat "$folder/answers"
seconds() { sed -n "$1p" "$folder/answers" | grep -o ' right: [0-9]*' | grep -o '[0-9]*$'; }
[ "$(seconds 1)" -le 2 ] && [ "$(seconds 5)" -ge 8 ] && [ "$(seconds 6)" -le 2 ]
