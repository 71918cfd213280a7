"""The list of mutants fits the code that it breaks."""

from pathlib import Path

import pytest

from tools.mutants import Mutant, listed, mutated

TREE = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", listed(), ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_what_there_is(mutant: Mutant) -> None:
    """Its text stands once in its file, what comes out is Python, and its tests are there."""
    assert mutated((TREE / mutant.file).read_text("utf-8"), mutant)
    assert all((TREE / each).exists() for each in mutant.red)


def test_each_has_a_name_of_its_own() -> None:
    """By which it is found."""
    names = [mutant.name for mutant in listed()]
    assert len(set(names)) == len(names) >= 15
