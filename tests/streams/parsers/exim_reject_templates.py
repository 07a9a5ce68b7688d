"""Lines of Exim's reject log with a stranger's words: refusals as the main log has them, and headers below them."""

from __future__ import annotations

import random

from tests.streams.parsers.exim_main_templates import refused_helo, refused_sender, refused_with_words
from tests.streams.parsers.hostile import Hostile, Template


def header_below_a_refusal(words: str, chooser: random.Random) -> Hostile:
    """The reject log shows the headers behind a letter or a blank, folded lines as they came."""
    opening = chooser.choice(("T To: ", "  X-Note: ", "* Subject: ", "I Message-Id: ", "\t", " ", "Envelope-from: <"))
    return Hostile(opening + words.replace("\n", " "), None)


TEMPLATES: tuple[Template, ...] = (refused_helo, refused_sender, refused_with_words, header_below_a_refusal)
