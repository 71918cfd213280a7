"""Sequences in MongoDB without a server: what happens when several begin one at the same instant."""

from typing import Any

import pytest

from dts_core.errors import StoreError
from dts_core.stores.mongodb.driver import Doc, DuplicateKeyError
from dts_core.stores.mongodb.positions import FIRST_TRIES, next_number


class Figures:
    """A collection that answers what it is told to, one after the other."""

    def __init__(self, *answers: Doc | Exception | None) -> None:
        self.answers = list(answers)

    async def find_one_and_update(self, *_: Any, **__: Any) -> Doc | None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "first", [None, DuplicateKeyError("E11000")], ids=["nothing", "a duplicate"]
)
async def test_a_sequence_that_another_one_begins_is_counted_on(first: Exception | None) -> None:
    """Two servers that start on an empty database."""
    figures: Any = Figures(first, {"seq": 7})
    assert await next_number(figures, "operations", 3) == 5
    assert figures.answers == []


async def test_a_database_that_keeps_no_sequence_is_told_of() -> None:
    """Asking without end would be worse."""
    figures: Any = Figures(*[None] * FIRST_TRIES)
    with pytest.raises(StoreError, match="operations"):
        await next_number(figures, "operations")
