"""The text of a document's file: always the same for the same document, a line for each thing that may change."""

from collections.abc import Iterable, Mapping
from typing import Any

from dts_core.declared.documents import Kept
from dts_core.plain.toml import to_toml

__all__ = ["document_toml"]


def document_toml(document: Kept, *, without: Iterable[str] = ()) -> str:
    """A document as TOML: fields as the server orders them, then each map as a table, sorted.

    Its secrets are named in comments and never written.

    Args:
        document: What is written.
        without: Fields that are written elsewhere.
    """
    fields = {name: value for name, value in document.fields.items() if name not in without}
    tables = {name: value for name, value in fields.items() if value and _is_map(value)}
    plain = {name: value for name, value in fields.items() if name not in tables}
    notes = "".join(f"# {name}: kept in the store\n" for name in sorted(document.secrets))
    parts = [notes + to_toml(plain)]
    parts += [f"[{name}]\n{to_toml(dict(sorted(value.items())))}" for name, value in tables.items()]
    return "\n".join(part for part in parts if part)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)
