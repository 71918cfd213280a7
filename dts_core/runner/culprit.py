"""Which part of a result is no JSON, for the person who wrote the function."""

from __future__ import annotations

from dts_core.runner.outcome import message_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def why_not_json(value: Any, error: Exception) -> str:
    """In words, which part of the result is at fault; the encoder's own words when none is found."""
    if isinstance(error, RecursionError):
        return "the result is nested too deep for JSON"
    if isinstance(error, UnicodeEncodeError):
        return f"the result holds text that is not Unicode: {error.reason}"
    try:
        found = _culprit(value, "result", [])
    except (RecursionError, RuntimeError):
        found = None
    return found or f"the result is not JSON: {message_of(error)}"


def _culprit(value: Any, path: str, above: list[int]) -> str | None:
    if value is None or isinstance(value, (str, bool, int)):
        return None
    if isinstance(value, float):
        finite = value - value == 0
        return None if finite else f"{path} is {value!r}, which JSON cannot say"
    if id(value) in above:
        return f"{path} contains itself"
    if isinstance(value, (list, tuple)):
        items = [(f"{path}[{at}]", item) for at, item in enumerate(value)]
    elif isinstance(value, dict):
        bad = [key for key in value if not isinstance(key, (str, int, float, bool, type(None)))]
        if bad:
            return f"{path} has a key of type {type(bad[0]).__name__}; keys are text"
        items = [(f"{path}[{repr(key)[:60]}]", value[key]) for key in value]
    else:
        return f"{path[-300:]} is of type {type(value).__name__}, which JSON cannot say"
    for name, item in items:
        found = _culprit(item, name, [*above, id(value)])
        if found:
            return found
    return None
