"""A mutation: a guarantee broken by a few words, and the tests that must not let that pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutation:
    guarantee: str
    file: str
    old: str
    """Stands in the file exactly once."""
    new: str
    tests: tuple[str, ...]
    """Each of them must fail. Node ids of pytest; of a parametrized test one case has to."""

    def apply(self, folder: Path) -> None:
        """Raises ValueError where the text is not there exactly once: then the list is out of date."""
        path = folder / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times, and not once: {self.old!r}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
