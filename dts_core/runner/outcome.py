"""From what `main` returned or raised to what the worker is told."""

from __future__ import annotations

import os

from dts_core.runner import frames
from dts_core.runner.values import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MESSAGE_MAX = 2000
TRACEBACK_HEAD = 4000
TRACEBACK_TAIL = 12000

_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


class LoadFailed(Exception):
    """The source does not import, or has no `main`."""


def result_frame(number: int, value: Any, most: int) -> bytes:
    """The frame for a returned value: a result, or a failure when it is not JSON or longer than `most` bytes."""
    if value is None:
        return frames.pack(frames.RESULT, number, b"null")
    try:
        body = dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        from dts_core.runner.culprit import why_not_json

        return _failure(number, "NotJson", why_not_json(value, error), retry=False)
    if len(body) > most:
        text = f"the result is {len(body)} bytes long; the limit is {most}"
        return _failure(number, "ResultTooLarge", text, retry=False)
    return frames.pack(frames.RESULT, number, body)


def failure_frame(number: int, error: BaseException) -> bytes:
    """The frame for a raised exception, without the frames of dts itself in its traceback."""
    cause = error.__cause__ if isinstance(error, LoadFailed) else None
    return _failure(number, _type_name(error), message_of(error), _traceback(cause or error))


def _failure(
    number: int, type_name: str, message: str, traceback: str = "", retry: bool = True
) -> bytes:
    body = {
        "type": _unicode(type_name),
        "message": _unicode(message),
        "traceback": _unicode(traceback),
        "retry": retry,
    }
    return frames.pack(frames.FAILED, number, dumps(body))


def _unicode(text: str) -> str:
    """Lone surrogates become visible: no JSON carries them, and a failure must be told whatever it says."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _type_name(error: BaseException) -> str:
    """Name of an exception's class; its metaclass is user code too."""
    try:
        return str(type(error).__qualname__)[:MESSAGE_MAX]
    except BaseException:  # noqa: BLE001 - whatever it raises, the attempt's end must be told
        return "Exception"


def message_of(error: BaseException) -> str:
    """Text of an exception; its own `__str__` is user code and may do anything."""
    try:
        return str(error)[:MESSAGE_MAX]
    except BaseException as second:  # noqa: BLE001 - whatever it raises, the attempt's end must be told
        return f"<no message: its __str__ raised {type(second).__name__}>"


def _traceback(error: BaseException) -> str:
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_FOLDER):
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as second:  # noqa: BLE001 - formatting calls user code too
        return f"<no traceback: formatting it raised {type(second).__name__}>"
    if len(text) > TRACEBACK_HEAD + TRACEBACK_TAIL:
        left = len(text) - TRACEBACK_HEAD - TRACEBACK_TAIL
        head, tail = text[:TRACEBACK_HEAD], text[-TRACEBACK_TAIL:]
        return f"{head}\n... {left} characters left out ...\n{tail}"
    return text


def parse_arguments(args: bytes, kwargs: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of the call; the usual empty ones cost nothing."""
    return (
        [] if args == b"[]" else loads(args),
        {} if kwargs == b"{}" else loads(kwargs),
    )
