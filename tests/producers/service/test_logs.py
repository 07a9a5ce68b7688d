"""Log lines: JSON with the time and the part, from any thread and any library; exceptions in one line each."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any

import pytest
import structlog
from postwatch.producers.service.logs import configure_logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_object_with_time_level_and_part(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sink")
    structlog.get_logger().info("rows_written", rows=5)
    [found] = lines(capsys)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "rows_written", "rows": 5, "level": "info", "part": "sink"}


def test_a_thread_that_starts_later_names_the_part_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sink")
    thread = threading.Thread(target=lambda: structlog.get_logger().warning("late"))
    thread.start()
    thread.join()
    assert lines(capsys)[0]["part"] == "sink"


def test_a_library_logs_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sink")
    logging.getLogger("somebody.else").warning("it is %s", "so")
    logging.getLogger("somebody.else").debug("pending_recipients")
    [found] = lines(capsys)
    assert (found["event"], found["level"], found["part"]) == ("it is so", "warning", "sink")


def test_an_exception_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sink")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("failed")
    [found] = lines(capsys)
    assert found["event"] == "failed"
    assert found["exception"].endswith("ValueError: odd")


def test_a_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logs("sink")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("failed", rows=5)
    shown = capsys.readouterr().err
    assert not shown.startswith("{")
    assert "failed" in shown
    assert "ValueError" in shown


def test_configuring_twice_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("sink")
    configure_logs("sink")
    structlog.get_logger().info("once")
    assert len(lines(capsys)) == 1
