"""Lines of Exim's main log behind syslog's head, with its own stamp and without."""

from __future__ import annotations

import functools
import random

from tests.streams.parsers import exim_main_templates
from tests.streams.parsers.hostile import Hostile, Template

_HEAD = "Mar  2 08:02:00 mx7 exim[811]: "


def _over_syslog(template: Template, words: str, chooser: random.Random) -> Hostile:
    hostile = template(words, chooser)
    entry = hostile.line if chooser.random() < 0.5 else hostile.line.removeprefix(f"{exim_main_templates.STAMP} ")
    return Hostile(_HEAD + entry, hostile.truth)


def _piece(words: str, chooser: random.Random) -> Hostile:
    """A stranger's words at the front of a later piece: a part of the process's entry, and nothing of a message."""
    words = words.replace("\n", " ")  # where Exim cuts, too
    number = chooser.randrange(2, 5)
    mark = chooser.choice("/\\")
    return Hostile(f"{_HEAD}[{number}{mark}4] {words}", {"queue_id": "x:exim[811]", "sender": "", "recipients": ()})


def _wrapped(template: Template) -> Template:
    return functools.wraps(template)(functools.partial(_over_syslog, template))


TEMPLATES: tuple[Template, ...] = (*map(_wrapped, exim_main_templates.TEMPLATES), _piece)
