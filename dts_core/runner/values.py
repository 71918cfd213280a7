"""JSON of arguments and results, without `json` as long as nothing is wrong: it takes as long to load as all of us.

The interpreter's own scanner and encoder do the work in both cases. What they refuse `json` gets, which says why.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import _json
except ImportError:
    _fast: Any = None
else:
    _fast = _json


class _Plainly:
    """How the scanner reads: as `json.loads` does."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {
        "NaN": float("nan"),
        "Infinity": float("inf"),
        "-Infinity": float("-inf"),
    }.__getitem__
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own


def _refuse(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_scan = _fast.make_scanner(_Plainly) if _fast is not None else None


def loads(data: bytes) -> Any:
    """The value of JSON in UTF-8.

    Raises:
        ValueError: It is none.
    """
    if _scan is not None:
        text = data.decode("utf-8", "surrogatepass")
        try:
            value, end = _scan(text, 0)
        except (StopIteration, ValueError):
            end = -1
        if end == len(text):
            return value
    import json

    return json.loads(data)


def dumps(value: Any) -> bytes:
    """A value as JSON in UTF-8, without spaces.

    Raises:
        TypeError: A part of it has no JSON.
        ValueError: It holds a NaN or an infinity, lone surrogates, or itself.
        RecursionError: It is nested too deep.
    """
    if _fast is None:
        import json

        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    if type(value) is str:
        quoted: str = _fast.encode_basestring(value)
        return quoted.encode("utf-8")
    encode = _fast.make_encoder(
        {}, _refuse, _fast.encode_basestring, None, ":", ",", False, False, False
    )
    return "".join(encode(value, 0)).encode("utf-8")
