"""The postwatch command: help for everything, lazy imports, and errors of one line with the remedy."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from postwatch.deploy.cli import COMMANDS, Command, main
from postwatch.producers.service.errors import BadInputError

Run = Callable[[argparse.Namespace], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Put a subcommand `try` into the table, whose `run` is given."""

    def put(run: Run) -> None:
        module = types.ModuleType("postwatch.try_command")
        module.configure = lambda parser: parser.add_argument("--times", type=int, default=1)  # type: ignore[attr-defined]
        module.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "postwatch.try_command", module)
        monkeypatch.setitem(COMMANDS, "try", Command("try_command", "stream", "try something"))

    return put


def exit_status(*words: str) -> object:
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--help") == 0
    shown = capsys.readouterr().out
    for name, known in COMMANDS.items():
        assert name in shown
        assert known.summary in " ".join(shown.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_DATA_HOME", "/var/lib")  # a default that is shown
    assert exit_status(name, "--help") == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def loaded_by(*words: str) -> set[str]:
    """The packages and modules of other projects, and those of Postwatch, that a command loads."""
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.splitlines()[-1].split())


LOADED = """
import sys
from postwatch.deploy.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*sys.modules)
"""


def test_the_list_of_commands_needs_no_other_package() -> None:
    tops = {name.partition(".")[0] for name in loaded_by("--help")}
    assert tops & {"msgspec", "pyarrow", "structlog", "email", "asyncio", "http", "inspect"} == set()


def test_a_shipper_loads_no_more_where_more_is_installed() -> None:
    tops = {name.partition(".")[0] for name in loaded_by("ship", "--help")}
    assert "structlog" in tops
    assert tops & {"rich", "pygments", "attr", "greenlet", "pyarrow", "msgspec", "prometheus_client"} == set()
    assert tops & {"asyncio", "ssl", "_ssl", "_hashlib"} == set()  # Kafka's client has OpenSSL in itself


def test_read_loads_nothing_of_services(tmp_path: Path) -> None:
    """They made half of the time that a log of a day takes."""
    log = tmp_path / "mainlog"
    log.write_text("2026-03-02 08:01:10 1vwyDG-0003aB-1X <= a@b.example U=web7 P=local S=7 for c@d.example\n")
    tops = {name.partition(".")[0] for name in loaded_by("read", str(log))}
    assert "msgspec" in tops
    services = {"pyarrow", "numpy", "confluent_kafka", "structlog", "rich", "prometheus_client", "faust", "aiokafka"}
    assert tops & {*services, "clickhouse_connect", "lz4", "asyncio", "http", "zipfile"} == set()


def test_doctor_does_not_wait_for_a_database_of_webhooks_that_nobody_made() -> None:
    """It was more than half of a second or two before `--help`."""
    assert "sqlalchemy" not in loaded_by("doctor", "--help")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--version") == 0
    assert capsys.readouterr().out.startswith("postwatch 0.")


def test_no_command_and_an_unknown_one_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status() == 2
    assert exit_status("sinc") == 2
    assert "invalid choice: 'sinc'" in capsys.readouterr().err


def test_the_exit_status_is_the_commands(command: Callable[[Run], None]) -> None:
    command(lambda arguments: int(arguments.times))
    assert main(["try", "--times", "7"]) == 7


def test_an_error_is_one_line_and_exit_1(command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_arguments: argparse.Namespace) -> int:
        raise BadInputError("the thing\nand the remedy")

    command(fail)
    assert main(["try"]) == 1
    assert capsys.readouterr().err == "postwatch try: the thing and the remedy\n"


def test_a_command_that_looks_for_something_fails_with_2_for_1_means_nothing_found(
    command: Callable[[Run], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [BadInputError("no such file"), RuntimeError("a defect")]

    def fail(_arguments: argparse.Namespace) -> int:
        raise errors.pop(0)

    command(fail)
    monkeypatch.setitem(COMMANDS, "try", COMMANDS["try"]._replace(error_status=2))
    assert main(["try"]) == 2
    assert capsys.readouterr().err == "postwatch try: no such file\n"
    assert main(["try"]) == 2
    assert "RuntimeError: a defect" in capsys.readouterr().err
    assert {name for name, known in COMMANDS.items() if known.error_status == 2} - {"try"} == {
        "report",
        "trace",
        "search",
        "queue",
        "stats",
        "dead-letters",
        "bounces",
        "story",
        "server",
        "servers",
        "read",
        "verify",
    }


def test_ctrl_c_is_no_traceback(command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    command(interrupt)
    assert main(["try"]) == 130
    assert capsys.readouterr().err == ""


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def without_faust(_name: str) -> types.ModuleType:
        raise ModuleNotFoundError("No module named 'faust'", name="faust")

    monkeypatch.setattr("importlib.import_module", without_faust)
    assert exit_status("join") == 1
    assert capsys.readouterr().err == (
        "postwatch join: the Python package 'faust' is missing; install it with: pip install 'postwatch[stream]'\n"
    )


def test_a_module_of_our_own_that_is_missing_is_a_defect_and_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "try", Command("streams.commands.absent", "stream", "try something"))
    with pytest.raises(ModuleNotFoundError, match=r"postwatch\.streams\.commands\.absent"):
        main(["try"])


def test_only_the_chosen_command_is_imported() -> None:
    script = (
        "import sys; from postwatch.deploy.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('postwatch.') and '.commands.' in name])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("\n[]\n")


@pytest.mark.parametrize(
    "words",
    [
        ["migrate"],
        ["sink"],
        ["serve"],
        ["servers"],
        ["doctor"],
        ["report", "a@b.example"],
        ["trace", "1abcde-0000aA-1A"],
    ],
)
def test_every_command_that_uses_clickhouse_refuses_a_wrong_address_at_start(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for url, said in (("nonsense", "is not an HTTP address"), ("http://anna:s3cret@ch:8123", "CLICKHOUSE_PASSWORD")):
        monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", url)
        assert main(words) != 0
        [line] = capsys.readouterr().err.splitlines()
        assert said in line
        assert "s3cret" not in line


ENDLESS = "while True: print('row')"
SHORT = "print('row', flush=True); sys.stdin.read(); print('row')"


@pytest.mark.parametrize("body", [ENDLESS, SHORT])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(body: str) -> None:
    script = (
        "import sys, types; from postwatch.deploy import cli\n"
        "module = types.ModuleType('postwatch.try_command')\n"
        "module.configure = lambda parser: None\n"
        "def run(arguments):\n"
        f"    {body}\n"
        "    return 0\n"
        "module.run = run\n"
        "sys.modules['postwatch.try_command'] = module\n"
        "cli.COMMANDS['try'] = cli.Command('try_command', 'stream', 'try something')\n"
        "sys.exit(cli.main(['try']))\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == "row\n"
        writer.stdout.close()
        writer.stdin.close()
        assert writer.stderr.read() == ""
        assert writer.wait(timeout=30) == 141
