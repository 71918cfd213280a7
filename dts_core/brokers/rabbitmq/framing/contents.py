"""Properties of a message as a content header carries them after its class and size: flags, then what they name."""

import struct
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import spec
from dts_core.brokers.rabbitmq.framing.fields import Fields, short_text, table
from dts_core.brokers.rabbitmq.mapping import headers_of, take_headers
from dts_core.errors import CodecError

MODE_PERSISTENT: Final = 2
PRIORITY_MAX: Final = 9

_FLAGS: Final = struct.Struct(">H")
_TIME: Final = struct.Struct(">Q")
_PERSISTENT: Final = bytes((MODE_PERSISTENT,))
_TRANSIENT: Final = b"\x01"

Properties = tuple[str, str, str, str, int, float, str, str, str, dict[str, Any], str]
"""The fields of a Message that follow its body, in their order."""

_known = lru_cache(maxsize=512)(short_text)
"""Short strings that most messages share."""


def _priority(value: int) -> bytes:
    return bytes((min(max(value, 0), PRIORITY_MAX),))


def _time(seconds: float) -> bytes:
    try:
        return _TIME.pack(int(seconds))
    except (struct.error, OverflowError, ValueError) as error:
        raise CodecError("a timestamp that no 64 bits hold.") from error


_SHORT: Final = 0
_TABLE: Final = 1
_OCTET: Final = 2
_MOMENT: Final = 3


class _Property(NamedTuple):
    """One property; all stand in the order of the wire."""

    flag: int
    form: int
    field: str = ""
    """Of a Message; empty: it has no room for it."""
    write: Callable[[Any], bytes] = _known


_LAYOUT: Final = (
    _Property(spec.HAS_CONTENT_TYPE, _SHORT, "content_type"),
    _Property(spec.HAS_CONTENT_ENCODING, _SHORT, "content_encoding"),
    _Property(spec.HAS_HEADERS, _TABLE, "headers", table),
    _Property(spec.HAS_DELIVERY_MODE, _OCTET),
    _Property(spec.HAS_PRIORITY, _OCTET, "priority", _priority),
    _Property(spec.HAS_CORRELATION_ID, _SHORT, "correlation_id", short_text),
    _Property(spec.HAS_REPLY_TO, _SHORT, "reply_to"),
    _Property(spec.HAS_EXPIRATION, _SHORT),
    _Property(spec.HAS_MESSAGE_ID, _SHORT, "message_id", short_text),
    _Property(spec.HAS_TIMESTAMP, _MOMENT, "timestamp", _time),
    _Property(spec.HAS_TYPE, _SHORT, "type"),
    _Property(spec.HAS_USER_ID, _SHORT, "user_id"),
    _Property(spec.HAS_APP_ID, _SHORT, "app_id"),
    _Property(spec.HAS_CLUSTER_ID, _SHORT),
)


# --- out

_TAKEN: Final[dict[str, Callable[[Message], Any]]] = {
    "headers": headers_of,
    "timestamp": lambda message: max(message.timestamp, 0.0),
}
"""What of a message is written, where that is not its field as it is."""
_WRITTEN: Final = [
    (each.flag, _TAKEN.get(each.field) or attrgetter(each.field), each.write)
    for each in _LAYOUT
    if each.field
]
_BEFORE_MODE: Final = spec.HAS_CONTENT_TYPE | spec.HAS_CONTENT_ENCODING | spec.HAS_HEADERS


def properties_bytes(message: Message, *, persistent: bool) -> bytes:
    """Flags and properties of a message; what is empty is left out.

    Raises:
        CodecError: A property above 255 bytes, or a header that no table can hold.
    """
    flags = 0
    parts: list[bytes] = [b""]
    for flag, take, write in _WRITTEN:
        if value := take(message):
            flags |= flag
            parts.append(write(value))
    mode = _PERSISTENT if persistent else _TRANSIENT
    parts.insert(1 + (flags & _BEFORE_MODE).bit_count(), mode)
    parts[0] = _FLAGS.pack(flags | spec.HAS_DELIVERY_MODE)
    return b"".join(parts)


# --- in

_SLOTS: Final = {name: slot for slot, name in enumerate(Message.__struct_fields__[1:])}
"""Field of a Message -> its place among Properties."""
_DROPPED: Final = len(_SLOTS)
"""A slot beyond those of a Message, for what it has no room for."""


@lru_cache(maxsize=256)
def _plan(flags: int) -> tuple[tuple[int, int], ...]:
    """Slot and form of each property that the flags announce."""
    if flags & 3:
        raise CodecError("properties that AMQP 0-9-1 does not know.")
    return tuple(
        (_SLOTS.get(each.field, _DROPPED), each.form) for each in _LAYOUT if flags & each.flag
    )


def read_properties(data: bytes, at: int, end: int) -> Properties:
    """The properties that lie in `data[at:end]`, flags first, exactly.

    Raises:
        CodecError: They do not fit there, or are none.
    """
    values: list[Any] = ["", "", "", "", 0, 0.0, "", "", "", None, "", None]
    try:
        plan = _plan(_FLAGS.unpack_from(data, at)[0])
        at += 2
        for slot, form in plan:
            if form == _SHORT:
                start = at + 1
                at = start + data[at]
                values[slot] = str(data[start:at], "utf-8", "replace")
            else:
                at = _READERS[form](data, at, end, values, slot)
    except (IndexError, struct.error) as error:
        raise CodecError("properties that are cut off.") from error
    if at != end:
        raise CodecError("properties that do not fill their frame.")
    if values[9] is None:
        values[9] = {}
    else:
        values[5] = take_headers(values[9], values[5])
    values.pop()
    return tuple(values)


def _table(data: bytes, at: int, end: int, values: list[Any], slot: int) -> int:
    fields = Fields(data, at, end)
    values[slot] = fields.table()
    return end - fields.left


def _octet(data: bytes, at: int, end: int, values: list[Any], slot: int) -> int:
    values[slot] = data[at]
    return at + 1


def _moment(data: bytes, at: int, end: int, values: list[Any], slot: int) -> int:
    values[slot] = float(_TIME.unpack_from(data, at)[0])
    return at + 8


_READERS: Final = {_TABLE: _table, _OCTET: _octet, _MOMENT: _moment}
