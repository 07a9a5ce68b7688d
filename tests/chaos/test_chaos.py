"""A short night with a fixed seed, so that every run of the tests breaks something of everything."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest
from postwatch.deploy.embedded.ports import LOOPBACK

from tests.chaos.__main__ import report
from tests.chaos.faults import KINDS, Bag, Scene
from tests.chaos.night import Plan, live_through
from tests.chaos.proxy import Behaviour, Proxy
from tests.chaos.stack import Stack
from tests.chaos.traffic import Traffic

SEED, FAULTS, SECONDS = 5, 14, 45.0
"""A join killed, a second shipper of one file, an insert that arrives late, a clock an hour off are among them."""


@pytest.mark.stack
@pytest.mark.timeout(480)
def test_a_short_night(tmp_path: Path) -> None:
    night = live_through(Plan(SEED, FAULTS, SECONDS), tmp_path, print)
    print("\n".join(report(night)))
    assert night.judgement.wrong == [], f"repeat it with: make chaos SEED={SEED} MINUTES=1 FAULTS={FAULTS}"
    assert night.faults > 1
    assert night.judgement.rows > 1_000


def test_a_seed_draws_the_same_faults_and_each_kind_before_any_comes_again(tmp_path: Path) -> None:
    def drawn(name: str) -> list[tuple[str, frozenset[str], float]]:
        traffic = Traffic(tmp_path / name, 3, 3)
        stack = Stack(tmp_path / name, {one: log.path for one, log in traffic.logs.items()}, traffic.domains_file)
        try:
            scene = Scene(stack, traffic, random.Random(3))
            bag = Bag(scene.chance)
            faults = [fault for _ in range(40) for fault in bag.draw(scene, 3)]
        finally:
            traffic.stop()
            stack.close()
        return [(fault.kind, fault.victims, fault.seconds) for fault in faults]

    first = drawn("first")
    assert first == drawn("second")
    assert {kind for kind, _, _ in first} == set(KINDS)


@pytest.mark.parametrize(
    ("behaviour", "request_line", "answer"),
    [
        (Behaviour.PASS, b"POST /?query=INSERT HTTP/1.1\r\n", b"taken"),
        (Behaviour.SLOW, b"POST /?query=INSERT HTTP/1.1\r\n", b"taken"),
        (Behaviour.DROP_ANSWER, b"POST /?query=SELECT HTTP/1.1\r\n", b"taken"),
        (Behaviour.DROP_ANSWER, b"POST /?query=INSERT HTTP/1.1\r\n", b""),
        (Behaviour.CUT, b"POST /?query=INSERT HTTP/1.1\r\n", b""),
        (Behaviour.LATE, b"POST /?query=SELECT HTTP/1.1\r\n", b"taken"),
        (Behaviour.REFUSE, b"POST /?query=INSERT HTTP/1.1\r\n", b""),
    ],
)
def test_what_the_proxy_does_to_an_insert(behaviour: Behaviour, request_line: bytes, answer: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        with socket.create_connection((LOOPBACK, proxy.port), timeout=5) as client:
            taken, _ = server.accept()
            proxy.behaviour = behaviour
            with taken:
                client.sendall(request_line)
                got = taken.recv(100)
                if got == request_line:
                    taken.sendall(b"taken")
                assert _hear(client) == answer
        proxy.close()
    assert (proxy.hurt == 0) == (answer == b"taken")
    if behaviour is Behaviour.CUT:
        assert got == request_line[: len(request_line) // 2]


def test_an_insert_that_arrives_when_its_sender_has_given_up() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        proxy.behaviour = Behaviour.LATE
        with socket.create_connection((LOOPBACK, proxy.port), timeout=5) as client:
            taken, _ = server.accept()
            client.sendall(b"POST /?query=INSERT HTTP/1.1\r\n")
            with taken:
                assert _hear(client) == b""
                assert taken.recv(100) == b"POST /?query=INSERT HTTP/1.1\r\n"
        proxy.close()


def _hear(client: socket.socket) -> bytes:
    """What comes next; nothing once the connection is lost."""
    try:
        return client.recv(100)
    except ConnectionResetError:
        return b""
