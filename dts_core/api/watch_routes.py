"""Routes to watch with: hosts, alarms, logs, the dashboard, the live stream."""

from typing import Annotated, Final

import msgspec
from litestar.response.base import ASGIResponse
from msgspec import Meta

from dts_core.api.endpoint import EVENTS, Call, NoQuery, Permission, Position, Routes
from dts_core.api.security import bearer_token
from dts_core.api.sse import EventStream
from dts_core.errors import InvalidInput
from dts_core.model import Host, LogQuery
from dts_core.services.access import Caller
from dts_core.services.logs import parse_level
from dts_core.services.subscriber import TOPICS, StreamQuery, parse_position
from dts_core.text import clean
from dts_core.views import (
    AlarmList,
    DrainChange,
    HostList,
    LogPage,
    SampleList,
    StatusView,
)

TEXT_MAX: Final = 200
_TOPIC_NAMES: Final = "|".join(sorted(TOPICS))
_TOPICS_PATTERN: Final = f"^,*({_TOPIC_NAMES})(,+({_TOPIC_NAMES}))*,*$"
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
routes = Routes()


class SamplesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back, and whether in minutes."""

    seconds: Annotated[float, Meta(gt=0, le=90 * 86_400)] = 300.0
    by_minute: bool = False


class AlarmsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`open`: only those that are."""

    open: bool = False
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class LogsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filters of the records; `level` is a number or a name."""

    host: str = ""
    source: str = ""
    job: str = ""
    function: str = ""
    level: str = ""
    text: Text = ""
    after: Position = 0
    before: Position = 0
    limit: Annotated[int, Meta(ge=1, le=2000)] = 200


class FollowQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Topics, with commas, and filters."""

    topics: Annotated[str, Meta(extra_json_schema={"pattern": _TOPICS_PATTERN})] = (
        "jobs,hosts,alarms"
    )
    job: str = ""
    function: str = ""
    host: str = ""
    level: str = ""
    text: Text = ""


@routes.add("GET", "/hosts", Permission.READ, answer=HostList)
async def list_hosts(call: Call[NoQuery, None]) -> HostList:
    """Every host with its last heartbeat."""
    return await call.services.hosts.all(call.caller)


@routes.add("GET", "/hosts/{name}", Permission.READ, answer=Host)
async def get_host(call: Call[NoQuery, None]) -> Host:
    """One host."""
    return await call.services.hosts.get(call.caller, call.path("name"))


@routes.add("GET", "/hosts/{name}/samples", Permission.READ, query=SamplesQuery, answer=SampleList)
async def list_samples(call: Call[SamplesQuery, None]) -> SampleList:
    """A host's history over the last seconds."""
    return await call.services.hosts.samples(
        call.path("name"), seconds=call.query.seconds, by_minute=call.query.by_minute
    )


@routes.add("POST", "/hosts/{name}/drain", Permission.OPERATE, answer=DrainChange)
async def drain_host(call: Call[NoQuery, None]) -> DrainChange:
    """Have the host's workers take nothing new and finish what runs, until undrain."""
    return await call.services.drains.drain(call.caller, call.path("name"))


@routes.add("POST", "/hosts/{name}/undrain", Permission.OPERATE, answer=DrainChange)
async def undrain_host(call: Call[NoQuery, None]) -> DrainChange:
    """Have them take jobs again."""
    return await call.services.drains.undrain(call.caller, call.path("name"))


@routes.add("GET", "/alarms", Permission.READ, query=AlarmsQuery, answer=AlarmList)
async def list_alarms(call: Call[AlarmsQuery, None]) -> AlarmList:
    """Alarms, open ones first."""
    return await call.services.hosts.alarms(open_only=call.query.open, limit=call.query.limit)


@routes.add("GET", "/logs", Permission.READ, query=LogsQuery, answer=LogPage)
async def list_logs(call: Call[LogsQuery, None]) -> LogPage:
    """Log records, oldest first; follow from `position`."""
    asked = call.query
    query = LogQuery(
        host=asked.host,
        source=asked.source,
        job=asked.job,
        function=asked.function,
        level=parse_level(asked.level),
        text=asked.text,
        after=asked.after,
        before=asked.before,
        limit=asked.limit,
    )
    return await call.services.logs.page(call.caller, query)


@routes.add("GET", "/status", Permission.READ, answer=StatusView)
async def get_status(call: Call[NoQuery, None]) -> StatusView:
    """The whole dashboard in one answer."""
    return await call.services.status.view(call.caller)


@routes.add("GET", "/stream", Permission.READ, query=FollowQuery, media_type=EVENTS)
async def follow(call: Call[FollowQuery, None]) -> ASGIResponse:
    """Server-sent events: what changes, as it changes; the header Last-Event-ID resumes.

    Events `jobs`, `hosts`, `alarms`, `queues` and `logs` carry JSON; `reset` says that too much was missed: list again.
    """
    asked = call.query
    topics = frozenset(filter(None, asked.topics.split(",")))
    if not topics or topics - TOPICS:
        raise InvalidInput(
            f"{clean(asked.topics, 80)!r} names no topics of the stream.",
            fields={"topics": f"of {', '.join(sorted(TOPICS))}"},
        )
    query = StreamQuery(
        topics=topics,
        job=asked.job,
        function=asked.function,
        host=asked.host,
        level=parse_level(asked.level),
        text=asked.text,
    )
    last = parse_position(call.request.headers.get("last-event-id", ""))
    subscriber = await call.services.stream.subscribe(call.caller, query, last)
    token = bearer_token(call.request)

    async def still() -> Caller:
        return await call.services.sessions.authenticate(
            token, source=call.caller.source, request_id=call.caller.request_id
        )

    return EventStream(call.services.stream, subscriber, still)
