"""Real OpenID providers on loopback, and a browser that logs in to them by their own forms."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from postwatch.deploy.embedded.ports import choose_port

from tests.waiting import PATIENCE, wait_until

VERSION = "9.13.3"
SECRET = "client-secret"
Users = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Provider:
    issuer: str
    process: subprocess.Popen[bytes]
    users_file: Path | None = None

    def set_users(self, users: Users) -> None:
        """From now on these are its users. Only the certified one can do so."""
        assert self.users_file
        self.users_file.write_text(json.dumps(users))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


def _answers(issuer: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{issuer}/.well-known/openid-configuration").status_code == 200
    return False


@contextlib.contextmanager
def _started(port: int, command: list[str | Path], users_file: Path | None = None) -> Iterator[Provider]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The mock calls itself as the request does.
    provider = Provider(f"http://127.0.0.1:{port}", process, users_file)
    try:
        wait_until(lambda: process.poll() is not None or _answers(provider.issuer), "the provider answers")
        assert process.poll() is None
        yield provider
    finally:
        provider.stop()


@contextlib.contextmanager
def python_provider(users: Users, redirect_uri: str) -> Iterator[Provider]:
    """oidc-provider-mock, which takes any client and any redirect."""
    port = choose_port()
    claims = [word for name, known in users.items() for word in ("--user-claims", json.dumps({"sub": name, **known}))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port), "--require-nonce", "true"]
    with _started(port, [*command, *claims]) as provider:
        yield provider


@contextlib.contextmanager
def certified_provider(users: Users, redirect_uri: str) -> Iterator[Provider]:
    """oidc-provider, certified by the OpenID Foundation; npm installs it."""
    port = choose_port()
    script = Path(__file__).with_name("openid_provider.mjs")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(users))
        file.flush()
        command: list[str | Path] = ["node", script, _installed(), str(port), redirect_uri, file.name]
        with _started(port, command, Path(file.name)) as provider:
            yield provider


_folders: list[Path] = []


def _installed() -> Path:
    if not _folders:
        raise LookupError("use the fixture node_folder")
    return _folders[0]


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose node_modules hold the certified provider."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("Node is not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"oidc-provider@{VERSION}"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=240)
    _folders[:] = [folder]
    return folder


def log_in(browser: httpx.Client, address: str, name: str) -> httpx.Response:
    """Follows redirects and fills in the provider's forms as `name` → the answer that leads back, not followed."""
    answer = browser.get(address)
    for _ in range(12):
        if answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if "/log-in/openid/back" in target:
                return answer
            answer = browser.get(target)
            continue
        assert answer.status_code == 200, answer.text
        action, fields = _form(answer.text, name)
        answer = browser.post(urljoin(str(answer.url), action), data=fields)
    raise AssertionError("the provider leads in circles")


def _form(page: str, name: str) -> tuple[str, dict[str, str]]:
    form = re.search(r"<form([^>]*)>(.*?)</form>", page, re.DOTALL)
    assert form, page
    action = re.search(r'action="([^"]*)"', form[1])
    fields = {}
    for field in re.findall(r"<input[^>]*>", form[2]):
        key, value = re.search(r'name="([^"]*)"', field), re.search(r'value="([^"]*)"', field)
        if key:
            fields[key[1]] = unescape(value[1]) if value else name
    return unescape(action[1]) if action else "", fields
