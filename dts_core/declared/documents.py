"""A document as a folder declares it, and one as the server holds it."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

__all__ = ["ORDER", "Declared", "Kept", "Key", "Misfit", "digest_of", "held_value"]

ORDER: Final = ("users", "namespaces", "functions", "vhosts")
"""The collections, each behind those that its documents need."""


class Key(NamedTuple):
    """Which document."""

    collection: str
    id: str


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A document as its file says, with the defaults of what the file leaves out; nothing secret."""

    key: Key
    fields: Mapping[str, Any]
    file: str
    """Where it is declared, for messages."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A document as the server holds it: the fields that can be declared, of a source its digest."""

    key: Key
    fields: Mapping[str, Any]
    revision: int
    secrets: frozenset[str] = frozenset()
    """Secret fields that it has."""


class Misfit(NamedTuple):
    """What is wrong with one file: which field of it, and why."""

    file: str
    field: str
    why: str


def digest_of(source: str) -> str:
    """The version that a source is: sha256 of its UTF-8 bytes, in hex."""
    return hashlib.sha256(source.encode()).hexdigest()


def held_value(key: Key, name: str, value: Any) -> Any:
    """A declared value as it is held, to be compared."""
    if key.collection == "functions" and name == "source":
        return digest_of(value)
    return value
