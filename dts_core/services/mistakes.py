"""What is wrong with one request, gathered, so that a person hears all of it at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dts_core.errors import InvalidInput

TOLD: Final = 5
"""Mistakes named in the message; the fields of the error hold up to FIELDS_MAX."""
FIELDS_MAX: Final = 50
_GIVEN: Final = re.compile(r"Invalid enum value '.*'", re.DOTALL)


class Mistakes:
    """Gathers mistakes of one document.

    Args:
        one: What the document is called.
        advice: What to do, when no single mistake says better.
    """

    def __init__(self, one: str, *, advice: str = "") -> None:
        self._one = one
        self._advice = advice
        self._fields: dict[str, str] = {}
        self._errors: list[InvalidInput] = []

    def add(self, field: str, why: str) -> None:
        """One wrong field with its reason; the first reason of a field stays."""
        self._fields.setdefault(field, why)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def __contains__(self, field: str) -> bool:
        return field in self._fields

    @contextmanager
    def at(self, field: str) -> Iterator[None]:
        """What is refused inside is a mistake of `field`, unless it names its fields itself."""
        try:
            yield
        except InvalidInput as error:
            if not error.fields:
                error.fields = {field: error.message}
            for name, why in error.fields.items():
                self.add(name, why)
            self._errors.append(error)

    def raise_any(self) -> None:
        """Nothing, when nothing is wrong.

        Raises:
            InvalidInput: Names every wrong field; a single refusal as it was raised.
        """
        if not self._fields:
            return
        if len(self._errors) == 1 and self._errors[0].fields.keys() == self._fields.keys():
            raise self._errors[0]
        wrong = list(self._fields.items())
        raise InvalidInput(
            f"the {self._one} cannot be written: "
            + "; ".join(f"{name[:60]}: {why.rstrip('.')}" for name, why in wrong[:TOLD])
            + ".",
            fields=dict(wrong[:FIELDS_MAX]),
            advice=self._advice,
        )


def without_value(told: str) -> str:
    """What msgspec says of a wrong value, less the value: it may be the secret of another field."""
    return _GIVEN.sub("Invalid value", told)
