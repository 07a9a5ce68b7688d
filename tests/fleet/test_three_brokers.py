"""A short night with three brokers, of which one is hurt in each round. A long one: tests/chaos/README.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.__main__ import report
from tests.chaos.night import Plan, live_through

SEED, FAULTS, SECONDS = 21, 9, 120.0


@pytest.mark.stack
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="`make fleet-test` runs it")
def test_a_broker_of_three_is_hurt_in_each_round_and_nothing_is_lost(tmp_path: Path) -> None:
    night = live_through(Plan(SEED, FAULTS, SECONDS, brokers=3), tmp_path, print)
    print("\n".join(report(night)))
    assert night.judgement.wrong == [], f"repeat it with: make chaos SEED={SEED} FAULTS={FAULTS} BROKERS=3"
    assert sum(len(seconds) for kind, seconds in night.catch_up.items() if "broker" in kind) > 1
    assert night.judgement.rows > 1_000
