"""Routes of jobs."""

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dts_core.api.decoding import decode_body, decode_json, idempotency_key
from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.errors import InvalidInput, StoreUnavailable, TooLarge
from dts_core.model import ARGS_MAX, JobCounts, JobQuery
from dts_core.names import FUNCTION_PATTERN
from dts_core.services.submission import BOUNDS
from dts_core.states import JobState
from dts_core.text import clean
from dts_core.views import (
    Accepted,
    AttemptList,
    CancelAnswer,
    CancelItem,
    JobPage,
    JobView,
    SubmitRequest,
    job_view,
)

_STATE_NAMES: Final = "|".join(state.value for state in JobState)
_STATES_PATTERN: Final = f"^,*(({_STATE_NAMES})(,+({_STATE_NAMES}))*)?,*$"
SINGLE_MAX: Final = ARGS_MAX + (64 << 10)
"""Largest body of a single submission: its arguments and the rest."""
Wait = Annotated[float, Meta(ge=0, le=60)]
Limit = Annotated[int, Meta(ge=1, le=500)]
routes = Routes()


class WaitQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`wait`: answer when the job has ended, or after so many seconds."""

    wait: Wait = 0.0


class JobsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of the list; `state` may name several, with commas."""

    state: Annotated[str, Meta(extra_json_schema={"pattern": _STATES_PATTERN})] = ""
    function: str = ""
    namespace: str = ""
    host: str = ""
    submitter: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    order: Literal["newest", "oldest"] = "newest"
    cursor: str = ""
    limit: Limit = 50


class SubmitBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several submissions, all accepted or none."""

    jobs: Annotated[list[SubmitRequest], Meta(min_length=1, max_length=1000)]


def _described(each: msgspec.structs.FieldInfo) -> tuple[str, Any, Any]:
    kind = each.type
    if each.name in BOUNDS:
        least, most = BOUNDS[each.name]
        kind = Annotated[kind, Meta(ge=least, le=most)]
    elif each.name == "function":
        kind = Annotated[kind, Meta(pattern=f"^{FUNCTION_PATTERN}$")]
    default = msgspec.field() if each.required else each.default
    return each.name, kind, default


SubmitShape: Final = msgspec.defstruct(
    "SubmitRequest",
    [_described(each) for each in msgspec.structs.fields(SubmitRequest)],
    kw_only=True,
    forbid_unknown_fields=True,
    namespace={"__doc__": SubmitRequest.__doc__},
)
"""A submission with its bounds, for the description of the interface; the service checks them together."""


class BatchShape(msgspec.Struct, frozen=True):
    """Several submissions, as POST /jobs describes one, all accepted or none."""

    jobs: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1000)]


class CancelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs to stop."""

    ids: Annotated[list[str], Meta(max_length=1000)]


class AgainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version of the function: the job's own, or the default one of now."""

    version: Literal["same", "default"] = "same"


class _Shape(msgspec.Struct):
    jobs: msgspec.Raw | UnsetType = UNSET


