from __future__ import annotations

import os
from pathlib import Path

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.query.access.owners import OwnerBook, OwnerLists, parse_resellers
from postwatch.query.access.roles import Identity, Role, of_hand_over, of_imap, viewer_of
from postwatch.query.viewer import Viewer

SETTINGS = ("POSTWATCH_ACCESS_OWNERS", "POSTWATCH_ACCESS_RESELLERS")
DOMAINS = {"a.example": "anna", "b.example": "anna", "c.example": "carl", "d.example": "dora", "n.example": "nobody"}
LISTS = OwnerLists.of(DOMAINS, {"anna": "rita", "carl": "rita", "dora": "root", "rita": "root", "empty": "rita"})


def by(name: str, *roles: Role) -> Viewer | None:
    return viewer_of(Identity(name, "password", roles=frozenset(roles)), LISTS, {"erik"})


def test_cpanels_trueuserowners() -> None:
    text = "\ufeff# who sold whom\r\nAnna: Rita\r\nroot: root\n\ncarl: rita # since May\n"
    assert parse_resellers(text, "it") == {"anna": "rita", "root": "root", "carl": "rita"}


@pytest.mark.parametrize("line", ["<html>", "anna", "anna: ", ": rita", "anna: rita: x", "an na: rita"])
def test_what_is_no_owner_is_named_by_its_line(line: str) -> None:
    with pytest.raises(BadInputError, match=r"it line 2: .* names no owner"):
        parse_resellers(f"anna: rita\n{line}\n", "it")


def test_an_owner_sees_his_domains_and_his_own_mail_as_a_system_user() -> None:
    viewer = by("anna", "owner")
    assert viewer == Viewer("anna", domains=frozenset({"a.example", "b.example"}), system_users=frozenset({"anna"}))


def test_a_reseller_sees_what_those_own_to_whom_he_sold_and_nobody_else() -> None:
    viewer = by("rita", "reseller")
    assert viewer is not None
    assert viewer.domains == {"a.example", "b.example", "c.example"}
    assert viewer.system_users == {"anna", "carl", "empty", "rita"}
    assert by("rita", "owner") == Viewer("rita", system_users=frozenset({"rita"}))  # by his role he is no reseller


@pytest.mark.parametrize("name", ["root", "nobody", "", "*"])
def test_names_that_stand_for_the_machine_own_nothing(name: str) -> None:
    assert by(name, "owner", "reseller") is None


@pytest.mark.parametrize("name", ["ann", "anna ", "anna@a.example", "rita@a.example", "zoe"])
def test_a_name_that_is_not_in_the_list_owns_nothing(name: str) -> None:
    assert by(name, "owner", "reseller") is None


def test_a_mailbox_sees_itself_and_no_domain() -> None:
    for mailbox in ("Anna@a.example", "bob@a.example"):
        assert viewer_of(of_imap(mailbox, True), LISTS) == Viewer(mailbox.lower(), frozenset({mailbox.lower()}))


def test_a_system_user_is_an_owner_by_imap_where_that_is_on() -> None:
    assert viewer_of(of_imap("anna", True), LISTS) == by("anna", "owner")
    assert viewer_of(of_imap("anna", False), LISTS) is None
    assert viewer_of(of_imap("zoe", True), LISTS) is None


def test_an_engineer_is_named_by_the_setting_or_by_his_role_and_never_by_a_hand_over_link() -> None:
    for viewer in (by("erik"), by("eva", "engineer")):
        assert viewer is not None
        assert viewer.is_engineer
        assert viewer.sees_all
    mailbox = "erik@p.example"
    assert viewer_of(of_imap(mailbox, True), LISTS, {mailbox}).is_engineer  # type: ignore[union-attr]
    assert viewer_of(of_hand_over(mailbox), LISTS, {mailbox}) == Viewer(mailbox, frozenset({mailbox}))


def test_where_an_imap_server_adds_a_domain_a_name_without_one_is_no_engineer() -> None:
    assert viewer_of(of_imap("erik", True), LISTS, {"erik"}).is_engineer  # type: ignore[union-attr]
    assert viewer_of(of_imap("erik", False), LISTS, {"erik"}) is None
    assert viewer_of(of_imap("erik@p.example", False), LISTS, {"erik@p.example"}).is_engineer  # type: ignore[union-attr]


def test_without_lists_nobody_is_an_owner() -> None:
    book = OwnerBook("", "", SETTINGS)
    book.reread()
    assert viewer_of(of_imap("anna", True), book.lists) is None


def test_an_identity_is_kept_as_text() -> None:
    identity = Identity("anna", "openid", "anna@a.example", frozenset({"owner", "engineer"}))
    assert Identity.from_text(identity.to_text()) == identity


def write(path: Path, text: str, at: int) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


def test_a_domain_that_changes_hands_does_so_while_it_runs_and_a_bad_list_replaces_none(tmp_path: Path) -> None:
    domains, resellers = tmp_path / "userdomains", tmp_path / "trueuserowners"
    write(domains, "a.example: anna\n*: nobody\n", 1)
    write(resellers, "anna: rita\n", 1)
    book = OwnerBook(str(domains), str(resellers), SETTINGS)
    assert book.lists.of_reseller("rita").domains == {"a.example"}
    for number, bad in enumerate(["", "<html>", "# none\n"], 2):
        write(domains, bad, number)
        write(resellers, bad, number)
        book.reread()
        assert book.lists.of_reseller("rita").domains == {"a.example"}
    resellers.unlink()
    write(domains, "a.example: carl\nb.example: anna\n", 9)
    book.reread()
    assert book.lists.of_owner("anna").domains == {"b.example"}
    assert book.lists.of_owner("carl").domains == {"a.example"}
    assert book.lists.of_reseller("rita").domains == {"b.example"}


def test_a_bad_list_at_the_start_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="POSTWATCH_ACCESS_OWNERS="):
        OwnerBook(str(tmp_path / "none"), "", SETTINGS)


def test_a_domain_of_two_owners_is_refused_with_both_lines(tmp_path: Path) -> None:
    """Else the later line would say whose mail it is. The lists of several servers may say the same again."""
    domains, resellers = tmp_path / "userdomains", tmp_path / "trueuserowners"
    write(resellers, "anna: rita\nanna: rita\n", 1)
    write(domains, "# of web1\na.example: anna\n*: nobody\nb.example: carl\nA.Example.: anna\n*: nobody\n", 1)
    book = OwnerBook(str(domains), str(resellers), SETTINGS)
    good = book.lists
    for first, second in (("a.example", "A.EXAMPLE."), ("münchen.example", "xn--mnchen-3ya.example")):
        write(domains, f"{first}: anna\nb.example: carl\n\n{second}: carl\n", 2)
        with pytest.raises(BadInputError, match=r"lines 1 and 4: .* is of 'anna' and of 'carl'"):
            OwnerBook(str(domains), "", SETTINGS)
        book.reread()
        assert book.lists is good
    write(domains, "a.example: anna\n", 1)
    write(resellers, "anna: rita\nAnna: root\n", 2)
    with pytest.raises(BadInputError, match="lines 1 and 2: anna is of 'rita' and of 'root'"):
        OwnerBook(str(domains), str(resellers), SETTINGS)
