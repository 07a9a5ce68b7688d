"""What can go wrong, and what to do with it.

PostwatchError                 anything that Postwatch itself reports; its text names the thing and the remedy
├── SettingsError              ends the process at start: a setting is missing, mistyped or impossible
├── UnavailableError           retry with backoff: a broker or a server does not answer (yet)
├── PublishError               ends the process: Kafka refused a record for good; started again, it resumes unharmed
│   └── ClockError             retry, from the checkpoint: Kafka refuses the time stamps of this server's clock
└── BadInputError              ends a command, or costs a record: a file, a record or an argument can't be used
"""


class PostwatchError(Exception):
    """Base of every error that a person may read; `str()` is one clear line without a traceback."""


class SettingsError(PostwatchError):
    """A setting is missing, mistyped or impossible. Raised at start only."""


class UnavailableError(PostwatchError):
    """A server that is needed does not answer; the caller retries or tells the user how to start it."""


class PublishError(PostwatchError):
    """Kafka refused a record for good. Going on would leave a gap: the process ends, and resumes at its checkpoint."""


class ClockError(PublishError):
    """Kafka refused a record for its time stamp. It takes records again once a clock or the topic is corrected."""


class BadInputError(PostwatchError):
    """A file, record or argument that can't be used as it is."""
