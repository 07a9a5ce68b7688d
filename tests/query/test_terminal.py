"""Deliveries in a terminal: 80 columns are enough, and each has the id to go on with."""

from __future__ import annotations

import pytest
from postwatch.query.statements import Delivery
from postwatch.query.terminal import cut_middle, delivery_lines, short_table
from rich.console import Console

from tests.query.conftest import make_row

LONG = "somebody.with.a.very.long.name.indeed@a-domain-that-is-long-too.example"
ROW = make_row(account="anna@bakery.example", recipient=LONG)


def _shown(row: Delivery, width: int, account: str = "") -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        for line in delivery_lines((row,), width, account):
            console.print(line)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("response", ["", "250 OK", "550-one\n550 two\x1b[31m", "words " * 80])
def test_a_delivery_takes_two_lines_with_its_id(width: int, response: str) -> None:
    lines = _shown(ROW._replace(response=response), width)
    assert len(lines) == 3  # the heading is the first
    assert max(map(len, lines)) <= width
    assert lines[1].endswith(ROW.id)
    assert "from anna@bakery.example" in lines[2]
    assert "\x1b" not in "".join(lines)


def test_the_time_has_its_date_where_there_is_room() -> None:
    assert _shown(ROW, 80)[1][2] == "-"
    assert _shown(ROW, 100)[1][4] == "-"


def test_an_account_is_not_told_that_it_is_the_sender() -> None:
    own = _shown(ROW, 80, "anna@bakery.example")
    assert own[2].strip() == "250 OK"
    others = _shown(ROW._replace(sender=""), 80, "anna@bakery.example")
    assert "from <>" in others[2]


def test_an_address_keeps_its_begin_and_the_end_of_its_domain() -> None:
    assert cut_middle(LONG, 20) == "somebody...o.example"
    assert cut_middle("a@b.example", 20) == "a@b.example"


def test_each_name_of_a_table_is_told_whole_and_figures_stand_below_each_other() -> None:
    heading = ("Domain", "Messages", "Delivered", "Waiting", "Failed", "Rejected", "Limited", "Size")
    figures = ("1234567", "8", "9", "10", "11", "12", "115.0 KB")
    names = ("b.example", "a-domain-of-some.example", "another-domain-of-some.example")
    console = Console(width=80, highlight=False)
    with console.capture() as capture:
        console.print(short_table(heading, [(name, *figures) for name in names], 80))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line in names] == list(names[1:])
    assert lines[1].startswith("b.example  ")
    assert len({line.index("1234567") for line in lines if "1234567" in line}) == 1
    assert len({len(line) for line in lines if line not in names}) == 1
