"""Properties of a message as a content header carries them after its class and size: flags, then what they name."""

import struct
from functools import lru_cache
from typing import Any, Final

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


# --- out


def properties_bytes(message: Message, *, persistent: bool) -> bytes:
    """Flags and properties of a message; what is empty is left out.

    Raises:
        CodecError: A property above 255 bytes, or a header that no table can hold.
    """
    flags = spec.HAS_DELIVERY_MODE
    parts: list[bytes] = [b""]
    if message.content_type:
        flags |= spec.HAS_CONTENT_TYPE
        parts.append(_known(message.content_type))
    if message.content_encoding:
        flags |= spec.HAS_CONTENT_ENCODING
        parts.append(_known(message.content_encoding))
    headers = headers_of(message)
    if headers:
        flags |= spec.HAS_HEADERS
        parts.append(table(headers))
    parts.append(_PERSISTENT if persistent else _TRANSIENT)
    if message.priority:
        flags |= spec.HAS_PRIORITY
        parts.append(bytes((min(max(message.priority, 0), PRIORITY_MAX),)))
    flags |= _names(message, parts)
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


def _names(message: Message, parts: list[bytes]) -> int:
    """Append the properties from correlation id to app id; returns their flags."""
    flags = 0
    if message.correlation_id:
        flags |= spec.HAS_CORRELATION_ID
        parts.append(short_text(message.correlation_id))
    if message.reply_to:
        flags |= spec.HAS_REPLY_TO
        parts.append(_known(message.reply_to))
    if message.message_id:
        flags |= spec.HAS_MESSAGE_ID
        parts.append(short_text(message.message_id))
    if message.timestamp > 0:
        flags |= spec.HAS_TIMESTAMP
        parts.append(_time(message.timestamp))
    if message.type:
        flags |= spec.HAS_TYPE
        parts.append(_known(message.type))
    if message.user_id:
        flags |= spec.HAS_USER_ID
        parts.append(_known(message.user_id))
    if message.app_id:
        flags |= spec.HAS_APP_ID
        parts.append(_known(message.app_id))
    return flags


def _time(seconds: float) -> bytes:
    try:
        return _TIME.pack(int(seconds))
    except (struct.error, OverflowError, ValueError) as error:
        raise CodecError("a timestamp that no 64 bits hold.") from error


# --- in

_SHORT: Final = 0
_TABLE: Final = 1
_OCTET: Final = 2
_MOMENT: Final = 3
_DROPPED: Final = 11
"""A slot beyond those of a Message, for what it has no room for."""

# In the order of the wire: flag, slot among Properties, form.
_LAYOUT: Final = (
    (spec.HAS_CONTENT_TYPE, 7, _SHORT),
    (spec.HAS_CONTENT_ENCODING, 8, _SHORT),
    (spec.HAS_HEADERS, 9, _TABLE),
    (spec.HAS_DELIVERY_MODE, _DROPPED, _OCTET),
    (spec.HAS_PRIORITY, 4, _OCTET),
    (spec.HAS_CORRELATION_ID, 2, _SHORT),
    (spec.HAS_REPLY_TO, 3, _SHORT),
    (spec.HAS_EXPIRATION, _DROPPED, _SHORT),
    (spec.HAS_MESSAGE_ID, 1, _SHORT),
    (spec.HAS_TIMESTAMP, 5, _MOMENT),
    (spec.HAS_TYPE, 0, _SHORT),
    (spec.HAS_USER_ID, 10, _SHORT),
    (spec.HAS_APP_ID, 6, _SHORT),
    (spec.HAS_CLUSTER_ID, _DROPPED, _SHORT),
)


@lru_cache(maxsize=256)
def _plan(flags: int) -> tuple[tuple[int, int], ...]:
    """Slot and form of each property that the flags announce."""
    if flags & 3:
        raise CodecError("properties that AMQP 0-9-1 does not know.")
    return tuple((slot, form) for flag, slot, form in _LAYOUT if flags & flag)


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
