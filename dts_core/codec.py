"""Records to bytes and back, with every limit that untrusted bytes need.

A body is: format version (1 byte), flags (1 byte), then, where a flag says so, a signature block (8 bytes key id,
64 bytes Ed25519), then one MessagePack value, deflated (one zlib stream, nothing behind it) where a flag says so.
"""

import zlib
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from dts_core.errors import CodecError, TooLarge

FORMAT = 1
"""The format that this version writes. It reads the one before and the one after too: a format may only append."""
WIRE_MAX = 1 << 20
"""Largest body, in bytes."""
UNPACKED_MAX = 16 << 20
"""Largest body after inflation, in bytes."""
DEPTH_MAX = 32
"""Deepest nesting of arrays and maps."""
STEPS_MAX = 500_000
"""Most values of a message whose depth has to be looked at: bounds the time that takes."""
DEFLATE_FROM = 4096
"""Bodies from this size are deflated at level 1: below it the processor time buys nothing (docs/performance.md)."""
SIGNATURE_SIZE = 8 + 64

_DEFLATED = 1
_SIGNED = 2
T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()


@lru_cache(maxsize=128)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def encode(value: Any, *, wire_max: int = WIRE_MAX) -> bytes:
    """Encode one record.

    Raises:
        TooLarge: The body would exceed `wire_max` bytes even deflated; send it as a blob in chunks.
    """
    packed = _encoder.encode(value)
    flags = 0
    if len(packed) >= DEFLATE_FROM:
        deflated = zlib.compress(packed, 1)
        if len(deflated) < len(packed):
            packed, flags = deflated, _DEFLATED
    if len(packed) + 2 > wire_max:
        raise TooLarge(f"a message of {len(packed)} bytes exceeds the limit of {wire_max}.")
    return bytes((FORMAT, flags)) + packed


def decode(body: bytes, kind: type[T], *, wire_max: int = WIRE_MAX) -> T:
    """Decode and validate one record; costs at most UNPACKED_MAX bytes whatever the body holds.

    Raises:
        CodecError: Not a body of ours, over a limit, or not of this kind; the message says which.
    """
    if len(body) < 3:
        raise CodecError(f"a body of {len(body)} bytes is no message.")
    if len(body) > wire_max:
        raise CodecError(f"a body of {len(body)} bytes exceeds the limit of {wire_max}.")
    if abs(body[0] - FORMAT) > 1:
        raise CodecError(
            f"message format {body[0]} is not known here;"
            f" this version reads {FORMAT - 1} to {FORMAT + 1}."
        )
    flags = body[1]
    if flags & ~(_DEFLATED | _SIGNED):
        raise CodecError(f"message flags {flags:#x} are not known here.")
    start = 2 + (SIGNATURE_SIZE if flags & _SIGNED else 0)
    packed = memoryview(body)[start:]
    if flags & _DEFLATED:
        packed = memoryview(inflate(packed))
    key: Any = kind
    try:
        value: T = _decoder(key).decode(packed)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise CodecError(f"not a {getattr(kind, '__name__', kind)}: {error}") from error
    # The decoder's own guard has kept it from harm. A value of a bounded type that is as long as its body left nothing
    # out, so it nests no deeper than its type; everything else is looked at byte by byte.
    if _may_be_deep(packed, DEPTH_MAX) and not (
        _is_bounded(key) and len(_encoder.encode(value)) == len(packed)
    ):
        _walk_depth(memoryview(packed), DEPTH_MAX)
    return value


@lru_cache(maxsize=128)
def _is_bounded(kind: Any) -> bool:
    """Whether a type itself says how deep its values nest: no `Any` in it, and not within itself."""
    import msgspec.inspect as inspect

    def is_bounded(info: Any, above: tuple[Any, ...]) -> bool:
        if isinstance(info, inspect.AnyType | inspect.RawType | inspect.CustomType):
            return False
        if info in above:
            return False
        inner: list[Any] = []
        for name in ("fields", "item_types", "types"):
            inner += getattr(info, name, ())
        inner += [
            getattr(info, name)
            for name in ("item_type", "key_type", "value_type", "type")
            if hasattr(info, name)
        ]
        return all(is_bounded(part, (*above, info)) for part in inner)

    return is_bounded(inspect.type_info(kind), ())


