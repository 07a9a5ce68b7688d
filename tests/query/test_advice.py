"""Every reason is explained to both of its readers."""

from __future__ import annotations

import httpx
from postwatch.query.advice import ADVICE
from postwatch.query.details import facts
from postwatch.streams.contracts.outcome import REASONS

from tests.query.conftest import make_row


def test_every_reason_has_its_sentences() -> None:
    assert set(ADVICE) == set(REASONS)
    for advice in ADVICE.values():
        for sentence in advice:
            assert sentence[0].isupper()
            assert "POSTWATCH" not in sentence  # the page shows them to owners too
            assert sentence[-1] == "."
            assert 20 < len(sentence) < 140


def test_a_delivery_tells_what_its_reason_means() -> None:
    told = {
        fact.label: fact.words
        for fact in facts(make_row(status="bounced", result="failed", reason="mailbox-full"), True)
    }
    assert told["Meaning"] == ADVICE["mailbox-full"].meaning
    assert told["What to do"] == ADVICE["mailbox-full"].remedy
    assert "quota" in told["For the engineer"]
    assert "What to do" not in {fact.label for fact in facts(make_row(reason=""), True)}


def test_programs_can_ask_for_them(empty_site: httpx.Client) -> None:
    told = empty_site.get("/api/v1/reasons").json()
    assert [one["reason"] for one in told] == list(ADVICE)
    assert told[0]["meaning"] == ADVICE["unknown-user"].meaning
