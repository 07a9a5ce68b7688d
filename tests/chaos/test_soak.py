"""The soak's own reckoning; the soak itself takes half an hour (`make soak`)."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.chaos.soak import grown, thirds
from tests.chaos.soak_picture import draw


def test_warming_up_is_no_growth_but_growing_on_is() -> None:
    flat = [(float(at), 100.0 if at > 10 else 10.0) for at in range(60)]
    growing = [(float(at), 100.0 + at) for at in range(60)]
    assert thirds(flat) == (100.0, 100.0)
    assert grown({"join-1": flat}) == []
    assert grown({"join-1": growing}) == ["join-1 grew from 114 MB to 150 MB"]
    assert grown({"join-1": growing[:1]}) == []


def test_the_picture_has_a_line_for_each_part() -> None:
    picture = ElementTree.fromstring(draw({"join-1": [(0.0, 10.0), (60.0, 20.0)], "<sink>": [(0.0, 5.0)]}))
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [1, 2]
    assert "<sink>" in [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