@routes.add(
    "POST",
    "/jobs",
    Permission.SUBMIT,
    query=WaitQuery,
    body=(SubmitShape, BatchShape),
    answer=(JobView, Accepted),
    status=201,
    raw_body=True,
)
async def submit_jobs(call: Call[WaitQuery, bytes]) -> JobView | Accepted:
    """Submit one job, or a batch of up to 1000.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    jobs, body = call.services.jobs, call.body
    key, digest = _once(call)
    if decode_body(call.request, body, _Shape).jobs is not UNSET:
        batch = decode_json(body, SubmitBatch)
        return Accepted(ids=await jobs.submit_many(call.caller, batch.jobs, key=key, digest=digest))
    if len(body) > SINGLE_MAX:
        raise TooLarge(
            f"the submission has {len(body)} bytes, more than {SINGLE_MAX}.",
            advice="Pass a path or a reference instead of the data.",
        )
    job = await jobs.submit(call.caller, decode_json(body, SubmitRequest), key=key, digest=digest)
    if call.query.wait:
        with suppress(StoreUnavailable):  # it is accepted, however the wait for it ends
            job = await jobs.get(call.caller, job.id, wait_seconds=call.query.wait)
    return job_view(job)


@routes.add("GET", "/jobs", Permission.READ, query=JobsQuery, answer=JobPage)
async def list_jobs(call: Call[JobsQuery, None]) -> JobPage:
    """One page of jobs, without their results."""
    asked = call.query
    query = JobQuery(
        state=_states(asked.state),
        function=asked.function,
        namespace=asked.namespace,
        host=asked.host,
        submitter=asked.submitter,
        text=asked.text,
        since=_aware(asked.since),
        until=_aware(asked.until),
        newest_first=asked.order == "newest",
        cursor=asked.cursor,
        limit=asked.limit,
    )
    page = await call.services.jobs.page(call.caller, query)
    return JobPage(items=[job_view(job, with_result=False) for job in page.items], next=page.next)


@routes.add("GET", "/jobs/counts", Permission.READ, answer=JobCounts)
async def count_jobs(call: Call[NoQuery, None]) -> JobCounts:
    """Jobs by state, and what ended lately."""
    return await call.services.jobs.counts(call.caller)


@routes.add("GET", "/jobs/{id}", Permission.READ, query=WaitQuery, answer=JobView)
async def get_job(call: Call[WaitQuery, None]) -> JobView:
    """One job with its result; with `wait` as soon as it has ended."""
    job = await call.services.jobs.get(call.caller, call.path("id"), wait_seconds=call.query.wait)
    return job_view(job)


@routes.add("GET", "/jobs/{id}/attempts", Permission.READ, answer=AttemptList)
async def list_attempts(call: Call[NoQuery, None]) -> AttemptList:
    """Attempts that ended without ending the job."""
    return AttemptList(items=await call.services.jobs.attempts(call.caller, call.path("id")))


@routes.add("POST", "/jobs/cancel", Permission.SUBMIT, body=CancelRequest, answer=CancelAnswer)
async def cancel_jobs(call: Call[NoQuery, CancelRequest]) -> CancelAnswer:
    """Ask to stop up to 1000 jobs; what was done to each."""
    items = await call.services.cancelling.cancel_many(call.caller, call.body.ids)
    return CancelAnswer(items=items)


@routes.add("POST", "/jobs/{id}/cancel", Permission.SUBMIT, answer=CancelItem)
async def cancel_job(call: Call[NoQuery, None]) -> CancelItem:
    """Ask to stop one job."""
    return await call.services.cancelling.cancel(call.caller, call.path("id"))


@routes.add(
    "POST",
    "/jobs/{id}/again",
    Permission.SUBMIT,
    body=AgainRequest,
    answer=JobView,
    status=201,
    raw_body=True,
    body_required=False,
)
async def run_again(call: Call[NoQuery, bytes]) -> JobView:
    """Run a job again; without a body with the same version of its function. Takes an Idempotency-Key too."""
    asked = decode_body(call.request, call.body or b"{}", AgainRequest)
    key, digest = _once(call)
    return job_view(
        await call.services.jobs.again(
            call.caller, call.path("id"), version=asked.version, key=key, digest=digest
        )
    )


def _once(call: Call[Any, bytes]) -> tuple[str, bytes]:
    """The idempotency key, and the digest of the request that it stands for."""
    key = idempotency_key(call.request)
    if not key:
        return "", b""
    path = str(call.request.scope["path"]).encode()
    return key, hashlib.sha256(path + b"\n" + call.body).digest()


def _states(text: str) -> tuple[JobState, ...]:
    found: list[JobState] = []
    for name in filter(None, text.split(",")):
        if name not in _STATES:
            raise InvalidInput(
                f"{clean(name, 40)!r} is no state of a job; the states are {', '.join(_STATES)}.",
                fields={"state": f"of {', '.join(_STATES)}"},
            )
        found.append(JobState(name))
    return tuple(found)


_STATES: Final[dict[str, Any]] = {state.value: state for state in JobState}


def _aware(at: datetime | None) -> datetime | None:
    """An instant without a zone is taken as UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