def inflate(packed: bytes | memoryview, limit: int = UNPACKED_MAX) -> bytes:
    """Inflate one whole zlib stream of at most `limit` bytes.

    Raises:
        CodecError: Broken, truncated, longer than the limit, or with bytes behind its end.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, limit + 1)
    except zlib.error as error:
        raise CodecError(f"broken compression: {error}") from error
    if len(data) > limit:
        raise CodecError(f"unpacks to more than {limit} bytes.")
    if not inflater.eof:
        raise CodecError("compressed data ends too early.")
    if inflater.unused_data:
        raise CodecError("bytes follow the compressed data.")
    return data


_CONTAINER_BYTES = bytes(range(0x80, 0xA0)) + bytes(range(0xDC, 0xE0))
_NOT_CONTAINER = bytes(byte for byte in range(256) if byte not in _CONTAINER_BYTES)


def _may_be_deep(packed: bytes | memoryview, limit: int) -> bool:
    """Whether MessagePack may nest deeper: bytes that could open a container bound it, counted in one pass in C."""
    return len(packed) > limit and len(bytes(packed).translate(None, _NOT_CONTAINER)) > limit


def _walk_depth(data: memoryview, limit: int) -> None:
    """Walk the value's structure with a stack of element counts, never recursing."""
    at, stack, end, steps = 0, [1], len(data), 0
    while stack:
        steps += 1
        if steps > STEPS_MAX:
            raise CodecError(f"more than {STEPS_MAX} values in one message.")
        if stack[-1] == 0:
            stack.pop()
            continue
        stack[-1] -= 1
        if at >= end:
            raise CodecError("message ends too early.")
        at, children = _step(data, at)
        if children is not None:
            stack.append(children)
            if len(stack) - 1 > limit:
                raise CodecError(f"nested deeper than {limit}.")
    if at != end:
        raise CodecError("bytes follow the message.")


_FIXED = {
    **dict.fromkeys(range(0xC0, 0xC4), 1),
    0xCA: 5,
    0xCB: 9,
    0xCC: 2,
    0xCD: 3,
    0xCE: 5,
    0xCF: 9,
    0xD0: 2,
    0xD1: 3,
    0xD2: 5,
    0xD3: 9,
    0xD4: 3,
    0xD5: 4,
    0xD6: 6,
    0xD7: 10,
    0xD8: 18,
}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_SIZED_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}


def _step(data: memoryview, at: int) -> tuple[int, int | None]:
    """Skip one head: the next position, and how many values it contains when it is an array or a map."""
    head = data[at]
    if head < 0x80 or head >= 0xE0:
        return at + 1, None
    if head < 0x90:
        return at + 1, 2 * (head & 0x0F)
    if head < 0xA0:
        return at + 1, head & 0x0F
    if head < 0xC0:
        return at + 1 + (head & 0x1F), None
    if head in _FIXED:
        return at + _FIXED[head], None
    if head in _SIZED:
        width = _SIZED[head]
        return at + 1 + width + int.from_bytes(data[at + 1 : at + 1 + width], "big"), None
    if head in _SIZED_EXT:
        width = _SIZED_EXT[head]
        return at + 2 + width + int.from_bytes(data[at + 1 : at + 1 + width], "big"), None
    width = 2 if head in (0xDC, 0xDE) else 4
    count = int.from_bytes(data[at + 1 : at + 1 + width], "big")
    return at + 1 + width, count * (2 if head >= 0xDE else 1)


_JSON_OPENERS = bytes(byte for byte in range(256) if byte not in b"[{")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_SLICE = 1 << 20


def check_json_depth(text: bytes, limit: int = DEPTH_MAX) -> None:
    """Refuse JSON text that nests deeper than `limit`; the text is not otherwise checked.

    Every step is a pass in C, since results have up to 64 MiB: pairs of brackets are taken out from the inside, one
    level a pass.

    Raises:
        CodecError: Too deep. In text that is no JSON it may be missed.
    """
    if len(text.translate(None, _JSON_OPENERS)) <= limit:
        return
    brackets = _brackets(text)
    for _ in range(limit):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets or brackets.count(b"[") > limit:
        raise CodecError(f"nested deeper than {limit}.")


def _brackets(text: bytes) -> bytes:
    """The brackets outside of strings, all as square ones; slice by slice, so that no pass holds up other threads."""
    found: list[bytes] = []
    at, in_string = 0, 0
    while at < len(text):
        piece = text[at : at + _SLICE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # never cut an escape in two
            piece += text[at + _SLICE : at + _SLICE + 1]
        at += len(piece)
        # Without escaped backslashes and quotes, every quote that is left begins or ends a string.
        bare = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = bare.translate(_ONE_KIND, _NOT_STRUCTURE).split(b'"')
        found += parts[in_string::2]
        in_string ^= (len(parts) - 1) % 2
    return b"".join(found)
