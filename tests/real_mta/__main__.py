"""`python -m tests.real_mta exim|postfix …`: a real MTA, and whether Postwatch tells the truth about it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.real_mta import exim, filtered, postfix
from tests.real_mta.run import Run, disguise, rows_of


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real_mta", description=__doc__)
    servers = parser.add_subparsers(dest="mta", required=True)
    one = servers.add_parser("exim")
    one.add_argument("--binary", type=Path, required=True)
    one.add_argument("--user", default="mail", help="the user that Exim runs as (default: mail)")
    one.add_argument("--options", default="", help="further main options, such as 'log_selector = +all'")
    other = servers.add_parser("postfix")
    other.add_argument("--daemon-directory", type=Path, required=True)
    other.add_argument("--command-directory", type=Path, required=True)
    third = servers.add_parser("filtered")
    for server in (one, other, third):
        server.add_argument("--keep-log", type=Path, help="where the log goes, with names and addresses replaced")
    chosen = parser.parse_args(arguments)
    if chosen.mta == "filtered":
        return filtered.run_filtered(chosen.keep_log)
    if chosen.mta == "exim":
        return run_exim(chosen.binary, chosen.user, chosen.options, chosen.keep_log)
    return run_postfix(chosen.daemon_directory, chosen.command_directory, chosen.keep_log)


def run_exim(binary: Path, user: str, options: str, keep_log: Path | None = None) -> int:
    with _new_folder("exim") as folder:
        print(f"Exim {exim.version_of(binary)} in {folder}")
        server = exim.Exim(binary, folder, user, options)
        run = Run(folder, server.port, server.far)
        try:
            exim.scenarios(server, run)
        finally:
            server.close()
            _keep(server.log_file, keep_log)
        names = exim.NAMES | {f":{server.far_port}": ":25", f":{server.port}": ":25", str(folder): "/var/spool/exim"}
        return _judge(run, server.log_file, "exim-main", names, keep_log)


def run_postfix(daemons: Path, commands: Path, keep_log: Path | None = None) -> int:
    with _new_folder("postfix") as folder:
        print(f"Postfix {postfix.version_of(commands)} in {folder}")
        server = postfix.Postfix(daemons, commands, folder)
        run = Run(folder, server.port, server.far)
        try:
            postfix.scenarios(server, run)
        finally:
            server.close()
            _keep(server.log_file, keep_log)
        names = postfix.NAMES | {
            f":{server.far_port}": ":25",
            f":{server.scanner_port}": ":10024",
            f"{server.port}/smtpd": "smtpd",
            f"{server.back_port}/smtpd": "10025/smtpd",
            str(folder): "/var/spool/postfix",
        }
        return _judge(run, server.log_file, "postfix", names, keep_log)


@contextmanager
def _new_folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"postwatch-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _keep(log: Path, keep_log: Path | None) -> None:
    """As it stands, for whoever looks why a scenario broke off."""
    if keep_log:
        shutil.copy(log, keep_log)


def _judge(run: Run, log: Path, log_format: str, names: Mapping[str, str], keep_log: Path | None) -> int:
    run.check_witnesses()
    disguised = run.folder / "disguised.log"
    disguised.write_text(disguise(log.read_text(), names))
    if keep_log:
        shutil.copy(disguised, keep_log)
    compared, wrong = run.compare(rows_of(disguised, log_format))
    for words in run.wrong + wrong:
        print(f"wrong: {words}")
    print(f"{compared} recipients compared, {len(wrong)} wrong, {len(run.wrong)} not as the scenario expected")
    return 1 if wrong or run.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
