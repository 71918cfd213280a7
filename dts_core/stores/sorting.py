"""Which fields of admin documents lists are sorted by, and how they compare: what every store keeps an index of.

They are read of the document as it is written, so that whoever writes one need not know.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from dts_core.stores.fields import micros

__all__ = ["FIELDS", "SORTED", "Value", "comparable", "sorted_values"]

Value: TypeAlias = str | int
_TIMES: Final[Mapping[str, Value]] = {"created_at": 0, "updated_at": 0}
SORTED: Final[Mapping[str, Mapping[str, Value]]] = {
    "users": {"role": "submitter", "disabled": 0, "address": "", **_TIMES},
    "namespaces": _TIMES,
    "functions": {"owner": "", **_TIMES},
    "vhosts": {
        "address": "",
        "user": "",
        "auth": "ask",
        "mode": "service",
        "disabled": 0,
        **_TIMES,
    },
}
"""Collection -> its fields, each with the value of a document from before it had that field."""
FIELDS: Final = sorted({field for fields in SORTED.values() for field in fields})


def sorted_values(collection: str, document: bytes) -> dict[str, Value] | None:
    """Field -> its value, of one stored document; None where the collection has none, or it is no document."""
    fields = SORTED.get(collection)
    if fields is None:
        return None
    try:
        stored = msgspec.msgpack.decode(document)
    except msgspec.DecodeError:
        return None
    if not isinstance(stored, dict):
        return None
    found = {field: stored.get(field) for field in fields}
    return {
        field: fields[field] if value is None else comparable(value)
        for field, value in found.items()
    }


def comparable(value: Any) -> Value:
    """A value as it is compared, and as a cursor holds it: texts by their code points, all else as a number."""
    if isinstance(value, datetime):
        return micros(value)
    return value if isinstance(value, str) else int(value)
