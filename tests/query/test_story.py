"""Every row of every format has a story that reads well, and shows nothing that its viewer may not see."""

from __future__ import annotations

import re

import pytest
from postwatch.query.advice import ADVICE
from postwatch.query.privacy import visible_row
from postwatch.query.sentences import Sentence, say
from postwatch.query.story import CAUSES, Story, cause_of, last_answer, story_of
from postwatch.query.viewer import ENGINEER, Viewer
from postwatch.streams.contracts.outcome import REASONS, RESULTS, Attempt, Outcome

from tests.query.conftest import NOW_MS, make_row
from tests.query.test_privacy import GOLDEN

_ADDRESS = re.compile(r"[\w.+=-]+@[\w.-]+\w")


def _sentences(story: Story) -> list[Sentence]:
    return [story.headline, *story.notes, *(one.said for one in story.timeline)]


def _texts(story: Story) -> list[str]:
    words = [story.meaning, story.remedy]
    return [*map(say, _sentences(story)), *filter(None, words)]


def _reads_well(text: str) -> bool:
    """A sentence: a beginning, an end, and no hole where a value should stand."""
    return (
        text.endswith(".")
        and not text.endswith("..")
        and not re.search(r"  |: \.|: ,| ,|%\(|\(\)|None|''", text)
        and bool(re.match(r"[\w<\"(\[]", text))
    )


def _viewers(row: Outcome) -> list[Viewer]:
    return [
        ENGINEER,
        Viewer("owner", mailboxes=frozenset({row.account})),
        Viewer("domains", domains=frozenset({row.account_domain})),
    ]


def test_every_golden_row_has_a_story_that_reads_well() -> None:
    for row in GOLDEN:
        for viewer in _viewers(row):
            story = story_of(visible_row(viewer, row))
            for text in _texts(story):
                assert _reads_well(text), (text, row)
            assert story.timeline[0].status == ""
            assert bool(story.meaning) == bool(row.reason), row
            assert bool(story.meaning) == bool(story.remedy)


def test_no_story_shows_an_address_that_the_viewer_may_not_see() -> None:
    seen = 0
    for row in GOLDEN:
        if "@" not in row.account:
            continue
        for viewer in _viewers(row)[1:]:
            shown = visible_row(viewer, row)
            story = story_of(shown)
            told = " ".join([*_texts(story), story.answer, *(one.reply for one in story.timeline)]).lower()
            known = {shown.account, shown.sender, shown.recipient, shown.original_recipient, shown.authenticated_as}
            for address in sorted(filter(None, known), key=len, reverse=True):
                told = told.replace(address.lower(), " ")
            assert not {one for one in _ADDRESS.findall(told) if not viewer.owns(one)}, (story, row)
            assert row.server not in " ".join(_texts(story))  # a far server's reply may name who it talked to
            seen += 1
    assert seen > 300


@pytest.mark.parametrize("direction", ["sent", "received"])
@pytest.mark.parametrize("status", RESULTS)
def test_each_status_and_reason_reads_well(status: str, direction: str) -> None:
    for reason in ("", *REASONS):
        for known in (
            {},
            {"remote_host": "mx.far.example", "remote_ip": "192.0.2.1"},
            {"remote_provider": "Google", "remote_host": "mx.google.com", "smtp_code": 550, "response": "550 no"},
            {"transport": "smtp", "response": "", "smtp_code": 0},
            {"remote_host": "127.0.0.1", "remote_ip": "127.0.0.1", "transport": "lmtp", "smtp_code": 550},
        ):
            for attempts in ((), (Attempt(NOW_MS, status, 550, "550 no", "mx.far.example", ""),)):
                row = make_row(status=status, reason=reason, direction=direction, attempts=attempts, **known)
                story = story_of(row)
                for text in _texts(story):
                    assert _reads_well(text), text
                assert story.timeline[-1].at_ms >= row.queued_at


