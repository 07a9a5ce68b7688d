"""The list of mutations fits the code as it is now; `make mutations` tells whether the tests catch them."""

from __future__ import annotations

import re

import pytest

from tests.mutations.listed import MUTATIONS
from tests.mutations.mutation import ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.file}: {mutation.guarantee}")
def test_what_is_broken_stands_there_once_and_its_tests_exist(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    if mutation.file.endswith(".py"):
        compile(text.replace(mutation.old, mutation.new), mutation.file, "exec")
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        found = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?(?:def )?{re.escape(name)}\b", found, re.MULTILINE), test


def test_there_are_many_and_no_two_are_the_same() -> None:
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in MUTATIONS}) == len(MUTATIONS) >= 40
