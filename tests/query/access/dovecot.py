"""Debian's Dovecot as a process of its own on loopback, with a private CA; its users can be changed while it runs."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from postwatch.deploy.embedded.ports import choose_port

from tests.certificates import make_certificates
from tests.query.access.imap_server import ImapServer
from tests.waiting import wait_until

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = <{folder}/server.pem
ssl_key = <{folder}/server.key
auth_mechanisms = plain
auth_failure_delay = 0
disable_plaintext_auth = yes
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login_user}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


@dataclass
class Dovecot(ImapServer):
    imaps_port: int = 0
    users: str = ""
    """What its file says."""

    @property
    def address(self) -> str:
        return f"imaps://127.0.0.1:{self.imaps_port}"

    @property
    def addresses(self) -> list[str]:
        return [self.address, f"imap://127.0.0.1:{self.port}"]

    def set_mailboxes(self, passwords: dict[str, str]) -> None:
        text = "".join(f"{name}:{{PLAIN}}{password}:::::\n" for name, password in passwords.items())
        if text == self.users:
            return
        self.users = text
        fresh = self.folder / "users.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(self.folder / "users")
        if self.process is not None:
            time.sleep(1.1)  # it looks at the file once a second

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["/usr/sbin/dovecot", "-F", "-c", self.folder / "dovecot.conf"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, "Dovecot answers")

    def last_words(self) -> str:
        return (self.folder / "log").read_text()


def has_dovecot() -> bool:
    return Path("/usr/sbin/dovecot").exists() and Path("/usr/lib/dovecot/imap-login").exists()


def make_dovecot() -> Dovecot:
    if not has_dovecot():
        pytest.skip("no Dovecot IMAP server is installed: apt-get install dovecot-imapd")
    folder = Path(tempfile.mkdtemp(prefix="postwatch-imap-"))
    folder.chmod(0o755)
    dovecot = Dovecot(folder, choose_port(), imaps_port=choose_port())
    for name in ("run", "state", "mail"):
        (folder / name).mkdir()
    is_root = os.getuid() == 0
    mine = pwd.getpwuid(os.getuid())
    mail = pwd.getpwnam("nobody") if is_root else mine
    os.chown(folder / "mail", mail.pw_uid, mail.pw_gid)
    config = _CONFIG.format(
        folder=folder,
        user="dovecot" if is_root else mine.pw_name,
        group="dovecot" if is_root else _group(mine.pw_gid),
        login_user="dovenull" if is_root else mine.pw_name,
        uid=mail.pw_uid,
        gid=mail.pw_gid,
        imap_port=dovecot.port,
        imaps_port=dovecot.imaps_port,
    )
    (folder / "dovecot.conf").write_text(config)
    make_certificates(folder)
    return dovecot


def _group(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name
