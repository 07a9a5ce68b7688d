"""The switches of these tests stand in the environment, where no part may find them: they are no settings."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLEET", "UPGRADE_FROM", "BARE_DEBIAN", "PACKAGES"):
        monkeypatch.delenv(f"POSTWATCH_{name}", raising=False)
