"""A secured broker with the users of docs/secured-kafka.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.secured_kafka.broker import SecuredKafka
from tests.secured_kafka.rights import USERS, documented_grants


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    broker = SecuredKafka(tmp_path_factory.mktemp("secured"))
    broker.start()
    for user in (*USERS, "stranger"):
        broker.add_user(user)
    broker.grant(documented_grants())
    yield broker
    broker.kill()
