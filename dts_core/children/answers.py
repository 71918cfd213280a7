"""What a child answers, checked: a child runs user code, so its frames are foreign bytes."""

import signal

import msgspec

from dts_core.children.calls import Ended, EndKind
from dts_core.model import JobError

MESSAGE_MAX = 4_000
TRACEBACK_MAX = 32_000
_raw = msgspec.json.Decoder(msgspec.Raw)


class _Failure(msgspec.Struct):
    type: str
    message: str = ""
    traceback: str = ""
    retry: bool = True


_failure = msgspec.json.Decoder(_Failure)


def returned(body: bytes, most: int) -> Ended:
    """The end of a call that returned `body`; a failure when that is not JSON in UTF-8, or too long."""
    if len(body) > most:
        text = f"the result is {len(body)} bytes long; the limit is {most}"
        return failed(JobError(type="ResultTooLarge", message=text), retry=False)
    try:
        if not body.isascii():
            body.decode("utf-8")
        _raw.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return failed(
            JobError(type="NotJson", message=f"the result is not JSON: {error}"), retry=False
        )
    return Ended(EndKind.RETURNED, result=body)


def raised(body: bytes) -> Ended:
    """The end of a call that raised, in the runner's own JSON."""
    try:
        failure = _failure.decode(body)
    except msgspec.DecodeError as error:
        return failed(JobError(type="ChildDied", message=f"its failure cannot be read: {error}"))
    described = JobError(
        type=failure.type[:200],
        message=failure.message[:MESSAGE_MAX],
        traceback=failure.traceback[:TRACEBACK_MAX],
    )
    return failed(described, retry=failure.retry)


def failed(error: JobError, *, retry: bool = True) -> Ended:
    """A charged failure."""
    return Ended(EndKind.FAILED, error=error, retry=retry)


def not_started(why: str) -> Ended:
    """The end of a call whose own interpreter could not be started."""
    text = f"the interpreter of its environment cannot be started: {why}"
    return failed(JobError(type="EnvironmentFailed", message=text))


def died(exit_code: int, because: str = "") -> Ended:
    """The end of a call that took its process down; `because`: why we had to end it."""
    text = (
        f"the process was ended: {because}"
        if because
        else f"the process {describe_exit(exit_code)}"
    )
    return failed(JobError(type="ChildDied", message=text))


def describe_exit(exit_code: int) -> str:
    """In words, how a process ended: its code, or the negative number of its signal."""
    if exit_code >= 0:
        return f"ended with code {exit_code} before the function returned"
    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        name = ""
    hint = "; the system may have run out of memory" if exit_code == -signal.SIGKILL else ""
    return f"died with signal {-exit_code}{name}{hint}"
