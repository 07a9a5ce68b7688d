"""A usual port is taken once; whoever comes second gets another."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from postwatch.deploy.embedded.ports import PortClaims, answers, choose_port, is_free

HOLD = """
import sys
from pathlib import Path
from postwatch.deploy.embedded.ports import PortClaims
print(PortClaims(Path(sys.argv[1])).take(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(port)
        assert not is_free(port)
    assert is_free(port)
    assert not answers(port)


def test_a_claimed_port_is_given_once_and_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    port = choose_port()
    command = [sys.executable, "-c", HOLD, str(tmp_path), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert int(holder.stdout.readline()) == port
        other = PortClaims(tmp_path).take(port)
        assert other != port
        holder.kill()
    assert PortClaims(tmp_path).take(port) == port


def test_a_port_in_use_is_replaced(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert PortClaims(tmp_path).take(port) != port


def test_no_port_is_chosen_twice_nor_one_that_an_outgoing_connection_may_be_given() -> None:
    ports = [choose_port() for _ in range(300)]
    assert len(set(ports)) == 300
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as outgoing:
        assert max(ports) < outgoing.getsockname()[1]
