"""The soak's picture; the soak itself takes half an hour (`make soak`)."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.chaos.soak_picture import draw


def test_the_picture_has_a_line_for_each_part() -> None:
    picture = ElementTree.fromstring(draw({"join-1": [(0.0, 10.0), (60.0, 20.0)], "<sink>": [(0.0, 5.0)]}, "MB"))
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [1, 2]
    assert "<sink>" in [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
