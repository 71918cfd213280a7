"""Routes of commands and functions on hosts reached by SSH."""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dts_core.api.decoding import idempotency_key
from dts_core.api.endpoint import Call, NoQuery, Permission, Position, Routes
from dts_core.api.resource_routes import WriteQuery
from dts_core.views.questions import AnswerRequest, AnswerTaken, QuestionList
from dts_core.views.ssh import (
    HostLiveView,
    HostOutputView,
    HostRunList,
    OutputGroupList,
    RunState,
    SshAgain,
    SshRequest,
    SshStarted,
)

routes = Routes()


class HostsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page from `start` on, or what changed `after` a position; `state` keeps only hosts that stand there."""

    start: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500
    state: RunState | Literal[""] = ""
    after: Position | None = None


class LiveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on, in bytes of each stream: as the answer before has told."""

    stdout: Position = 0
    stderr: Position = 0


@routes.add(
    "POST",
    "/ssh",
    Permission.ADMIN,
    query=WriteQuery,
    body=SshRequest,
    answer=SshStarted,
    status=201,
)
async def start_remote_calls(call: Call[WriteQuery, SshRequest]) -> SshStarted:
    """Run a command or a function on many hosts, as one job; with `dry_run` only say which hosts are meant.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    return await call.services.remote_calls.start(
        call.caller,
        call.body,
        dry_run=call.query.dry_run,
        key=idempotency_key(call.request),
        digest=hashlib.sha256(msgspec.json.encode(call.body)).digest(),
    )


@routes.add("GET", "/ssh/{id}/hosts", Permission.ADMIN, query=HostsQuery, answer=HostRunList)
async def list_host_runs(call: Call[HostsQuery, None]) -> HostRunList:
    """How far the hosts of a job are: in its order, or those that changed after a position."""
    asked, runs = call.query, call.services.host_runs
    if asked.after is not None:
        return await runs.changes(
            call.caller, call.path("id"), after=asked.after, limit=asked.limit
        )
    return await runs.page(
        call.caller, call.path("id"), start=asked.start, limit=asked.limit, state=asked.state
    )


@routes.add("GET", "/ssh/{id}/hosts/{name}/output", Permission.ADMIN, answer=HostOutputView)
async def get_host_output(call: Call[NoQuery, None]) -> HostOutputView:
    """What one host printed and returned."""
    return await call.services.host_runs.output(call.caller, call.path("id"), call.path("name"))


@routes.add(
    "GET",
    "/ssh/{id}/hosts/{name}/live",
    Permission.ADMIN,
    query=LiveQuery,
    answer=HostLiveView,
)
async def get_host_live(call: Call[LiveQuery, None]) -> HostLiveView:
    """What one host has printed behind two positions, while it runs and afterwards."""
    asked = call.query
    return await call.services.host_runs.live(
        call.caller, call.path("id"), call.path("name"), stdout=asked.stdout, stderr=asked.stderr
    )


@routes.add("GET", "/ssh/{id}/groups", Permission.ADMIN, answer=OutputGroupList)
async def list_output_groups(call: Call[NoQuery, None]) -> OutputGroupList:
    """Hosts with the same answer together, the largest groups first."""
    return await call.services.host_runs.groups(call.caller, call.path("id"))


@routes.add("GET", "/ssh/{id}/questions", Permission.ADMIN, answer=QuestionList)
async def list_questions(call: Call[NoQuery, None]) -> QuestionList:
    """What logins of a job ask whoever started it, now."""
    return await call.services.questions.page(call.caller, call.path("id"))


@routes.add(
    "POST",
    "/ssh/{id}/questions/{name}",
    Permission.ADMIN,
    body=AnswerRequest,
    answer=AnswerTaken,
)
async def answer_question(call: Call[NoQuery, AnswerRequest]) -> AnswerTaken:
    """Answer a question of one's own job, once, sealed to its key; or decline it."""
    return await call.services.questions.answer(
        call.caller, call.path("id"), call.path("name"), call.body
    )


@routes.add(
    "POST",
    "/ssh/{id}/again",
    Permission.ADMIN,
    query=WriteQuery,
    body=SshAgain,
    answer=SshStarted,
    status=201,
)
async def start_again(call: Call[WriteQuery, SshAgain]) -> SshStarted:
    """The same again, a set-up too, on exactly the hosts that ended in one way, or that gave one answer.

    The header Idempotency-Key makes it safe to send the same request again.
    """
    job = call.path("id")
    asked = f"{job}\0".encode() + msgspec.json.encode(call.body)
    return await call.services.remote_calls.again(
        call.caller,
        job,
        call.body,
        dry_run=call.query.dry_run,
        key=idempotency_key(call.request),
        digest=hashlib.sha256(asked).digest(),
    )
