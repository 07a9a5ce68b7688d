"""Who may come in besides the mailboxes: the lists, the password file and the engineers, as the settings name them.

The one place that a session asks what an identity sees, and whether it still holds.
"""

from __future__ import annotations

from collections.abc import Callable

from postwatch.producers.service.errors import SettingsError
from postwatch.query.access.owners import OWNERS_VARIABLE, RESELLERS_VARIABLE, OwnerBook, open_owners
from postwatch.query.access.passwords import PasswordFile
from postwatch.query.access.roles import Identity, of_imap, viewer_of
from postwatch.query.access.settings import AccessSettings
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.errors import StateError
from postwatch.query.viewer import Viewer


class People:
    """The lists and files in use."""

    def __init__(self, settings: AccessSettings) -> None:
        """Reads them. Raises SettingsError that names the setting."""
        if settings.resellers and not settings.owners:
            raise SettingsError(
                f"{RESELLERS_VARIABLE} is set, but {OWNERS_VARIABLE} is not: a reseller sees domains of owners"
            )
        self._owners: OwnerBook = open_owners(settings)
        try:
            self.passwords = PasswordFile(settings.passwords) if settings.passwords else None
        except StateError as error:
            raise SettingsError(str(error)) from error
        self._engineers = frozenset(name.lower() for name in settings.engineers)
        self._owners_by_imap = settings.owners_by_imap

    def of_imap(self, name: str) -> Identity:
        """Who it is whose name and password the IMAP server took."""
        return of_imap(name, self._owners_by_imap)

    def viewer(self, identity: Identity) -> Viewer | None:
        """Whose mail he sees, as the lists say now; None: nobody's."""
        return viewer_of(identity, self._owners.lists, self._engineers)

    def names(self) -> OwnerNames:
        """Who owns which domain and who sold it, by name, as the lists say now."""
        return self._owners.names

    def still_holds(self, identity: Identity, fingerprint: str) -> bool:
        """Whether the password file says of a session that it may go on. Other ways to log in it knows nothing of.

        Raises StateError for a file that can't be read.
        """
        if identity.method != "password":
            return True
        return self.passwords is not None and self.passwords.fingerprint(identity.name) == fingerprint

    def follow(self, wait: Callable[[float], bool]) -> None:
        """Read the lists again while it runs, until `wait` says to stop."""
        self._owners.follow(wait)
