from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.deploy.cli import main
from postwatch.query.access.handover import HandOverDesk
from postwatch.query.access.keys import shared_key
from postwatch.query.access.passwords import PasswordFile, password_line
from postwatch.query.access.people import People
from postwatch.query.access.roles import Identity
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenBook, TokenScope

GOOD = "correct horse battery"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The state that the commands use."""
    path = str(tmp_path / "state" / "access.sqlite")
    monkeypatch.setenv("POSTWATCH_ACCESS_STATE", path)
    monkeypatch.setenv("COLUMNS", "200")
    return path


def create(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["token", "create", *words]) == 0
    return capsys.readouterr().out.strip()


def test_a_token_is_created_listed_and_revoked(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret = create(capsys, "dashboard", "--domain", "A.example", "--account", "Bob@b.example")
    store = StateStore(state)
    found = TokenBook(store).find(secret)
    assert found is not None
    assert found.scope == TokenScope(frozenset({"bob@b.example"}), frozenset({"a.example"}))
    assert main(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert found.id in listed
    assert "bob@b.example, @a.example" in listed
    assert "never" in listed
    assert secret not in listed
    assert main(["token", "revoke", "dashboard"]) == 0
    assert TokenBook(store).find(secret) is None
    store.close()
    assert main(["token", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "needs a scope"),
        (["x", "--engineer", "--domain", "a.example"], "add --all"),
        (["x", "--domain", "bob@b.example"], "not a valid account"),
        (["x", "--account", "b.example"], "not a mailbox"),
        (["x", "--all", "--days", "0"], "out of range"),
    ],
)
def test_a_scope_that_says_nothing_is_refused(
    state: str, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    assert main(["token", "create", *words]) == 1
    assert complaint in capsys.readouterr().err


def test_a_token_for_everything_and_engineers(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret = create(capsys, "noc", "--all", "--engineer", "--days", "1")
    store = StateStore(state)
    found = TokenBook(store).find(secret)
    store.close()
    assert found is not None
    assert found.viewer.is_engineer


def test_the_password_is_read_from_standard_input_and_the_line_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("postwatch"), "password", "Anna", "--role", "owner"],
        input=GOOD + "\n",
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert GOOD not in done.stdout + done.stderr
    (tmp_path / "passwords").write_text(done.stdout)
    found = PasswordFile(str(tmp_path / "passwords")).verify("anna", GOOD)
    assert found is not None
    assert found[0].roles == {"owner"}


def test_a_hand_over_link_of_the_command_opens_its_mailbox(
    state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTWATCH_ACCESS_PUBLIC_URL", "https://track.example.net/mail/")
    assert main(["handover", "anna@a.example"]) == 0
    address, _, code = capsys.readouterr().out.strip().partition("?code=")
    assert address == "https://track.example.net/mail/hand-over"
    store = StateStore(state)
    assert HandOverDesk(store, shared_key(store, "hand-over")).use(code) is not None
    store.close()
    monkeypatch.delenv("POSTWATCH_ACCESS_PUBLIC_URL")
    assert main(["handover", "anna@a.example"]) == 0
    assert capsys.readouterr().out.startswith("http://127.0.0.1:8080/hand-over?code=")
    assert main(["handover", "anna"]) == 1
    assert "not a mailbox" in capsys.readouterr().err


def test_people_tell_whether_a_session_still_holds(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("a.example: anna\n")
    passwords = tmp_path / "passwords"
    passwords.write_text(password_line("anna", GOOD) + "\n")
    people = People(AccessSettings(owners=str(tmp_path / "domains"), passwords=str(passwords)))
    assert people.passwords is not None
    found = people.passwords.verify("anna", GOOD)
    assert found is not None
    viewer = people.viewer(found[0])
    assert viewer is not None
    assert viewer.domains == {"a.example"}
    assert people.still_holds(*found)
    assert people.still_holds(people.of_imap("anna"), "")
    passwords.write_text(password_line("anna", "another " + GOOD) + "\n")
    assert not people.still_holds(*found)
    passwords.write_text("# gone\n")
    assert not people.still_holds(*found)
    assert not People(AccessSettings()).still_holds(Identity("anna", "password"), "x")
