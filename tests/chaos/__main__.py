"""`make chaos SEED=… MINUTES=… FAULTS=… BROKERS=…`: break everything, then compare the table with the truth.

Exit status 0: nothing lost, nothing twice, nothing stale. The folder of a failed night stays, with every log in it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.chaos.night import Night, Plan, live_through


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--brokers", type=int, default=1, choices=(1, 3), help="3: in each round one of them is hurt")
    arguments = parser.parse_args()
    plan = Plan(arguments.seed, arguments.faults, arguments.minutes * 60, arguments.brokers)
    folder = Path(tempfile.mkdtemp(prefix="postwatch-chaos-"))
    night = live_through(plan, folder, lambda line: print(line, flush=True))
    print("\n".join(report(night)))
    if night.judgement.wrong:
        print(f"\nThe parts' logs are in {folder}")
        how = f"MINUTES={arguments.minutes:g} FAULTS={plan.faults} BROKERS={plan.brokers}"
        print(f"repeat it with: make chaos SEED={plan.seed} {how}")
        return 1
    shutil.rmtree(folder)
    return 0


def report(night: Night) -> list[str]:
    """The table of faults, and the verdict."""
    lines = ["", "| fault | times | caught up in (median, most) |", "|---|---|---|"]
    for kind, seconds in sorted(night.catch_up.items()):
        lines.append(f"| {kind} | {len(seconds)} | {statistics.median(seconds):.1f} s, {max(seconds):.1f} s |")
    judgement = night.judgement
    lines += [
        f"| all, seed {night.plan.seed} | {night.faults} | |",
        "",
        f"{night.lines} lines, {judgement.rows} rows, {judgement.letters} dead letters, "
        f"{judgement.writers} owners of tables; {night.faults} faults in "
        f"{night.seconds:.0f} s, {night.restarts} restarts, {night.hurt_connections} connections hurt; "
        f"{night.lines / max(night.seconds, 1):.0f} lines/s throughout",
        *(f"WRONG: {what}" for what in judgement.wrong),
        "WRONG" if judgement.wrong else "RIGHT: nothing lost, nothing twice, nothing stale",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
