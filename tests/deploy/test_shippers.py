"""The files of other shippers do as docs/other-shippers.md wants: keyed by host, the line alone, nothing given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.mutations.mutation import ROOT

FOLDER = Path(ROOT) / "deploy" / "shippers"


def test_each_file_is_told_of_and_each_named_file_is_there() -> None:
    page = (Path(ROOT) / "docs" / "other-shippers.md").read_text()
    for path in FOLDER.iterdir():
        assert f"`deploy/shippers/{path.name}`" in page
        assert "CHANGE" in path.read_text()


def test_vector_sends_the_line_alone_under_its_host_and_waits_for_kafka() -> None:
    settings: dict[str, Any] = yaml.safe_load((FOLDER / "vector.yaml").read_text())
    sink = settings["sinks"]["kafka"]
    assert (sink["type"], sink["topic"], sink["key_field"]) == ("kafka", "mail.raw", "host")
    assert sink["encoding"] == {"codec": "raw_message"}
    assert sink["acknowledgements"] == {"enabled": True}
    assert sink["buffer"]["when_full"] == "block"
    assert sink["message_timeout_ms"] == 2**31 - 1
    [named] = sink["inputs"]
    assert settings["transforms"][named]["inputs"] == list(settings["sources"])


def test_fluent_bit_sends_the_line_alone_under_its_host_and_tries_for_ever() -> None:
    pipeline = yaml.safe_load((FOLDER / "fluent-bit.yaml").read_text())["pipeline"]
    [output], [tail], [modifier] = pipeline["outputs"], pipeline["inputs"], pipeline["filters"]
    assert (output["name"], output["topics"], output["message_key_field"]) == ("kafka", "mail.raw", "host")
    assert (output["format"], output["raw_log_key"]) == ("raw", "log")
    assert (output["queue_full_retries"], output["retry_limit"]) == (0, False)
    assert modifier["record"].startswith("host ")
    assert tail["db"]
    assert {output["match"], modifier["match"]} == {tail["tag"]}
