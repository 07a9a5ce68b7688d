"""The ways in which the same lines may come, tried on the golden logs; the corpora are not part of the project."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.corpora.__main__ import main
from tests.corpora.reading import cut, interleave, message_of, new_parser, read_lines, rows_of

LOG = Path(__file__).parent.parent / "golden" / "exim-main" / "hosting-day.log"


def test_interleaving_keeps_every_line_and_each_message_in_order() -> None:
    lines = read_lines(LOG)
    shuffled = interleave(lines, "exim-main", seed=3)
    assert shuffled != lines
    assert Counter(shuffled) == Counter(lines)
    parser = new_parser("exim-main")
    for message in {message_of(parser, line) for line in lines}:
        own = [line for line in lines if message_of(parser, line) == message]
        assert [line for line in shuffled if message_of(parser, line) == message] == own


def test_records_hold_every_line_in_order() -> None:
    lines = read_lines(LOG)
    records = cut(lines, seed=5)
    assert len(records) > 1
    assert [line for record in records for line in record] == lines


def test_rows_do_not_depend_on_the_way() -> None:
    lines = read_lines(LOG)
    rows = rows_of([lines], "exim-main")
    assert rows
    assert rows_of(cut([*lines[:20], *interleave(lines, "exim-main", seed=7)], seed=7), "exim-main") == rows


JUDGE = """
import json, sys
truth = json.load(open(sys.argv[1]))
found = {json.loads(line)["recipient"] for line in sys.stdin}
missing = [one for one in truth if one not in found]
print(missing)
sys.exit(1 if missing else 0)
"""


@pytest.mark.parametrize(("truth", "status"), [('["paul@customer.example"]', 0), ('["nobody@else.example"]', 1)])
def test_a_difference_ends_with_exit_status_1(
    tmp_path: Path, truth: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "real-mta" / "exim-4.96"
    run.mkdir(parents=True)
    shutil.copy(LOG, run / "mainlog")
    (run / "truth.json").write_text(truth)
    (tmp_path / "check_truth.py").write_text(JUDGE)
    assert main([str(tmp_path), "truth"]) == status
    assert ("nobody@else.example" in capsys.readouterr().out) == bool(status)


def test_an_empty_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "holds none of the corpora" in capsys.readouterr().err
