#!/usr/bin/python3
"""systemctl for a root folder in which no systemd runs: start, enable --now, and status, of the units in it.

It does what the units say that can be done without systemd: the user and groups, the folders for data, the files of
settings, and the wait until a part says that it is ready. Whoever made the folder ends what is in /run/started-units.
"""

import grp
import os
import pwd
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/usr/lib/systemd/system")
STARTED = Path("/run/started-units")
PATIENCE = 120.0


def settings_of(name: str) -> Iterator[tuple[str, str]]:
    template, _, instance = name.removesuffix(".service").partition("@")
    path = FOLDER / (f"{template}@.service" if instance else f"{template}.service")
    for line in path.read_text().splitlines():
        if "=" in line and line[0] not in "#[":
            key, _, value = line.partition("=")
            yield key, value.replace("%i", instance)


def environment_of(settings: list[tuple[str, str]]) -> dict[str, str]:
    found = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    for key, value in settings:
        if key == "Environment":
            variable, _, text = value.partition("=")
            found[variable] = text
    for key, value in settings:
        if key == "EnvironmentFile":
            path = Path(value.removeprefix("-"))
            if value.startswith("-") and not path.exists():
                continue
            for line in path.read_text().splitlines():
                if line.strip() and line[0] not in "#;":
                    variable, _, text = line.partition("=")
                    found[variable] = "".join(shlex.split(text)) if text[:1] in "'\"" else text
    return found


def start(name: str) -> int:
    settings = list(settings_of(name))
    one = dict(settings)
    user, group = pwd.getpwnam(one["User"]), grp.getgrnam(one["Group"])
    more = [grp.getgrnam(word).gr_gid for word in one.get("SupplementaryGroups", "").split()]
    if folder := one.get("StateDirectory"):
        place = Path("/var/lib") / folder
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o750)
        os.chown(place, user.pw_uid, group.gr_gid)
    environment = environment_of(settings)
    is_notify = one["Type"] == "notify"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if is_notify:
        address = f"/run/{name}.notify"
        Path(address).unlink(missing_ok=True)
        receiver.bind(address)
        os.chmod(address, 0o777)
        receiver.settimeout(PATIENCE)
        environment["NOTIFY_SOCKET"] = address
    words = [os.path.expandvars(word) for word in one["ExecStart"].split()]
    words = [part for word in words for part in (environment.get(word[1:], "").split() if word[:1] == "$" else [word])]

    def become() -> None:
        os.setgroups(more)
        os.setgid(group.gr_gid)
        os.setuid(user.pw_uid)
        os.umask(int(one["UMask"], 8))

    with open(f"/var/log/{name}.log", "ab") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, preexec_fn=become, cwd="/")
    if not is_notify:
        return process.wait()
    with STARTED.open("a") as file:
        file.write(f"{name} {process.pid}\n")
    while b"READY=1" not in receiver.recv(4096):
        if process.poll() is not None:
            return 1
    return 0


if __name__ == "__main__":
    names = [word for word in sys.argv[2:] if not word.startswith("-")]
    sys.exit(max(start(name) for name in names))
