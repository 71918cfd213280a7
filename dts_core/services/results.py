"""From what a worker reports to the transition that records it; no I/O."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dts_core.codec import check_json_depth
from dts_core.errors import CodecError, DtsError
from dts_core.model import RESULT_MAX, Job, JobError, JobResult, Transition
from dts_core.states import JobEvent, JobState
from dts_core.text import clean, clean_lines

REPORTED: Final = frozenset(
    {JobEvent.FINISH, JobEvent.FAIL, JobEvent.CONFIRM_CANCEL, JobEvent.GIVE_BACK}
)
"""What a worker may say of a job."""
JITTER: Final = 0.2
"""A backoff is spread by this share to both sides, so that what failed together does not come back together."""
MESSAGE_MAX: Final = 16 << 10
TRACEBACK_MAX: Final = 64 << 10
TYPE_MAX: Final = 200
_HASH_LENGTH: Final = 64
"""Of a version; any that is not the trial's counts as none."""
# Looked up once: in Python 3.11 each access to a member of an enum is a call.
_FINISH: Final = JobEvent.FINISH
_FAIL: Final = JobEvent.FAIL
_CONFIRM_CANCEL: Final = JobEvent.CONFIRM_CANCEL
_json = msgspec.json.Decoder(msgspec.Raw)


def backoff(job: Job, *, most_seconds: float, chance: random.Random) -> timedelta:
    """How long a job waits before its next attempt: doubled with each one charged, capped, then spread."""
    doublings = min(max(job.attempt - 1, 0), 40)
    seconds = min(job.backoff_seconds * 2.0**doublings, most_seconds)
    return timedelta(seconds=seconds * chance.uniform(1 - JITTER, 1 + JITTER))


def needs_job(result: JobResult) -> bool:
    """Whether the job's own options decide what becomes of this result."""
    return result.event is not _FINISH and result.event is not _CONFIRM_CANCEL


def transition_of(
    result: JobResult,
    jobs: Mapping[str, Job],
    *,
    at: datetime,
    most_seconds: float,
    chance: random.Random,
    host: str = "",
    worker: str = "",
) -> Transition | None:
    """What a result asks for; None when no worker may ask for it.

    Args:
        result: As it came, untrusted.
        jobs: The jobs of results that `needs_job`.
        at: By the control side's clock; a worker's clock only measures how long the run took.
        most_seconds: Longest backoff.
        chance: Spreads the backoff.
        host: Who says so: only of its own claims. Empty: not looked at.
        worker: As `host`.
    """
    if result.event not in REPORTED:
        return None
    started, finished = _times(result, at)
    ran = result.version if len(result.version) == _HASH_LENGTH else ""
    value, error = _outcome(result)
    if result.event is _FINISH and error is None:
        return Transition(
            id=result.id,
            event=_FINISH,
            epoch=result.epoch,
            at=at,
            host=host,
            worker=worker,
            result=value,
            blob=result.blob,
            started_at=started,
            finished_at=finished,
            ran=ran,
        )
    event, due = _event(result, jobs.get(result.id), at, most_seconds, chance)
    return Transition(
        id=result.id,
        event=event,
        epoch=result.epoch,
        at=at,
        host=host,
        worker=worker,
        due_at=due,
        error=error,
        started_at=started,
        finished_at=finished,
        ran=ran,
        reason="" if error is not None else _REASONS.get(event, ""),
    )


_REASONS: Final = {
    _CONFIRM_CANCEL: "stopped by its worker",
    JobEvent.GIVE_BACK: "given back by its worker",
}


def _outcome(result: JobResult) -> tuple[bytes | None, JobError | None]:
    """The value to keep and the error to tell; a value that cannot be kept is an error."""
    if result.event is not _FINISH:
        return None, None if result.error is None else clean_error(result.error)
    if result.blob:  # proved when it came
        return None, None
    value = b"null" if result.result is None else result.result
    return value, wrong_result(value)


def _event(
    result: JobResult, job: Job | None, at: datetime, most_seconds: float, chance: random.Random
) -> tuple[JobEvent, datetime | None]:
    if result.event not in (_FINISH, _FAIL):
        return result.event, None
    may_retry = (
        result.event is _FAIL
        and result.retry
        and job is not None
        and job.state is JobState.RUNNING
        and job.attempt <= job.retries
    )
    if not may_retry or job is None:
        return _FAIL, None
    return JobEvent.RETRY, at + backoff(job, most_seconds=most_seconds, chance=chance)


def _times(result: JobResult, at: datetime) -> tuple[datetime | None, datetime]:
    """When it started and ended, by our clock: only the length of the run is taken from the worker's."""
    if result.started_at is None or result.finished_at is None:
        return None, at
    return at - max(result.finished_at - result.started_at, timedelta(0)), at


def too_large(size: int, most: int) -> JobError:
    """The failure that takes the place of a result of `size` bytes."""
    return JobError(
        type="ResultTooLarge", message=f"the result is {size} bytes long; the limit is {most}"
    )


def wrong_result(value: bytes, most: int = RESULT_MAX) -> JobError | None:
    """Why a result cannot be kept, None when it can; for a large one not to be called on the loop."""
    if len(value) > most:
        return too_large(len(value), most)
    try:
        if not value.isascii():
            value.decode("utf-8")
        check_json_depth(value)
        _json.decode(value)
    except (CodecError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return JobError(type="NotJson", message=clean(f"the result is no JSON: {error}"))
    return None


class UnfitResult(DtsError):
    """A result that cannot be kept; `error` is the failure that takes its place."""

    status = 422
    code = "unfit_result"

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


def check_result(value: bytes, most: int) -> None:
    """As `wrong_result`.

    Raises:
        UnfitResult: It cannot be kept.
    """
    if (wrong := wrong_result(value, most)) is not None:
        raise UnfitResult(wrong)


def clean_error(error: JobError) -> JobError:
    """The same error with printable, bounded text."""
    return JobError(
        type=clean(error.type, TYPE_MAX),
        message=clean_lines(error.message, MESSAGE_MAX),
        traceback=clean_lines(error.traceback, TRACEBACK_MAX),
    )
