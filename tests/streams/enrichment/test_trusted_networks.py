"""The networks whose clients' envelope senders are believed."""

from __future__ import annotations

import pytest
from postwatch.producers.service.errors import BadInputError
from postwatch.streams.enrichment.trusted_networks import parse_networks


def test_an_address_is_in_a_network_or_not() -> None:
    networks = parse_networks(" 10.0.0.0/8,2001:db8::/32 , 192.0.2.7,", "the test")
    for ip in ("10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.0.0.1", "10.1.2.3"):
        assert ip in networks
    for ip in ("11.1.2.3", "2001:db9::1", "192.0.2.8", "", "10.x.2.3", "localhost"):
        assert ip not in networks
    assert "10.1.2.3" not in parse_networks("", "the test")


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "web7.example", "10.0.0.0/8 10.1.0.0/16", "::/0", "0.0.0.0/0"]
)
def test_what_is_no_network_is_said_with_the_setting(text: str) -> None:
    with pytest.raises(BadInputError, match="--trusted-networks"):
        parse_networks(text, "--trusted-networks")
