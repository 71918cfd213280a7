"""Fields of AMQP 0-9-1 as bytes: strings, numbers, tables and arrays, each read within exact bounds.

Numbers and names as RabbitMQ uses them, which differs from the standard in a few letters of tables:
https://www.rabbitmq.com/amqp-0-9-1-errata.html
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from dts_core.brokers.rabbitmq.framing.spec import DEPTH_MAX, SHORT_MAX
from dts_core.errors import CodecError

_INT32: Final = range(-(1 << 31), 1 << 31)
_INT64: Final = range(-(1 << 63), 1 << 63)
_MILLISECONDS_FROM: Final = 1 << 32
"""A timestamp above this (the year 2106) is taken as milliseconds."""


# --- out


def short_text(text: str) -> bytes:
    """A short string.

    Raises:
        CodecError: More than 255 bytes, or no text that has a UTF-8 form.
    """
    data = _utf8(text)
    if len(data) > SHORT_MAX:
        raise CodecError(f"{text[:40]!r}... has {len(data)} bytes, a short string at most 255.")
    return bytes((len(data),)) + data


def long_bytes(data: bytes) -> bytes:
    """A long string."""
    return struct.pack(">I", len(data)) + data


def table(values: Mapping[str, Any], depth: int = 0) -> bytes:
    """A field table; None, bool, int, float, str, bytes, Decimal, aware datetime, lists and maps of them.

    Raises:
        CodecError: Another type, an int beyond 64 bits, a name above 255 bytes, or deeper than DEPTH_MAX.
    """
    if depth >= DEPTH_MAX:
        raise CodecError(f"a table deeper than {DEPTH_MAX}.")
    if not all(isinstance(name, str) for name in values):
        raise CodecError("a table's names are text.")
    return long_bytes(
        b"".join([short_text(name) + _value(value, depth) for name, value in values.items()])
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CodecError(f"text without a UTF-8 form: {text[:40]!r}") from error


def _integer(value: int) -> bytes:
    if value in _INT32:
        return struct.pack(">ci", b"I", value)
    if value in _INT64:
        return struct.pack(">cq", b"l", value)
    raise CodecError("an int of a table has more than 64 bits.")


def _decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    number = int("".join(map(str, digits)) or "0")
    if not isinstance(exponent, int) or not -255 <= exponent <= 0 or number >= 1 << 31:
        raise CodecError("a decimal of a table does not fit into 31 bits.")
    return struct.pack(">cBi", b"D", -exponent, -number if sign else number)


def _moment(value: datetime) -> bytes:
    seconds = int(value.timestamp())
    if not 0 <= seconds < _MILLISECONDS_FROM:
        raise CodecError("a moment of a table lies before 1970 or after 2105.")
    return struct.pack(">cQ", b"T", seconds)


def _value(value: Any, depth: int) -> bytes:
    if isinstance(value, str):
        return b"S" + long_bytes(_utf8(value))
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if value is None:
        return b"V"
    for kind, encode in _ENCODERS:
        if isinstance(value, kind):
            return encode(value)
    if isinstance(value, Mapping):
        return b"F" + table(value, depth + 1)
    if isinstance(value, Sequence):
        if depth + 1 >= DEPTH_MAX:
            raise CodecError(f"an array deeper than {DEPTH_MAX}.")
        return b"A" + long_bytes(b"".join([_value(item, depth + 1) for item in value]))
    raise CodecError(f"a table cannot hold {type(value).__name__}.")


_ENCODERS: Final[tuple[tuple[type, Callable[[Any], bytes]], ...]] = (
    (int, _integer),
    (float, lambda value: struct.pack(">cd", b"d", value)),
    (bytes, lambda value: b"x" + long_bytes(value)),
    (bytearray, lambda value: b"x" + long_bytes(bytes(value))),
    (datetime, _moment),
    (Decimal, _decimal),
)


# --- in


class Fields:
    """Reads fields one after another from `data[start:end]`, and never beyond.

    Every method raises CodecError when a field does not fit into what is left.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self._end - self._at

    def finish(self) -> None:
        """Everything must have been read."""
        if self.left:
            raise CodecError(f"{self.left} bytes too many after the last field.")

    def _number(self, packed: struct.Struct) -> Any:
        at = self._at
        self._advance(packed.size)
        return packed.unpack_from(self._data, at)[0]

    def _advance(self, size: int) -> None:
        if size > self._end - self._at:
            raise CodecError("a field is longer than what holds it.")
        self._at += size

    def octet(self) -> int:
        """0 to 255."""
        return int(self._number(_UINT8))

    def short(self) -> int:
        """Unsigned, 16 bits."""
        return int(self._number(_UINT16))

    def long(self) -> int:
        """Unsigned, 32 bits."""
        return int(self._number(_UINT32))

    def longlong(self) -> int:
        """Unsigned, 64 bits."""
        return int(self._number(_UINT64))

    def raw(self, size: int) -> bytes:
        """So many bytes."""
        at = self._at
        self._advance(size)
        return self._data[at : at + size]

    def short_text(self) -> str:
        """A short string; what is no UTF-8 is replaced, for whoever sent it was free to."""
        return self.raw(self.octet()).decode("utf-8", "replace")

    def long_raw(self) -> bytes:
        """A long string as it is."""
        return self.raw(self.long())

    def long_text(self) -> str | bytes:
        """A long string; as bytes when it is no UTF-8."""
        data = self.long_raw()
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def table(self, depth: int = 0) -> dict[str, Any]:
        """A field table with all that lies in it."""
        inner = self._inner(depth)
        values: dict[str, Any] = {}
        while inner.left:
            name = inner.short_text()
            values[name] = inner._value(depth)
        return values

    def _array(self, depth: int) -> list[Any]:
        inner = self._inner(depth)
        values: list[Any] = []
        while inner.left:
            values.append(inner._value(depth))
        return values

    def _inner(self, depth: int) -> "Fields":
        if depth >= DEPTH_MAX:
            raise CodecError(f"tables deeper than {DEPTH_MAX}.")
        size = self.long()
        at = self._at
        self._advance(size)
        return Fields(self._data, at, at + size)

    def _value(self, depth: int) -> Any:
        letter = self.octet()
        packed = _NUMBERS.get(letter)
        if packed is not None:
            return self._number(packed)
        read = _READERS.get(letter)
        if read is None:
            raise CodecError(f"a table's value of unknown type {letter}.")
        return read(self, depth)

    def _moment(self) -> datetime | int:
        seconds = self.longlong()
        try:
            return datetime.fromtimestamp(
                seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds, UTC
            )
        except (OverflowError, OSError, ValueError):
            return seconds

    def _decimal(self) -> Decimal:
        scale = self.octet()
        return Decimal(int(self._number(_INT32_PACKED))).scaleb(-scale)


_UINT8: Final = struct.Struct(">B")
_UINT16: Final = struct.Struct(">H")
_UINT32: Final = struct.Struct(">I")
_UINT64: Final = struct.Struct(">Q")
_INT32_PACKED: Final = struct.Struct(">i")

_NUMBERS: Final = {
    ord(letter): struct.Struct(form)
    for letter, form in {
        "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I",
        "l": ">q", "L": ">q", "f": ">f", "d": ">d", "t": ">?",
    }.items()
}  # fmt: skip

_READERS: Final[dict[int, Callable[[Fields, int], Any]]] = {
    ord("S"): lambda fields, depth: fields.long_text(),
    ord("x"): lambda fields, depth: fields.long_raw(),
    ord("T"): lambda fields, depth: fields._moment(),
    ord("D"): lambda fields, depth: fields._decimal(),
    ord("F"): lambda fields, depth: fields.table(depth + 1),
    ord("A"): lambda fields, depth: fields._array(depth + 1),
    ord("V"): lambda fields, depth: None,
    0: lambda fields, depth: None,
}
