"""Who can log in to a demo, and what each of them sees. The demo's IMAP server knows these names and no other."""

from __future__ import annotations

from typing import NamedTuple

from postwatch.deploy.simulator.fleet import SimulatedFleet

PASSWORD = "demo"
ENGINEER_NAME = "engineer"


class DemoAccount(NamedTuple):
    """One to log in with."""

    name: str
    sees: str


def accounts_of(fleet: SimulatedFleet) -> list[DemoAccount]:
    """A mailbox owner, who owns its domain, who sold it, and who runs the servers."""
    return [
        DemoAccount(fleet.showcase, "a mailbox owner: its mail alone"),
        DemoAccount(fleet.owner, f"the owner of {fleet.showcase.partition('@')[2]}: all of its mailboxes"),
        DemoAccount(fleet.reseller, "a reseller: the domains of his customers"),
        DemoAccount(ENGINEER_NAME, "an engineer: everything, log lines and servers too"),
    ]