def test_the_usual_sentences() -> None:
    def headline(**known: object) -> str:
        return say(story_of(make_row(updated_at=1_795_514_520_000, **known)).headline)

    google = {"remote_provider": "Google", "remote_host": "gmail-smtp-in.l.google.com"}
    at = "2026-11-24 10:02:00 UTC"
    assert (
        headline(status="bounced", reason="unknown-user", smtp_code=550, **google)
        == f"Google refused the message on {at}: the mailbox does not exist."
    )
    assert headline(**google) == f"Google accepted the message on {at}."
    assert (
        headline(direction="received", transport="dovecot_virtual_delivery")
        == f"The message was delivered into the mailbox on {at}."
    )
    assert headline(status="cancelled") == f"An operator cancelled the message on {at}. It was not delivered."
    assert (
        headline(status="deferred", response="on hold until an operator releases it")
        == f"The message is on hold since {at}, until an operator releases it."
    )
    assert headline(status="deferred", reason="connection", smtp_code=0, remote_host="mx.far.example") == (
        f"On {at} the message could not be delivered: no connection could be made, or it broke."
        " It is tried again automatically."
    )


def test_the_cause_of_an_expiry_is_the_last_real_answer() -> None:
    attempts = (
        Attempt(NOW_MS - 9, "deferred", 0, "Connection timed out", "mx.far.example", "192.0.2.1"),
        Attempt(NOW_MS - 8, "deferred", 452, "452 4.2.2 Mailbox full", "mx.far.example", "192.0.2.1"),
        Attempt(NOW_MS - 7, "expired", 0, "retry timeout exceeded", "", ""),
    )
    row = make_row(status="expired", reason="expired", response="retry timeout exceeded", attempts=attempts)
    assert last_answer(row) == "452 4.2.2 Mailbox full"
    assert cause_of(row) == "mailbox-full"
    assert "the mailbox is full" in say(story_of(row).headline)
    assert story_of(row).answer == "452 4.2.2 Mailbox full"


def test_nobody_is_told_to_wait_for_what_was_given_up() -> None:
    for status in ("bounced", "expired"):
        for reason in ("greylisted", "rate-limit", "connection"):
            response = {"greylisted": "450 4.2.0 Greylisted", "rate-limit": "421 4.7.28 too many messages"}
            row = make_row(status=status, reason=reason, response=response.get(reason, "Connection timed out"))
            assert "automatic" not in story_of(row).remedy
    assert "automatic" in story_of(make_row(status="deferred", reason="greylisted")).remedy


def test_that_the_time_for_a_retry_has_not_come_is_no_attempt() -> None:
    wait = Attempt(NOW_MS, "deferred", 0, "retry time not reached for any host", "", "")
    real = Attempt(NOW_MS, "deferred", 451, "451 later", "mx.far.example", "")
    story = story_of(make_row(status="deferred", attempts=(real, wait), response=wait.response))
    assert [one.reply for one in story.timeline] == ["", "451 later"]
    assert story.answer == "451 later"


def test_an_answer_that_is_given_again_is_marked() -> None:
    replies = ("451 later", "451 later", "", "", "452 full")
    attempts = tuple(Attempt(NOW_MS + n, "deferred", 451, reply, "mx", "") for n, reply in enumerate(replies))
    timeline = story_of(make_row(status="deferred", attempts=attempts)).timeline
    assert [one.is_same_reply for one in timeline] == [False, False, True, False, False, False]


def test_that_attempts_are_left_out_is_said() -> None:
    attempts = tuple(Attempt(NOW_MS + number, "deferred", 451, "451 later", "mx", "") for number in range(51))
    notes = [say(one) for one in story_of(make_row(status="deferred", attempts=attempts)).notes]
    assert "Of all attempts, the first 50 and the last are listed." in notes
    assert not story_of(make_row(status="deferred", attempts=attempts[:50])).notes


def test_every_reason_has_its_clause_or_shows_the_answer() -> None:
    assert set(CAUSES) == set(REASONS) - {"other", "expired"} == set(ADVICE) - {"other", "expired"}
    for clause in CAUSES.values():
        assert clause[0].islower()
        assert clause[-1].isalpha()
