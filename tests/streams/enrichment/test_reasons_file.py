"""What an engineer adds goes before what is built in; what makes no sense is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from postwatch.deploy.cli import main
from postwatch.producers.service.errors import SettingsError
from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED
from postwatch.streams.enrichment.reasons_file import parse_reasons, read_reasons

OURS = """
[words]
"Quarantined by Acme" = "spam"
"does not exist at acme" = "policy"
[codes]
"7.999" = "reputation"
"1.1" = "other"
[providers]
"mx.acme.example" = "Acme"
"l.google.com" = "Google Workspace"
"""
LINES = """\
2026-03-09 10:00:00 1vzXTw-000000014EH-3KpW <= anna@bakery.example U=bakery P=local S=700 for b@acme.example
2026-03-09 10:00:01 1vzXTw-000000014EH-3KpW ** b@acme.example R=dns T=smtp H=a.mx.acme.example [192.0.2.1]: 554 Tea
2026-03-09 10:00:01 1vzXTw-000000014EH-3KpW Completed
"""


def test_the_example_of_the_documentation_is_read() -> None:
    text = (Path(__file__).parents[3] / "docs/operations.md").read_text(encoding="utf-8")
    lines = text[text.index("    [words]") :].partition("\n\n")[0].splitlines()
    book = parse_reasons("\n".join(line.removeprefix("    ") for line in lines), "operations.md")
    assert book.find_reason(BOUNCED, "5.0.0", "550 Quarantined by ACME") == "spam"
    assert book.find_reason(BOUNCED, "5.7.606", "550 no") == "reputation"
    assert book.find_provider("a.mx.acme.example") == "Acme"


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        ("", "550 quarantined BY ACME, ask your admin", "spam"),
        ("5.1.1", "550 5.1.1 user does not exist at acme", "policy"),
        ("5.7.999", "550 5.7.999 no", "reputation"),
        ("5.1.1", "550 5.1.1 no", "other"),
        ("5.2.2", "552 5.2.2 no", "mailbox-full"),
        ("", "550 " + "x" * 2000 + "quarantined by acme", "other"),
    ],
)
def test_reasons_of_the_file_go_before_those_built_in(code: str, words: str, reason: str) -> None:
    assert parse_reasons(OURS, "ours.toml").find_reason(BOUNCED, code, words) == reason


def test_only_trouble_has_a_reason_whatever_the_file_says() -> None:
    assert parse_reasons(OURS, "ours.toml").find_reason(DELIVERED, "2.0.0", "quarantined by acme") == ""


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("a.MX.acme.example.", "Acme"),
        ("mx.acme.example", "Acme"),
        ("xmx.acme.example", ""),
        ("mx.acme.example.evil.example", ""),
        ("aspmx.l.google.com", "Google Workspace"),
        ("mail.google.com", "Google"),
    ],
)
def test_the_longest_end_of_a_host_tells_its_provider(host: str, provider: str) -> None:
    assert parse_reasons(OURS, "ours.toml").find_provider(host) == provider


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[words", "ours.toml is no TOML"),
        ("[word]", r"unknown table \[word\]; known are words, codes, providers"),
        ("words = 7", r"\[words\] must be a table"),
        ('[words]\n" " = "spam"', "is not words of a reply"),
        ('[words]\n"x" = "mailbox_full"', "'x': no reason is named 'mailbox_full'; did you mean 'mailbox-full'"),
        ('[words]\n"x" = 7', "'x' must be a text, in quotes"),
        ('[codes]\n"5.7.606" = "spam"', "'5.7.606' is not a code such as 7.606"),
        ('[codes]\n"7.606" = "zzz"', "use one of unknown-user, "),
        ('[providers]\n"com" = "Acme"', "'com' is not the end of a host's name"),
        ('[providers]\n"mx.acme.example" = ""', "'mx.acme.example' must be a text"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        parse_reasons(text, "ours.toml")


def test_a_file_that_is_not_there_is_named_with_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"POSTWATCH_JOIN_REASONS_FILE='/nowhere' can't be read"):
        read_reasons("/nowhere", "POSTWATCH_JOIN_REASONS_FILE")


def test_a_file_is_tried_on_a_log_before_it_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tea.toml").write_text('[words]\ntea = "policy"\n[providers]\n"mx.acme.example" = "Acme"\n')
    (tmp_path / "mainlog").write_text(LINES)
    assert main(["read", "--reasons", str(tmp_path / "tea.toml"), str(tmp_path / "mainlog")]) == 0
    row = msgspec.json.decode(capsys.readouterr().out)
    assert (row["reason"], row["remote_provider"]) == ("policy", "Acme")
