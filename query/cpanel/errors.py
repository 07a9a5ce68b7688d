"""What can be wrong with a call. The text is for whoever wrote the script: it names the parameter and what it takes.

FilterError (query/errors.py)
└── CallError        the call names no function that is served here, or a parameter of it is not valid
"""

from postwatch.query.errors import FilterError


class CallError(FilterError):
    """Answered with `result` 0 and these words as the reason."""
