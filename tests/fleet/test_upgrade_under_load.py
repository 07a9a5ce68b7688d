"""Each part goes to another build and back while lines arrive, in the order of docs/upgrade.md: nothing lost, or twice.

The other build is the commit POSTWATCH_UPGRADE_FROM, by default the one before this: `make fleet-test FROM=COMMIT`.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.chaos.faults import Scene
from tests.chaos.night import CATCH_UP_SECONDS, SERVERS, Director, Night, Plan
from tests.chaos.stack import Stack
from tests.chaos.traffic import Traffic
from tests.chaos.verdict import drain, judge
from tests.fleet.other_build import build_other
from tests.waiting import wait_until

COMMIT = os.environ.get("POSTWATCH_UPGRADE_FROM") or "HEAD~1"
SEED = 31
FORWARD = ("sink", "join", "serve", "ship")
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="`make fleet-test` runs it"),
]


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    return build_other(COMMIT, tmp_path / "other")


def steps(stack: Stack, here: Path, other: Path) -> Iterator[tuple[str, Path]]:
    """Forth, back in the other order, and forth: each part alone, but all shippers at once."""
    for python, kinds in ((here, FORWARD), (other, FORWARD[::-1]), (here, FORWARD)):
        for kind in kinds:
            for name in stack.names(kind):
                yield name, python


def wait_for(stack: Stack, condition: Callable[[], bool], what: str) -> None:
    def is_so() -> bool:
        stack.tick()
        return condition()

    wait_until(is_so, what, seconds=300)


def is_told(stack: Stack, queue_id: str) -> bool:
    """Whether the pages tell of a message."""
    try:
        answer = httpx.get(f"{stack.pages}/api/v1/trace", params={"id": queue_id}, timeout=30)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and bool(answer.json()["deliveries"])


def test_no_part_loses_a_line_when_it_is_upgraded_and_rolled_back(tmp_path: Path, other_python: Path) -> None:
    here = Path(sys.executable)
    traffic = Traffic(tmp_path / "mail", SEED, SERVERS)
    logs = {server: log.path for server, log in traffic.logs.items()}
    with Stack(tmp_path, logs, traffic.domains_file, python=other_python) as stack:
        scene = Scene(stack, traffic, random.Random(SEED))
        director = Director(scene, Night(Plan(SEED, 0, 0)), print)
        traffic.start()
        try:
            assert director.catch_up(CATCH_UP_SECONDS) is not None, stack.tails()
            stack.prepare(here)
            for name, python in steps(stack, here, other_python):
                stack.run_with(name, python)
                wait_for(stack, partial(stack.is_ready, name), f"{name} is ready")
                took = director.catch_up(CATCH_UP_SECONDS)
                assert took is not None, f"{name} of {python}\n{stack.tails()}"
                print(f"{name} of {'this build' if python == here else 'the other build'}: caught up in {took:.1f} s")
                newest = next(iter(traffic.newest_delivered().values()))
                wait_for(stack, partial(is_told, stack, newest), "it is told")
        finally:
            traffic.stop()
        wrong = drain(stack)
        judgement = judge(scene, of_one_build=False)
        assert [*wrong, *stack.crashes(), *judgement.wrong] == [], stack.tails()
    assert judgement.rows > 1_000
    print(f"{traffic.lines} lines, {judgement.rows} rows: nothing lost, nothing twice")
