"""From a submission to a job: the bounds of its options, its queue, its start."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from dts_core.errors import DtsError, InvalidInput
from dts_core.model import Job, Sealed
from dts_core.names import is_host, is_name, new_id
from dts_core.sealed import Call, Sealer
from dts_core.sealed.boxes import no_key
from dts_core.services.access import DTS, Caller
from dts_core.services.canaries import Chosen, choose
from dts_core.services.targets import Target
from dts_core.states import JobState
from dts_core.text import clean
from dts_core.views import SubmitRequest

DAY: Final = 86_400.0
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "priority": (0, 9),
    "timeout_seconds": (0, 30 * DAY),
    "grace_seconds": (0, 3600),
    "retries": (0, 100),
    "backoff_seconds": (0, 3600),
    "delay_seconds": (0, 366 * DAY),
    "expires_seconds": (0, 366 * DAY),
}
"""option -> least and greatest value"""
# Looked up once: in Python 3.11 each access to a member of an enum is a call.
_QUEUED: Final = JobState.QUEUED
_PLAIN: Final = SubmitRequest(function="")


def check_options(request: SubmitRequest) -> None:
    """Let pass options within their bounds.

    Raises:
        InvalidInput: Names every option that is not.
    """
    if _is_plain(request):
        return
    wrong = {
        name: f"must lie between {least:g} and {most:g}"
        for name, (least, most) in BOUNDS.items()
        if not least <= getattr(request, name) <= most
    }
    if request.queue and (not is_name(request.queue) or request.queue == DTS):
        wrong["queue"] = "a name of lower-case letters, digits and _ (not dts)"
    if request.queue.startswith("host."):
        wrong["queue"] = "give the host instead"
    if request.host and not is_host(request.host):
        wrong["host"] = "no host's name"
    if request.host and request.queue:
        wrong["host"] = "give a queue or a host, not both"
    if request.start_at is not None:
        if request.start_at.tzinfo is None:
            wrong["start_at"] = "needs a zone, such as Z at its end"
        elif request.delay_seconds:
            wrong["start_at"] = "give start_at or delay_seconds, not both"
        elif not 1970 < request.start_at.year < 9999:  # beyond, arithmetic with zones overflows
            wrong["start_at"] = "is no time to start at"
    if wrong:
        name, why = next(iter(wrong.items()))
        raise InvalidInput(f"{name} {why}.", fields=wrong)


def _is_plain(request: SubmitRequest) -> bool:
    """Whether every option is at its default: most are, and need no look at each bound."""
    return (
        not request.queue
        and not request.host
        and request.priority == 0
        and request.start_at is None
        and request.delay_seconds == 0
        and request.expires_seconds == 0
        and request.timeout_seconds == 0
        and request.retries == 0
        and request.grace_seconds == _PLAIN.grace_seconds
        and request.backoff_seconds == _PLAIN.backoff_seconds
    )


def queue_of(request: SubmitRequest, target: Target) -> str:
    """The queue that a submission goes to, without the prefix that the broker's queues have."""
    if target.namespace == DTS:
        return DTS
    if request.host:
        return f"host.{request.host}"
    return request.queue or "default"


def make_job(
    caller: Caller, request: SubmitRequest, target: Target, now: datetime, sealer: Sealer | None
) -> Job:
    """The job of a checked submission: `queued`, or `scheduled` when it starts later.

    Raises:
        InvalidInput: It has secret arguments, and nothing can be sealed here.
        TooLarge: They are too long.
    """
    due, job_id = _start(request, now), new_id()
    chosen = choose(
        Chosen(target.version, target.is_async), target.tried,
        job=job_id, host=request.host, args=bytes(request.args), kwargs=bytes(request.kwargs),
    )  # fmt: skip
    args, kwargs, sealed = _sealed(request, target, sealer)
    return Job(
        id=job_id,
        function=target.function,
        version=chosen.version,
        is_async=chosen.is_async,
        trial=chosen.trial,
        args=args,
        kwargs=kwargs,
        sealed=sealed,
        queue=queue_of(request, target),
        priority=request.priority,
        submitter=caller.user,
        timeout_seconds=request.timeout_seconds,
        grace_seconds=request.grace_seconds,
        retries=request.retries,
        backoff_seconds=request.backoff_seconds,
        expires_at=_expiry(request, due or now),
        created_at=now,
        request_id=caller.request_id,
        state=_QUEUED if due is None else JobState.SCHEDULED,
        queued_at=now if due is None else None,
        due_at=due,
    )


