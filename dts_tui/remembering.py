"""What screens leave behind, so that it is there when one comes back: bounded. No Textual here."""

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
KEPT_MAX: Final = 50
"""Most that are remembered of a kind."""


def remembered(known: dict[str, T], key: str, make: Callable[[], T]) -> T:
    """What was left under this key, or a new one; of many, those that were left first are forgotten."""
    found = known.pop(key, None)
    known[key] = found = make() if found is None else found
    while len(known) > KEPT_MAX:
        del known[next(iter(known))]
    return found
