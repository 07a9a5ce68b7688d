"""What the check of a password says, of Dovecot and of pymap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postwatch.query.access.imap import ImapCheck, Verdict

from tests.certificates import make_certificates
from tests.query.access.dovecot import make_dovecot
from tests.query.access.imap_server import ImapServer
from tests.query.access.pymap_server import make_pymap

NAME, PASSWORD = "anna@a.example", "sécret words"


@pytest.fixture(scope="module", params=[make_dovecot, make_pymap], ids=["dovecot", "pymap"])
def server(request: pytest.FixtureRequest) -> Iterator[ImapServer]:
    made: ImapServer = request.param()
    made.set_users(anna=PASSWORD)
    made.start()
    yield made
    made.remove()


def test_right_wrong_and_unknown(server: ImapServer) -> None:
    for address in server.addresses:
        check = ImapCheck(address, server.ca_file, 5, 2)
        assert check.check(NAME, PASSWORD) is Verdict.RIGHT
        for name, password in (
            (NAME, "wrong"),
            (NAME, PASSWORD + " "),
            ("nobody@a.example", PASSWORD),
            ("anna", PASSWORD),
            (f"{NAME}\0anna", PASSWORD),
            (NAME, f"{PASSWORD}\0"),
            (NAME, f"{PASSWORD}\r\n"),
        ):
            assert check.check(name, password) is Verdict.WRONG, (address, name, password)


def test_a_password_goes_to_no_server_whose_certificate_is_another(
    server: ImapServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("ca")
    make_certificates(other)
    for address in server.addresses:
        for ca_file, host in ((str(other / "ca.pem"), "127.0.0.1"), ("", "127.0.0.1"), (server.ca_file, "localhost")):
            check = ImapCheck(address.replace("127.0.0.1", host), ca_file, 5, 2)
            assert check.check(NAME, PASSWORD) is Verdict.UNKNOWN


def test_a_changed_password_and_a_removed_mailbox_are_noticed_and_a_stopped_server_says_nothing(
    server: ImapServer,
) -> None:
    check = ImapCheck(server.address, server.ca_file, 5, 2)
    server.set_users(anna="another")
    assert check.check(NAME, PASSWORD) is Verdict.WRONG
    server.set_users(bert="b")
    assert check.check(NAME, "another") is Verdict.WRONG
    assert check.check("bert@a.example", "b") is Verdict.RIGHT
    server.stop()
    assert check.check("bert@a.example", "b") is Verdict.UNKNOWN
    server.set_users(anna=PASSWORD)
    server.start()
    assert check.check(NAME, PASSWORD) is Verdict.RIGHT
