from __future__ import annotations

from postwatch.query.filters import DIRECTIONS, STATUS_WORDS
from postwatch.query.labels import LABELS, label
from postwatch.query.translation import speaking
from postwatch.query.web.languages import languages
from postwatch.streams.contracts.outcome import REASONS


def test_every_word_of_a_row_has_its_label() -> None:
    assert set(LABELS) == {*STATUS_WORDS, *DIRECTIONS, *REASONS}


def test_a_word_stays_as_it_is_stored_outside_a_page() -> None:
    assert [label(word) for word in LABELS] == list(LABELS)
    with speaking(languages()["en"]):
        assert label("mailbox-full") == "mailbox full"
        assert label("never-heard-of") == "never-heard-of"
