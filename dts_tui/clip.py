"""The beginning of a JSON value: as much as a person may read, at a cost that does not depend on its size."""

from typing import Any

CLIP = 256 << 10
"""Most characters of a value that are laid out."""
_EACH = 4
"""What any value takes besides its text: brackets, commas, a line."""


def clipped(value: Any, most: int = CLIP) -> tuple[Any, bool]:
    """The beginning of a value, of about `most` characters, and whether anything was left out.

    Lists, objects and texts end early; what is there stands as it stood.
    """
    room = _Room(most)
    return room.fit(value), room.is_cut


class _Room:
    def __init__(self, left: int) -> None:
        self._left = left
        self.is_cut = False

    def fit(self, value: Any) -> Any:
        """As much of it as there is room for."""
        self._left -= _EACH
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return self._items(value)
        if isinstance(value, dict):
            return self._fields(value)
        return value

    def _items(self, items: list[Any]) -> list[Any]:
        kept: list[Any] = []
        for item in items:
            if not self._has_room():
                break
            kept.append(self.fit(item))
        return kept

    def _fields(self, fields: dict[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in fields.items():
            if not self._has_room():
                break
            kept[self._text(str(key))] = self.fit(item)
        return kept

    def _text(self, text: str) -> str:
        room = max(self._left, 0)
        self._left -= len(text)
        if len(text) <= room:
            return text
        self.is_cut = True
        return text[:room]

    def _has_room(self) -> bool:
        self.is_cut = self.is_cut or self._left <= 0
        return self._left > 0
