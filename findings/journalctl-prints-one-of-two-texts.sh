#!/usr/bin/env bash
# systemd 252.39 (Debian 252.39-1~deb12u2): the text that `journalctl` prints depends on the output that is asked for.
#
# Guess before the run: the outputs "short" and "cat" print the same text of a record, also where it holds the field
# MESSAGE twice. A text with an escape character is "blob data" in "short", as one that is no UTF-8; a tab stays a tab.
# Seen: of a field that stands twice "short" prints the last value, "cat" the first. An escape sequence is cut out of
# "short" without a trace, only what is no UTF-8 is "[59B blob data]" there; a tab becomes eight blanks. "json" has the
# escape as a list of bytes. With --all "short" prints all of it as it is, but still the last value alone.
# So a log made by `journalctl -o short` is no copy of what the mail server said: a reader wants --all, and has to tell
# "blob data" from a line that is of no interest.
set -euo pipefail
version=252.39-1~deb12u2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
mkdir "$folder"/{packages,root}
(
    cd "$folder/packages"
    apt-get download --quiet=2 "systemd=$version" "libsystemd-shared=$version" "systemd-journal-remote=$version" \
        libmicrohttpd12 libkmod2 libip4tc2 libcap-ng0 2>/dev/null
    for package in *.deb; do dpkg-deb -x "$package" "$folder/root"; done
)
libraries=$folder/root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH="$folder/root/lib/x86_64-linux-gnu:$libraries:$libraries/systemd"
python3 - "$folder/records.export" <<'PYTHON'
import struct
import sys

TEXTS = [
    [b"4ABCDE1: to=<a@b.example>, status=bounced (said: 550 gr\xfc\xdfe)"],
    [b"4ABCDE2: a\ttab"],
    [b"4ABCDE3: \x1b[31mred"],
    [b"4ABCDE4: first", b"4ABCDE4: second"],
]
with open(sys.argv[1], "wb") as file:
    for number, texts in enumerate(TEXTS):
        at = 1_795_000_000_000_000 + number * 1_000_000
        file.write(b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (at, number + 1))
        file.write(b"_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=mx\n_PID=3\nSYSLOG_IDENTIFIER=postfix/smtp\n")
        for text in texts:
            file.write(b"MESSAGE\n" + struct.pack("<Q", len(text)) + text + b"\n")
        file.write(b"\n")
PYTHON
"$folder/root/lib/systemd/systemd-journal-remote" --output="$folder/mail.journal" "$folder/records.export" 2>/dev/null
print() { TZ=UTC "$folder/root/bin/journalctl" --file "$folder/mail.journal" --no-pager "$@"; }
has() { grep --quiet --fixed-strings -- "$1" || { echo "changed: no $1" >&2; exit 1; }; }

"$folder/root/bin/journalctl" --version | head -1
print --output=short | tee "$folder/short"
has 'postfix/smtp[3]: [59B blob data]' <"$folder/short"
has '4ABCDE2: a        tab' <"$folder/short"
has '4ABCDE3: red' <"$folder/short"
has '4ABCDE4: second' <"$folder/short"
print --output=cat | tail -1 | tee "$folder/cat"
has '4ABCDE4: first' <"$folder/cat"
print --output=json >"$folder/json"
has '"MESSAGE":[52,65,66,67,68,69,51,58,32,27,' <"$folder/json"
print --output=short --all >"$folder/all"
has $'4ABCDE2: a\ttab' <"$folder/all"
has $'4ABCDE3: \x1b[31mred' <"$folder/all"
has '4ABCDE4: second' <"$folder/all"
echo "as seen before"
