from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from postwatch.deploy.cli import main
from postwatch.deploy.embedded.ports import choose_port
from postwatch.query.commands import serve
from postwatch.query.commands.reports import command_of
from postwatch.query.reports.account import DeliveriesShape
from postwatch.query.reports.servers import ServersShape
from postwatch.query.reports.trace import TraceShape
from postwatch.streams.contracts.outcome import Attempt

from tests import unit_sandbox
from tests.notify_socket import NotifySocket, listening
from tests.query.conftest import NOW_MS, Office, make_row, make_rows
from tests.waiting import PATIENCE, wait_until

HOSTILE = "[red]x[/red] :smile: \x1b[2J\x1b]0;owned\x07 \u202e =1+1 {} %s"


def _run(office: Office, name: str, *words: str) -> int:
    command = command_of(name)
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.show(office.service, parser.parse_args(words))


def _run_report(office: Office, *words: str) -> int:
    return _run(office, "report", "bob@example.org", *words)


@pytest.fixture
def hostile_office(office: Office) -> Office:
    attempt = Attempt(NOW_MS, "deferred", 451, HOSTILE, HOSTILE, HOSTILE)
    office.insert(
        [
            make_row(
                recipient=f"<{HOSTILE}>",
                response=HOSTILE * 5,
                subject=HOSTILE,
                sender=HOSTILE,
                server=HOSTILE,
                message_id="m1@example.org",
                status="bounced",
                attempts=(attempt,),
                log_lines=(HOSTILE,),
            )
        ]
    )
    office.beat(HOSTILE, age_ms=90_000)
    return office


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_tables_fit_the_terminal_and_obey_no_stranger(
    hostile_office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert _run_report(hostile_office) == 0
    assert _run(hostile_office, "trace", "m1@example.org") == 0
    assert _run(hostile_office, "servers") == 0
    assert _run(hostile_office, "search", "m1@example.org") == 0
    assert _run(hostile_office, "search", "owned", "--kind", "words") == 0
    hostile_office.insert([make_row(queue_id="Q1", status="deferred", remote_provider=HOSTILE, sender=HOSTILE)])
    assert _run(hostile_office, "queue") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    assert not re.search(r"[^\n\x20-\x7e]", out)
    assert "[red]" in out
    assert ":smile:" in out
    assert "\\x1b[2J" in re.sub(r"\s+", "", out)


def test_the_table_tells_time_recipient_status_and_error(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    office.insert(make_rows(3))
    office.insert([make_row(recipient="gone@example.net", status="bounced", response="550 no such user")])
    office.beat("web1", age_ms=1000)
    assert _run_report(office) == 0
    out = capsys.readouterr().out
    assert re.search(r"bounced +gone@example\.net +\S{22}\n +550 no such user", out)
    assert "4 rows of the last 30 days" in out
    assert "silent" not in out
    assert "--cursor" not in out


def test_a_narrow_table_tells_whom_received_mail_is_from(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    office.insert([make_row(direction="received", recipient="bob@example.org", sender="alice@example.com")])
    assert _run_report(office) == 0
    assert "from alice@example.com" in " ".join(capsys.readouterr().out.split())


def test_the_next_page_of_a_table_is_told_in_one_piece(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "68")
    office.insert(make_rows(4))
    assert _run_report(office, "--limit", "2") == 0
    found = re.search(r"^older: (--cursor) (\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert found
    assert _run_report(office, "--limit", "2", *found.groups()) == 0
    out = capsys.readouterr().out
    assert "reader2" in out
    assert "reader1" not in out


def test_a_reply_of_several_lines_is_shown_as_such(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    reply = r"550-5.1.1 No such user\n550 5.1.1 Ask the recipient"
    attempt = Attempt(NOW_MS, "bounced", 550, reply, "", "")
    office.insert([make_row(status="bounced", response=reply, attempts=(attempt,), log_lines=(reply,))])
    _run_report(office)
    assert _run(office, "trace", "alice@example.net") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("550-5.1.1 No such user" in line and reply not in line for line in lines) == 3
    assert sum("550 5.1.1 Ask the recipient" in line and reply not in line for line in lines) == 3
    assert f"    {reply}" in lines


def test_an_account_without_mail_is_told_from_one_without_data(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.beat("web1", age_ms=3_600_000)
    assert _run_report(office, "--days", "7") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "No mail found for bob@example.org in the last 7 days." in out
    assert "1 of 1 servers is silent (web1 for 60 min): its newest mail may be missing here." in out


def test_json_and_csv_hold_the_data_alone(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.insert(make_rows(3))
    assert _run_report(office, "--format", "json", "--limit", "2") == 0
    page = DeliveriesShape.model_validate(json.loads(capsys.readouterr().out))
    assert len(page.deliveries) == 2
    assert page.next_cursor
    assert _run_report(office, "--format", "csv", "--limit", "2") == 0
    output = capsys.readouterr()
    assert [one["recipient"] for one in csv.DictReader(io.StringIO(output.out))] == [
        "reader0@example.net",
        "reader1@example.net",
    ]
    assert f"older: --cursor {page.next_cursor}" in output.err
    assert "No mail server has reported yet" in output.err


def test_trace_and_servers_as_json(hostile_office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(hostile_office, "trace", "m1@example.org", "--format", "json") == 0
    assert TraceShape.model_validate_json(capsys.readouterr().out).deliveries[0].subject == HOSTILE
    assert _run(hostile_office, "servers", "--format", "json") == 0
    assert ServersShape.model_validate_json(capsys.readouterr().out).servers[0].server == HOSTILE


def test_a_trace_of_the_unknown_says_so_and_fails(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(office, "trace", "nothing") == 1
    assert "No message found for 'nothing' in the last 30 days." in capsys.readouterr().out


@pytest.mark.parametrize("command", [["report", "bob@example.org"], ["trace", "x"], ["servers"]])
def test_clickhouse_away_is_one_line(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", f"http://127.0.0.1:{choose_port()}")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "start it, or set POSTWATCH_CLICKHOUSE_URL" in error


def test_the_commands_read_the_settings(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", office.settings.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", "nowhere")
    assert main(["report", "bob@example.org"]) == 2
    assert "run `postwatch migrate`" in capsys.readouterr().err
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", office.settings.database)
    office.insert(make_rows(2))
    assert main(["report", "bob@example.org", "--format", "csv"]) == 0
    assert "reader1@example.net" in capsys.readouterr().out
    assert main(["report", "bob@example.org", "--status", "lost"]) == 2
    assert "use accepted" in capsys.readouterr().err


def test_the_terminal_reads_whose_the_domains_are(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", office.settings.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", office.settings.database)
    office.insert(make_rows(2))
    assert main(["stats", "--by", "owner"]) == 2
    assert "set POSTWATCH_ACCESS_OWNERS" in capsys.readouterr().err
    owners = tmp_path / "owners"
    monkeypatch.setenv("POSTWATCH_ACCESS_OWNERS", str(owners))
    assert main(["stats", "--by", "owner"]) == 2
    assert "POSTWATCH_ACCESS_OWNERS" in capsys.readouterr().err
    assert main(["stats", "--by", "domain"]) == 0
    owners.write_text("example.org: bobby\n")
    capsys.readouterr()
    assert main(["stats", "--by", "owner", "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("bobby,")


def test_serve_refuses_other_machines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWATCH_QUERY_LISTEN", "0.0.0.0:8080")
    assert main(["serve"]) == 1
    assert "log-in is off" in capsys.readouterr().err


def test_help_names_the_way_in_from_elsewhere() -> None:
    parser = argparse.ArgumentParser()
    serve.configure(parser)
    assert "POSTWATCH_QUERY_LISTEN" in parser.format_help()


def test_serve_says_where_answers_and_ends_on_sigterm(office: Office, tmp_path: Path) -> None:
    owners = tmp_path / "owners"
    owners.write_text("example.org: bobby\n")
    office.insert(make_rows(2))
    environ = os.environ | {
        "POSTWATCH_QUERY_LISTEN": "127.0.0.1:0",
        "POSTWATCH_CLICKHOUSE_URL": office.settings.url,
        "POSTWATCH_CLICKHOUSE_DATABASE": office.settings.database,
        "POSTWATCH_ACCESS_OWNERS": str(owners),
    }
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        "import sys; from postwatch.deploy.cli import main; sys.exit(main(['serve']))",
    ]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found
        assert "this machine only" in line
        assert httpx.get(f"{found[0]}health", timeout=PATIENCE).json() == {"healthy": True, "complaints": {}}
        by_owner = httpx.get(f"{found[0]}api/v1/statistics?by=owner", timeout=PATIENCE).json()
        assert [group["value"] for group in by_owner["groups"]] == ["bobby"]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert '"event": "serving"' in log
    assert "Traceback" not in log


def test_serve_while_clickhouse_is_away_logs_one_plain_line_and_systemd_is_told(tmp_path: Path) -> None:
    """It runs with the filters of its unit, where this machine has what that takes."""
    with listening(tmp_path / "notify") as systemd:
        _serve_while_clickhouse_is_away(systemd)
    assert systemd.count("READY=1") == systemd.count("STOPPING=1") == 1


def _serve_while_clickhouse_is_away(systemd: NotifySocket) -> None:
    environ = (
        os.environ
        | systemd.environment(1.0)
        | {
            "POSTWATCH_QUERY_LISTEN": "127.0.0.1:0",
            "POSTWATCH_CLICKHOUSE_URL": f"http://127.0.0.1:{choose_port()}",
        }
    )
    command = [sys.executable, "-c", "import sys; from postwatch.deploy.cli import main; sys.exit(main(['serve']))"]
    if not unit_sandbox.unavailable():
        command = [sys.executable, "-m", "tests.unit_sandbox", "postwatch-serve.service", *command]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found
        for path in ("", "servers", "api/v1/servers", "health"):
            assert httpx.get(f"{found[0]}{path}", timeout=PATIENCE).status_code == 503
        beats = systemd.count("WATCHDOG=1")
        wait_until(lambda: systemd.count("WATCHDOG=1") > beats, "the loop turns")
        assert "clickhouse: " in systemd.said("STATUS")[-1]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    warnings = [line for line in map(json.loads, log.splitlines()) if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["clickhouse_away"]
    assert re.search("set POSTWATCH_CLICKHOUSE_URL", warnings[0]["reason"])
    assert "HTTPConnection" not in log
