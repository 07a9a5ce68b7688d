from __future__ import annotations

import threading
from pathlib import Path

import argon2
import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.query.access import passwords as passwords_module
from postwatch.query.access.passwords import PasswordFile, parse_passwords, password_line
from postwatch.query.errors import StateError

GOOD = "correct horse battery"


@pytest.fixture(scope="module")
def anna() -> str:
    return password_line("Anna", GOOD)


@pytest.fixture
def path(tmp_path: Path, anna: str) -> Path:
    path = tmp_path / "passwords"
    path.write_text(f"# staff\n\n{anna}\n{password_line('erik', GOOD, 'engineer')}\n")
    return path


def test_the_right_password_comes_in_and_no_other(path: Path) -> None:
    passwords = PasswordFile(str(path))
    found = passwords.verify("ANNA", GOOD)
    assert found is not None
    assert found[0].name == "anna"
    assert found[0].roles == {"owner", "reseller"}
    erik = passwords.verify("erik", GOOD)
    assert erik is not None
    assert erik[0].roles == {"engineer"}
    for name, password in [
        ("anna", "wrong"),
        ("anna", ""),
        ("anna", GOOD + "\0"),
        ("zoe", GOOD),
        ("", GOOD),
        ("anna", "x" * 100_000),
        ("anna", "\ud800"),
    ]:
        assert passwords.verify(name, password) is None


def test_no_password_fits_the_dummy(path: Path) -> None:
    path.write_text("")
    passwords = PasswordFile(str(path))
    for guess in ("", GOOD, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"):
        assert passwords.verify("zoe", guess) is None


def test_an_unknown_name_costs_as_much_as_a_known_one(tmp_path: Path, hashes_tried: list[str]) -> None:
    path = tmp_path / "passwords"
    costly = argon2.PasswordHasher(time_cost=12, memory_cost=16 * 1024).hash(GOOD)
    path.write_text(f"anna:{costly}\n")
    passwords = PasswordFile(str(path))
    for name in ("anna", "zoe"):
        assert passwords.verify(name, "wrong") is None
    assert hashes_tried[0] == costly != hashes_tried[1]
    assert argon2.extract_parameters(hashes_tried[1]) == argon2.extract_parameters(costly)
    assert len(hashes_tried) == 2


def test_a_changed_password_changes_the_fingerprint_and_a_gone_name_has_none(path: Path, anna: str) -> None:
    passwords = PasswordFile(str(path))
    found = passwords.verify("anna", GOOD)
    assert found is not None
    assert passwords.fingerprint("anna") == found[1]
    path.write_text(f"# the same line, elsewhere\n{anna}\n")
    assert passwords.fingerprint("anna") == found[1]
    path.write_text(f"{anna}:owner\n")
    assert passwords.fingerprint("anna") not in (None, found[1])  # another role is another session
    path.write_text(password_line("anna", GOOD + "2") + "\n")
    assert passwords.fingerprint("anna") not in (None, found[1])
    assert passwords.verify("anna", GOOD) is None
    path.write_text("# nobody\n")
    assert passwords.fingerprint("anna") is None
    assert not passwords.has("anna")


def test_a_file_that_cant_be_read_lets_nobody_in(path: Path) -> None:
    passwords = PasswordFile(str(path))
    path.unlink()
    with pytest.raises(StateError, match="can't be read"):
        passwords.verify("anna", GOOD)
    with pytest.raises(StateError):
        passwords.fingerprint("anna")
    path.write_bytes(b"\xff")
    with pytest.raises(StateError, match="not UTF-8"):
        passwords.verify("anna", GOOD)


def test_a_bad_line_counts_for_nobody_and_no_other_line(anna: str) -> None:
    hashed = anna.partition(":")[2]
    for bad in ("zoe", "zoe:", "zoe:plain", f"zoe:{hashed}:king", f":{hashed}", f"zoe:{hashed}:owner:x"):
        entries, numbers = parse_passwords(f"{bad}\n{anna}\n")
        assert list(entries) == ["anna"]
        assert numbers == [1]


@pytest.mark.parametrize(
    "hashed",
    [
        "$argon2id$v=19$m=4194304,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=65536,t=100000,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=65536,t=1,p=1000$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=8,t=0,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=1,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWE",
        "$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFh",
        "$argon2id$v=19$m=8,t=1,p=1$!!!!$!!!!",
    ],
)
def test_a_line_whose_cost_nobody_can_pay_costs_nobody_anything(hashed: str, path: Path, anna: str) -> None:
    """An unknown name costs as much as the first line."""
    path.write_text(f"zoe:{hashed}\n{anna}\n")
    passwords = PasswordFile(str(path))
    assert passwords.verify("zoe", GOOD) is None
    assert passwords.verify("nobody", GOOD) is None
    assert passwords.verify("anna", GOOD) is not None


def test_a_name_that_stands_twice_is_nobodys(anna: str) -> None:
    entries, numbers = parse_passwords(f"{anna}\n{anna}:engineer\n")
    assert entries == {}
    assert numbers == [2]


@pytest.mark.parametrize(
    ("name", "password", "role", "words"),
    [
        ("", GOOD, "", "can't be a name"),
        ("a:b", GOOD, "", "can't be a name"),
        ("#a", GOOD, "", "can't be a name"),
        (" a", GOOD, "", "blank"),
        ("a\n", GOOD, "", "can't be a name"),
        ("anna", "short", "", "too short"),
        ("anna", "x" * 2000, "", "can't be used"),
        ("anna", GOOD, "king", "not a role"),
    ],
)
def test_a_line_that_could_not_be_read_is_not_made(name: str, password: str, role: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        password_line(name, password, role)


def test_a_flood_of_tries_takes_the_memory_of_two(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords_module, "_WAIT_SECONDS", 60)
    passwords = PasswordFile(str(path))
    running, most = 0, 0
    lock = threading.Lock()
    slots = passwords._slots

    class Counted:
        def acquire(self, timeout: float) -> bool:
            nonlocal running, most
            got = slots.acquire(timeout=timeout)
            with lock:
                running += got
                most = max(most, running)
            return got

        def release(self) -> None:
            nonlocal running
            with lock:
                running -= 1
            slots.release()

    passwords._slots = Counted()  # type: ignore[assignment]
    threads = [threading.Thread(target=passwords.verify, args=("zoe", "wrong")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