def _sealed(
    request: SubmitRequest, target: Target, sealer: Sealer | None
) -> tuple[bytes, bytes, Sealed | None]:
    """Its arguments without what is secret in them, and that in a box."""
    args, kwargs = bytes(request.args), bytes(request.kwargs)
    places = _places(target, args, kwargs)
    if not places:
        return args, kwargs, None
    if sealer is None:
        raise no_key(target.function)
    call, sealed = sealer.seal(Call(target.function, args, kwargs), places)
    return call.args, call.kwargs, sealed


def _places(target: Target, args: bytes, kwargs: bytes) -> dict[str, str]:
    """Where something is secret, be it to the default version alone or to the canary beside it."""
    tried = {} if target.tried is None else target.tried.arguments.secret_places(args, kwargs)
    return tried | target.arguments.secret_places(args, kwargs)


def check_again(former: Job, target: Target) -> None:
    """Let pass a job whose arguments fit another version, with the same ones secret.

    Raises:
        InvalidInput: They do not.
    """
    target.arguments.check(former.args, former.kwargs, sealed=former.sealed is not None)
    places = {} if former.sealed is None else former.sealed.places
    if _places(target, former.args, former.kwargs) != places:
        raise InvalidInput(
            f"in the default version of {former.function} other arguments are secret.",
            fields={"version": "other arguments are secret"},
            advice="Submit it anew with its arguments, or run it again with the same version.",
        )


def masked_digest(jobs: Sequence[Job]) -> bytes:
    """The digest of submissions with secrets, for their idempotency key: it says nothing of what is secret in them."""
    said = [
        (job.function, job.args, job.kwargs, job.queue, job.priority, job.retries, job.again_of,
         job.timeout_seconds, job.grace_seconds, job.backoff_seconds)
        for job in jobs
    ]  # fmt: skip
    return hashlib.sha256(msgspec.msgpack.encode(said)).digest()


def renew_job(caller: Caller, former: Job, version: str, is_async: bool, now: datetime) -> Job:
    """The same call again, at once, with nothing of what became of the former job."""
    return Job(
        id=new_id(),
        function=former.function,
        version=version,
        is_async=is_async,
        args=former.args,
        kwargs=former.kwargs,
        sealed=former.sealed,
        queue=former.queue,
        priority=former.priority,
        submitter=caller.user,
        timeout_seconds=former.timeout_seconds,
        grace_seconds=former.grace_seconds,
        retries=former.retries,
        backoff_seconds=former.backoff_seconds,
        created_at=now,
        again_of=former.id,
        request_id=caller.request_id,
        state=_QUEUED,
        queued_at=now,
    )


def _start(request: SubmitRequest, now: datetime) -> datetime | None:
    if request.delay_seconds:
        return now + timedelta(seconds=request.delay_seconds)
    if request.start_at is not None and request.start_at > now:
        return request.start_at.astimezone(UTC)
    return None


def _expiry(request: SubmitRequest, start: datetime) -> datetime | None:
    if not request.expires_seconds:
        return None
    return start + timedelta(seconds=request.expires_seconds)


def of_batch(error: DtsError, index: int) -> DtsError:
    """The same error, saying which job of a batch it is about."""
    error.message = f"job {index}: {error.message}"
    error.args = (clean(error.message, 2000),)
    if isinstance(error, InvalidInput):
        error.fields = {f"jobs[{index}].{name}": why for name, why in error.fields.items()}
    return error
