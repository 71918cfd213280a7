"""An opened secret: a value that nothing prints, packs or compares by accident."""

import hmac
from typing import Any, Final, NoReturn

HIDDEN: Final = "***"


class Secret:
    """Text that only `reveal` shows.

    Its printed forms are three stars, it cannot be encoded or pickled, and comparing takes the same time for any two.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text. Hand it on at once; keep, log and format it nowhere."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # a table of hashes would tell which secrets are the same

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not packed")
