"""What namespaces, functions, queues and hosts may be called, and how ids are made."""

import os
import re
import time

from dts_core.errors import InvalidInput

NAME_PATTERN = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*"
"""What a name looks like, beside its length."""
HOST_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
"""What the name of a host looks like."""
FUNCTION_PATTERN = f"{NAME_PATTERN}/{NAME_PATTERN}"
"""What the name of a function looks like."""
_NAME = re.compile(NAME_PATTERN)
_HOST = re.compile(HOST_PATTERN)
NAME_MAX = 120
"""Longest name, in characters."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _CROCKFORD for b in _CROCKFORD]


def is_name(text: str) -> bool:
    """Whether `text` is dotted parts of `[a-z][a-z0-9_]*`, at most NAME_MAX characters."""
    return len(text) <= NAME_MAX and _NAME.fullmatch(text) is not None


def check_name(text: str, *, what: str = "name") -> str:
    """Return `text` when it is a name.

    Raises:
        InvalidInput: It is not; the message shows the rule.
    """
    if is_name(text):
        return text
    raise InvalidInput(
        f"{what} {text[:60]!r} is not a name.",
        fields={
            what: "lower-case letters, digits and _, starting with a letter, parts joined by dots"
        },
        advice="Use lower-case letters, digits and _, starting with a letter; join parts with dots.",
    )


def split_function(function: str) -> tuple[str, str]:
    """Split `namespace/name` into its two names.

    Raises:
        InvalidInput: There is no single slash, or a part is not a name.
    """
    namespace, slash, name = function.partition("/")
    if not slash or not is_name(namespace) or not is_name(name):
        raise InvalidInput(
            f"function {function[:80]!r} is not of the form namespace/name.",
            fields={"function": "namespace/name, each of lower-case letters, digits and _"},
            advice="Write it as namespace/name, for example sample/wordcount.",
        )
    return namespace, name


def is_host(text: str) -> bool:
    """Whether `text` can be a host name: letters, digits, dot, dash, underscore; 1 to 253 characters."""
    return _HOST.fullmatch(text) is not None


class _Ids:
    """State of the id generator: within one millisecond the random part counts up."""

    millisecond = -1
    random = 0
    high = -1
    first = ""
    """The characters that `high` is, which ids made one after the other share."""


def _crockford(number: int, pairs: int) -> str:
    parts = []
    for _ in range(pairs):
        number, low = divmod(number, 1024)
        parts.append(_PAIRS[low])
    return "".join(reversed(parts))


def new_id() -> str:
    """A ULID: 26 characters of Crockford base 32 that sort by time of creation.

    Monotonic within a process. Not safe against concurrent threads: call it from the loop's thread.

    Source: the ULID specification (48 bits of milliseconds, 80 of randomness).
    """
    millisecond = time.time_ns() // 1_000_000
    if millisecond > _Ids.millisecond:
        _Ids.millisecond = millisecond
        _Ids.random = int.from_bytes(os.urandom(10), "big") >> 1
    else:
        _Ids.random += 1
    number = (_Ids.millisecond << 80) | _Ids.random
    high, low = number >> 20, number & 0xFFFFF
    if high != _Ids.high:
        _Ids.high, _Ids.first = high, _crockford(high, 11)
    return _Ids.first + _PAIRS[low >> 10] + _PAIRS[low & 1023]
