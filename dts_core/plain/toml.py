"""Documents as TOML, in a form that reads back the same."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LINES: Final = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f\\]*\n[^\x00-\x08\x0b-\x1f\x7f\\]*")


def to_toml(document: Mapping[str, Any]) -> str:
    """The document, a line for each field; a text of several lines keeps them, what is null is left out."""
    return "".join(
        f"{_key(name)} = {_value(value, lines=True)}\n"
        for name, value in document.items()
        if value is not None
    )


def tables_to_toml(name: str, documents: Sequence[Mapping[str, Any]]) -> str:
    """A list of documents, each in a table of its own."""
    return "\n".join(f"[[{_key(name)}]]\n{to_toml(each)}" for each in documents)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any, *, lines: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        parts = (f"{_key(str(name))} = {_value(each)}" for name, each in _given(value))
        return f"{{ {', '.join(parts)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value if each is not None)}]"
    text = str(value)
    if lines and _LINES.fullmatch(text) and '"""' not in text and not text.endswith('"'):
        return f'"""\n{text}"""'
    return _text(text)


def _given(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, each) for name, each in value.items() if each is not None]


def _text(text: str) -> str:
    """A basic string: as JSON writes it, save one character that TOML does not take raw."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
