"""`make corpora CORPORA=/path`: every corpus below that folder; exit 1 on a difference without a reason."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.corpora import crowdsec, exim_suite, fail2ban, grok_patterns, pflogsumm, truth_runs, variations
from tests.corpora.check import Check, Corpus

CORPORA: dict[str, Corpus] = {
    "truth": truth_runs.check,
    "exim-suite": exim_suite.check,
    "grok-patterns": grok_patterns.check,
    "pflogsumm": pflogsumm.check,
    "fail2ban": fail2ban.check,
    "crowdsec-hub": crowdsec.check,
    "variations": variations.check,
}
_MOST_WORDS = 300


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpora", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of corpora")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CORPORA)}; default: all")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - CORPORA.keys()
    if unknown:
        parser.error(f"unknown corpora {', '.join(sorted(unknown))}; known are {', '.join(CORPORA)}")
    found = 0
    wrong = 0
    print(f"{'corpus':48}{'compared':>9}{'explained':>10}{'wrong':>7}{'seconds':>9}")
    for name in chosen.names or CORPORA:
        started = time.perf_counter()
        for check in CORPORA[name](chosen.folder):
            found += 1
            wrong += len(check.differences)
            _print(check, time.perf_counter() - started)
            started = time.perf_counter()
    if not found:
        parser.error(f"{chosen.folder} holds none of the corpora")
    return 1 if wrong else 0


def _print(check: Check, seconds: float) -> None:
    wrong = len(check.differences)
    print(f"{check.name:48}{check.compared:9}{check.explained:10}{wrong:7}{seconds:9.1f}", flush=True)
    for words in check.differences:
        print(f"    {words[:_MOST_WORDS]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
