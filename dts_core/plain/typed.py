"""Lists and maps as people type them: `a, b` and `name:value, name:value`, or JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SPECIAL: Final = frozenset(',:"{}[]\n')


def read_list(text: str) -> Any:
    """`a,b` or JSON.

    Raises:
        ValueError: It begins as JSON and is none.
    """
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def read_mapping(text: str) -> Any:
    """`name:value,name:value` or JSON.

    Raises:
        ValueError: A pair without a colon; or it begins as JSON and is none.
    """
    if text.lstrip().startswith("{"):
        return json.loads(text)
    pairs = [part.partition(":") for part in text.split(",") if part.strip()]
    if not all(colon for _, colon, _ in pairs):
        raise ValueError("a pair without a colon")
    return {name.strip(): value.strip() for name, _, value in pairs}


def show_list(values: Sequence[Any]) -> str:
    """What `read_list` reads as the same values."""
    if all(_is_plain(each) for each in values):
        return ", ".join(values)
    return json.dumps(list(values), ensure_ascii=False)


def show_mapping(values: Mapping[str, Any]) -> str:
    """What `read_mapping` reads as the same map."""
    if all(_is_plain(name) and _is_plain(value) for name, value in values.items()):
        return ", ".join(f"{name}:{value}" for name, value in values.items())
    return json.dumps(dict(values), ensure_ascii=False)


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value == value.strip()
        and value != ""
        and not _SPECIAL & set(value)
    )
