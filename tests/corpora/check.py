"""What one comparison with a corpus came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Check(NamedTuple):
    """One line of the table."""

    name: str
    compared: int
    explained: int
    """Differences that a checked-in list gives the reason of."""
    differences: list[str]
    """Those that nothing explains, in words."""


Corpus = Callable[[Path], Iterator[Check]]
"""The folder of all corpora → its checks. Yields nothing where the corpus is not in the folder."""
