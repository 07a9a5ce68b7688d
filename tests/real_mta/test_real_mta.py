"""The scenarios of real mail servers, where these are installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.real_mta.__main__ import run_exim, run_postfix
from tests.real_mta.far_server import FarServers, Script
from tests.real_mta.filtered import PACKAGES, PROGRAMS, may_have_namespaces, run_filtered
from tests.real_mta.run import Client, Letter, Run, disguise, free_port, make_certificate

EXIM = shutil.which("exim4") or shutil.which("exim")
DAEMONS = Path("/usr/lib/postfix/sbin")
NAMED = "log_selector = +received_recipients +subject"


@pytest.mark.skipif(EXIM is None, reason="no Exim is installed (Debian: exim4-daemon-light)")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can run Exim as another user")
def test_every_recipient_of_exim_is_right() -> None:
    assert EXIM is not None
    assert run_exim(Path(EXIM), "mail", NAMED, None) == 0


@pytest.mark.skipif(
    any(shutil.which(program) is None for program in PROGRAMS),
    reason=f"no filters are installed (Debian: apt-get install {PACKAGES})",
)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give the servers namespaces of their own")
def test_every_recipient_of_postfix_with_filters_is_right() -> None:
    if not may_have_namespaces():
        pytest.skip("this machine allows no namespaces (unshare --mount --net --pid)")
    assert run_filtered() == 0


@pytest.mark.skipif(not (DAEMONS / "master").exists(), reason="no Postfix is installed (Debian: postfix)")
@pytest.mark.skipif(os.getuid() != 0, reason="Postfix's master needs root")
def test_every_recipient_of_postfix_is_right() -> None:
    assert run_postfix(DAEMONS, Path("/usr/sbin")) == 0


@pytest.fixture(name="run")
def run_with_a_far_server(tmp_path: Path) -> Run:
    port = free_port()
    far = FarServers(port, {"127.0.0.1": Script(offers_prdr=True)}, make_certificate(tmp_path))
    return Run(tmp_path, port, far)


def test_the_far_server_answers_as_its_script_says(run: Run) -> None:
    content = b"X-Letter: one\r\n\r\nhello\r\n"
    told = Client(run.port).submit("a@bakery.example", ["ok@far.example", "gone-1@far.example"], content)
    assert [answer[:3] for answer in told.values()] == ["250", "550"]
    told = Client(run.port).submit("a@bakery.example", ["b@far.example", "spam-1@far.example"], content, prdr=True)
    assert [answer[:3] for answer in told.values()] == ["250", "550"]
    assert {accepted.recipient for accepted in run.far.accepted} == {"ok@far.example", "b@far.example"}
    run.far.close()


def test_the_comparison_finds_what_is_wrong(run: Run) -> None:
    run.letters.append(
        Letter("one", "a@bakery.example", {"b@far.example": "bounced 550", "c@far.example": "delivered"})
    )
    row = {"account": "a@bakery.example", "sender": "a@bakery.example", "direction": "sent"}
    bounced = row | {"recipient": "b@far.example", "status": "bounced", "smtp_code": "550"}
    delivered = row | {"recipient": "c@far.example", "status": "delivered", "smtp_code": "250"}
    assert run.compare([bounced, delivered]) == (2, [])
    for rows in (
        [bounced],
        [bounced, delivered, delivered],
        [bounced | {"smtp_code": "554"}, delivered],
        [bounced, delivered | {"status": "deferred"}],
        [bounced, delivered, delivered | {"recipient": "d@far.example"}],
    ):
        assert len(run.compare(rows)[1]) == 1, rows
    run.far.close()


def test_a_log_is_disguised_by_whole_addresses() -> None:
    names = {"127.0.0.1": "192.0.2.1", ":25001": ":25"}
    assert disguise("[127.0.0.1]:25001 [127.0.0.11] 3127.0.0.1", names) == "[192.0.2.1]:25 [127.0.0.11] 3127.0.0.1"
