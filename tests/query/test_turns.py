from __future__ import annotations

import threading
import time

import pytest
from postwatch.query.errors import BusyError
from postwatch.query.turns import Turns

from tests.waiting import PATIENCE


def test_one_viewer_s_heavy_reports_hold_up_nobody_else() -> None:
    turns = Turns(4, wait_seconds=20)
    done, begun = threading.Event(), threading.Semaphore(0)
    ends: list[str] = []

    def heavy() -> None:
        try:
            with turns.turn("heavy"):
                begun.release()
                done.wait(PATIENCE)
            ends.append("answered")
        except BusyError:
            ends.append("busy")
            begun.release()

    threads = [threading.Thread(target=heavy) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(4):  # two have their turn, and two of the others are refused at once
        assert begun.acquire(timeout=PATIENCE)
    assert ends == ["busy", "busy"]
    started = time.monotonic()
    with turns.turn("anna"), turns.turn(""):
        assert time.monotonic() - started < 10
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(ends) == ["answered"] * 4 + ["busy"] * 2
    with turns.turn("heavy"), turns.turn("heavy"):
        pass
    assert not turns._asked
    assert not turns._running


def test_who_waits_too_long_is_told_so_and_leaves_no_trace() -> None:
    turns = Turns(2, wait_seconds=0.05)
    with turns.turn("anna"), pytest.raises(BusyError, match="anna"), turns.turn("anna"):
        pass
    with turns.turn(""), turns.turn("bob"), pytest.raises(BusyError, match="enough reports"), turns.turn("carl"):
        pass
    with turns.turn("anna"), turns.turn("carl"):
        pass
