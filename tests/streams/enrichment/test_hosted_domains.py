from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import Domains, DomainsSource, parse_domains, read_domains, reread


def test_cpanels_layouts_plain_lists_comments_and_case() -> None:
    text = "\ufeff# hosted\r\nExample.ORG: alice\nshop.example.org: alice # a subdomain\n*.example.org: alice\n"
    text += "*: nobody\n\nexample.net.\n"
    assert parse_domains(text, "it") == {"example.org": "alice", "shop.example.org": "alice", "example.net": ""}


@pytest.mark.parametrize("line", ["Bücher.example: carol", "xn--bcher-kva.example: carol"])
def test_a_domain_of_other_letters_is_known_in_both_forms(line: str) -> None:
    assert parse_domains(line, "it") == {"bücher.example": "carol", "xn--bcher-kva.example": "carol"}


@pytest.mark.parametrize("line", ["<html><body>Log in", "two words", "bob@example.org", "a..b", "-x.org", "a" * 64])
def test_what_is_no_domain_is_named_by_its_line(line: str) -> None:
    with pytest.raises(BadInputError, match=r"it line 2: .* names no domain"):
        parse_domains(f"example.org: alice\n{line}\n", "it")


def _list(path: Path, text: str, at: int) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


def test_a_new_version_of_the_file_is_used_and_a_bad_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "domains"
    _list(path, "example.org: alice\n", 1)
    book = AccountBook(read_domains(str(path), "--domains"))
    source = DomainsSource(str(path), "--domains")
    reread(source, book.use)
    for number, bad in enumerate(["", "# all gone\n", "<html>\n"], 2):
        _list(path, bad, number)
        reread(source, book.use)
        assert book.hosts("x@example.org", "mx1")
    path.write_bytes(b"\xff\xfe\n")
    reread(source, book.use)
    path.unlink()
    reread(source, book.use)
    assert book.hosts("x@example.org", "mx1")
    _list(path, "example.net: bob\n", 9)
    reread(source, book.use)
    assert book.hosts("x@example.net", "mx1")
    assert not book.hosts("x@example.org", "mx1")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "domains"
    _list(path, "example.org\n", 1)
    source = DomainsSource(str(path), "--domains")
    assert source.read() == {"example.org": ""}
    assert source.read() is None


def test_no_file_says_which_setting() -> None:
    with pytest.raises(BadInputError, match="--domains=/nowhere can't be read"):
        read_domains("/nowhere", "--domains")


@pytest.mark.parametrize("place", ["http://anna:s3cret@127.0.0.1/domains", "https://anna:s3cret@panel.example"])
def test_a_password_in_the_address_is_refused_and_not_repeated(place: str) -> None:
    with pytest.raises(BadInputError, match="must not name a user and password") as caught:
        read_domains(place, "--domains")
    assert "s3cret" not in str(caught.value)


def test_a_token_in_the_address_is_not_repeated() -> None:
    with pytest.raises(BadInputError) as caught:
        read_domains("http://127.0.0.1:1/domains?token=s3cret", "--domains")
    assert str(caught.value) == "--domains=http://127.0.0.1:1/domains can't be read: Connection refused"


class _Answers(BaseHTTPRequestHandler):
    content: ClassVar[bytes] = b""
    code: ClassVar[int] = 200
    promised: ClassVar[int] = 0

    def do_GET(self) -> None:
        known = f'"{hash(self.content)}"'
        if self.headers["If-None-Match"] == known:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(self.code)
        self.send_header("ETag", known)
        self.send_header("Content-Length", str(self.promised or len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    _Answers.content, _Answers.code, _Answers.promised = b"example.org: alice\n", 200, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/domains"
        server.shutdown()
        thread.join()


def test_an_address_is_read_again_when_it_changed(address: str) -> None:
    used: list[Domains] = []
    source = DomainsSource(address, "--domains")
    reread(source, used.append)
    reread(source, used.append)
    assert used == [{"example.org": "alice"}]
    _Answers.content, _Answers.code = b"example.net: bob\n", 500
    reread(source, used.append)
    _Answers.code, _Answers.promised = 200, 100
    reread(source, used.append)
    assert len(used) == 1
    _Answers.promised = 0
    reread(source, used.append)
    assert used[1:] == [{"example.net": "bob"}]
