"""Expressions mean the same where Python's possessive repeats of groups are broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams import expressions
from postwatch.streams.expressions import compiled, with_atomic_groups

ROOT = Path(__file__).parents[2]
OF_THE_SYSTEM = "/usr/bin/python3"


@pytest.mark.parametrize(
    ("pattern", "atomic"),
    [
        ("", ""),
        ("a*+b++c?+[x-z]*+", "a*+b++c?+[x-z]*+"),
        ("(?:ab)*+c", "(?>(?:ab)*)c"),
        ("(a|b)++", "(?>(a|b)+)"),
        ("(?P<name>a)?+", "(?>(?P<name>a)?)"),
        ("(?:a){2,3}+(?:b){4}+", "(?>(?:a){2,3})(?>(?:b){4})"),
        ("(?:a(?:b)*+)?+", "(?>(?:a(?>(?:b)*))?)"),
        (r"\((?:a)*+\)*+", r"\((?>(?:a)*)\)*+"),
        ("[()]*+(?:[^]()]x)++", "[()]*+(?>(?:[^]()]x)+)"),
        (r"([\])]a)*+", r"(?>([\])]a)*)"),
        ("(?:a)*(?:b)+?(?:c){2}", "(?:a)*(?:b)+?(?:c){2}"),
    ],
)
def test_repeats_of_groups_become_atomic(pattern: str, atomic: str) -> None:
    assert with_atomic_groups(pattern) == atomic
    re.compile(atomic)


@pytest.mark.skipif(not expressions._IS_SOUND, reason="this Python's possessive repeats are broken")
@given(st.text("ab", max_size=12))
def test_both_forms_match_the_same(text: str) -> None:
    for pattern in ("(?:a(?:b|aa))*+ab", "(a|ab)?+b(?:ba)*+", "((?:b|a)a)++(b)?+"):
        one, other = re.match(pattern, text), re.match(with_atomic_groups(pattern), text)
        assert (one and (one.span(), one.groups())) == (other and (other.span(), other.groups()))


def test_this_python_matches_as_meant() -> None:
    """A Python that would not gives None: the group's first try takes the `a`."""
    assert compiled(r"(?:a(?:b|c|de))*+ad").match("ad")


def test_repeats_of_groups_are_compiled_here_alone() -> None:
    for part in ("producers", "streams", "query", "deploy"):
        for file in (ROOT / part).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            has_repeat = re.search(r"\)(?:[*+?]|\{\d+(?:,\d*)?\})\+", text) is not None
            assert not (has_repeat and re.search(r"\bre\.(?:compile|match|search|fullmatch|sub)\(", text)) or (
                file.name == "expressions.py"
            ), file


def test_the_golden_logs_read_the_same_with_atomic_groups() -> None:
    """In a process of its own, for expressions are made when their module is imported."""
    script = (
        "import postwatch.streams.expressions as found, pytest, sys; found._IS_SOUND = False;"
        "sys.exit(pytest.main(['-q', '-n0', '-p', 'no:cacheprovider', '-k', 'rows_are_the_golden',"
        " 'tests/streams/joining/test_golden.py']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.skipif(not Path(OF_THE_SYSTEM).exists(), reason="no Python of the system: apt-get install python3")
def test_a_broken_python_is_found(tmp_path: Path) -> None:
    """Debian 12's 3.11.2 is one."""
    file = expressions.__file__
    assert file
    script = (
        f"import runpy, sys; found = runpy.run_path({file!r});"
        "print(found['compiled']('(?:a(?:b|c|de))*+ad').match('ad') is not None,"
        " found['_IS_SOUND'] or sys.version_info < (3, 11, 5))"
    )
    said = subprocess.run([OF_THE_SYSTEM, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "unknown extension" in said.stderr or "multiple repeat" in said.stderr:
        pytest.skip("that Python is older than 3.11")
    assert said.stdout.split() == ["True", "True"], said.stderr
