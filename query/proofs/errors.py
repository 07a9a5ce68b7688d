"""What can go wrong with proofs.

SettingsError
└── (its own)                  the signing key can't be used: the text names the setting
BadInputError
└── KeyFileError               a file holds no key of the kind that proofs are signed with
"""

from postwatch.producers.service.errors import BadInputError


class KeyFileError(BadInputError):
    """The file can't be read, or holds no Ed25519 key; the text names the file and says what it holds."""
