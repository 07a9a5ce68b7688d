"""`python -m tests.real_mta exim --binary PATH`: a real MTA, and whether Postwatch tells the truth about it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.real_mta import exim, filtered
from tests.real_mta.run import Run, disguise, rows_of


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.real_mta", description=__doc__)
    servers = parser.add_subparsers(dest="mta", required=True)
    one = servers.add_parser("exim")
    one.add_argument("--binary", type=Path, required=True)
    one.add_argument("--user", default="mail", help="the user that Exim runs as (default: mail)")
    one.add_argument("--options", default="", help="further main options, such as 'log_selector = +all'")
    one.add_argument("--keep-log", type=Path, help="where the log goes, with names and addresses replaced")
    other = servers.add_parser("filtered")
    other.add_argument("--keep-log", type=Path, help="where the log goes")
    chosen = parser.parse_args(arguments)
    if chosen.mta == "filtered":
        return filtered.run_filtered(chosen.keep_log)
    return run_exim(chosen.binary, chosen.user, chosen.options, chosen.keep_log)


def run_exim(binary: Path, user: str, options: str, keep_log: Path | None) -> int:
    folder = Path(tempfile.mkdtemp(prefix="postwatch-exim-"))
    print(f"Exim {exim.version_of(binary)} in {folder}")
    try:
        server = exim.Exim(binary, folder, user, options)
        run = Run(folder, server.port, server.far)
        try:
            exim.scenarios(server, run)
        finally:
            server.close()
        run.check_witnesses()
        log = folder / "disguised.log"
        names = exim.NAMES | {f":{server.far_port}": ":25", f":{server.port}": ":25", str(folder): "/var/spool/exim"}
        log.write_text(disguise(server.log_file.read_text(), names))
        compared, wrong = run.compare(rows_of(log, "exim-main"))
        for words in run.wrong + wrong:
            print(f"wrong: {words}")
        print(f"{compared} recipients compared, {len(wrong)} wrong, {len(run.wrong)} not as the scenario expected")
        if keep_log:
            shutil.copy(log, keep_log)
        return 1 if wrong or run.wrong else 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
