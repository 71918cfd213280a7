"""A server without a network: it answers the real client's requests from scripted records, and streams events."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec

from dts_core.clients import AdminClient
from dts_core.model import Alarm, Disk, Heartbeat, Host, JobCounts, JobError, Parameter
from dts_core.views import (
    DeadLetterDetail,
    DeadLetterList,
    DeadLettersDone,
    DeadLetterView,
    DrainChange,
    FunctionPage,
    FunctionView,
    JobPage,
    JobView,
    LogLine,
    LogPage,
    PartView,
    QueueChange,
    QueueView,
    SamplePoint,
    SessionView,
    SourceView,
    StatusView,
    VersionView,
)

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SOURCE = '''"""Counts the words of a text."""

from dts_core import job


def main(path: str, pattern: str = "*", deep: bool = False) -> dict[str, int]:
    """Count the words of a file.

    Args:
        path: The file to read.
    """
    job.logger.info("reading %s", path)
    return {"words": len(path.split())}
'''


def make_job(number: int, state: str = "done", **fields: Any) -> JobView:
    at = fields.pop("at", START - timedelta(seconds=number * 7))
    given: dict[str, Any] = {
        "id": f"01JD{number:08d}ABCDEFGHIJKLMN",
        "function": "sample/wordcount",
        "version": "ab" * 32,
        "state": state,
        "submitter": "admin",
        "created_at": at,
        "queued_at": at,
        "epoch": 1,
        "attempt": 1,
        "host": "web-1",
        "kwargs": {"path": "/etc/hosts"},
        "changed": number + 1,
    }
    if state not in ("queued", "pending", "scheduled"):
        given["started_at"] = at + timedelta(milliseconds=40)
    if state in ("done", "failed", "dead", "cancelled"):
        given["finished_at"] = at + timedelta(seconds=1.4)
    if state == "failed":
        given["error"] = JobError(
            type="ValueError",
            message="count is 0; it must be 1 to 10000",
            traceback='Traceback (most recent call last):\n  File "/x/dts_core/runner/child.py", line 9, in run\n'
            '    main()\n  File "function.py", line 27, in main\n    raise ValueError(...)\nValueError: count is 0',
        )
    return JobView(**{**given, **fields})


def make_host(name: str, cpu: float = 0.35, state: str = "up", **fields: Any) -> Host:
    beat = Heartbeat(
        host=name,
        worker=f"{name}.1",
        boot_id="b-1",
        sequence=fields.pop("sequence", 7),
        at=START,
        interval_seconds=2.0,
        version="0.1.0",
        python="3.11.9",
        system="Linux 6.1 x86_64",
        loop="uvloop",
        cpu=cpu,
        cpu_cores=[cpu, cpu * 0.8, cpu * 0.5, cpu * 0.9],
        load=(cpu * 4, 0.8, 0.5),
        memory_total=32 << 30,
        memory_available=12 << 30,
        swap_total=2 << 30,
        swap_used=100 << 20,
        disks=[
            Disk(mount="/", total=200 << 30, used=90 << 30),
            Disk(mount="/data", total=2 << 40, used=int(1.7 * (1 << 40))),
        ],
        network_received=120_000.0,
        network_sent=38_000.0,
        uptime_seconds=90_000.0,
        loop_lag_seconds=0.001,
        slots=8,
        running=2,
        queues=["default"],
    )
    return Host(name=name, state=state, first_seen=START, last_beat=START, beat=beat, **fields)


def make_function(name: str = "sample/wordcount", **fields: Any) -> FunctionView:
    parameters = fields.pop(
        "parameters",
        [
            Parameter(
                name="path",
                kind="positional",
                type="path",
                annotation="str",
                help="The file to read.",
            ),
            Parameter(
                name="pattern",
                kind="positional",
                type="text",
                required=False,
                default="*",
                help="Only these.",
            ),
            Parameter(name="deep", kind="positional", type="switch", required=False, default=False),
            Parameter(
                name="algorithm",
                kind="positional",
                type="choice",
                choices=["sha256", "blake2b"],
                required=False,
                default="sha256",
            ),
            Parameter(
                name="count",
                kind="keyword",
                type="integer",
                required=False,
                default=10,
                help="How often.",
            ),
        ],
    )
    version = VersionView(
        hash="ab" * 32,
        author="admin",
        created_at=START - timedelta(days=1),
        size=len(SOURCE),
        summary="Counts the words of a text.",
        doc="Count the words of a file.",
        parameters=parameters,
    )
    older = VersionView(
        hash="cd" * 32, author="admin", created_at=START - timedelta(days=2), size=100, note="first"
    )
    namespace, _, short = name.partition("/")
    return FunctionView(
        id=name,
        namespace=namespace,
        name=short,
        owner="admin",
        default=version.hash,
        versions=[older, version],
        created_at=START - timedelta(days=2),
        updated_at=START - timedelta(days=1),
        revision=2,
        **fields,
    )


def make_line(
    seq: int, text: str = "", level: int = 20, host: str = "web-1", **fields: Any
) -> LogLine:
    return LogLine(
        seq=seq,
        at=START + timedelta(milliseconds=seq),
        host=host,
        source=fields.pop("source", "/var/log/app.log"),
        level=level,
        text=text or f"line number {seq} of the log",
        **fields,
    )


def make_dead(seq: int, **fields: Any) -> DeadLetterDetail:
    given: dict[str, Any] = {
        "seq": seq,
        "queue": "jobs.default" if seq % 2 else "results",
        "died": START - timedelta(seconds=60 * (60 - seq)),
        "reason": "came back 20 times without an end",
        "type": "JobMessage",
        "message_id": f"01JD{seq:08d}ABCDEFGHIJKLMN",
        "size": 120 + seq,
        "body": '{\n  "function": "sample/wordcount"\n}',
        "body_kind": "message",
    }
    return DeadLetterDetail(**{**given, **fields})


class _Stream(httpx.AsyncByteStream):
    def __init__(self, server: "FakeServer", topics: set[str]) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(10_000)
        self._server, self.topics = server, topics

    def push(self, chunk: bytes) -> None:
        self._queue.put_nowait(chunk)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._server.streams.append(self)
        try:
            yield b": hello\n\n"
            while True:
                chunk = await self._queue.get()
                if not chunk:
                    raise httpx.ReadError("cut")
                yield chunk
        finally:
            self._server.streams.remove(self)


class FakeServer(httpx.AsyncBaseTransport):
    """Change its records and call `push` for events; set `down` and nothing answers."""

    def __init__(self) -> None:
        self.down = False
        self.role = "admin"
        self.hosts = [
            make_host("web-1"),
            make_host("db-2", 0.97, "late", alarms=1),
            make_host("etl-3", 0.12),
        ]
        self.jobs = [
            make_job(1, "running", progress=0.4, progress_text="4 of 10 files"),
            make_job(2, "queued", host="", epoch=0, attempt=0),
            make_job(3, "failed"),
            *[
                make_job(number, result={"words": number, "lines": [1, 2]}, result_size=60)
                for number in range(4, 40)
            ],
        ]
        self.functions = [make_function(), make_function("sample/steps"), make_function("etl/load")]
        self.lines = [
            make_line(number, level=(20, 20, 30, 40)[number % 4]) for number in range(1, 301)
        ]
        self.queues = [
            QueueView(
                name="jobs.default",
                ready=204,
                unacked=3,
                consumers=2,
                oldest_seconds=12.0,
                published_rate=81.4,
                delivered_rate=79.0,
                acked_rate=78.6,
                dead=21,
            ),
            QueueView(name="results", ready=0, unacked=0, consumers=1),
        ]
        self.parts = [
            PartView(name="store", state="up", words="up, answers in 0.4 ms"),
            PartView(name="broker", state="up", words="up, answers in 1.2 ms"),
            *(PartView(name=n, state="up", words="up") for n in ("server", "porter", "scheduler")),
            PartView(
                name="stethoscope", state="standby", words="stands by, another one leads",
                host="ctl-2", pid=71,
            ),
            PartView(name="link web-1", state="up", words="up, worker web-1.1"),
        ]  # fmt: skip
        self.dead = [make_dead(number) for number in range(41, 0, -1)]
        self.alarms = [
            Alarm(
                id="a1",
                host="db-2",
                rule="cpu",
                level="critical",
                opened_at=START - timedelta(minutes=3),
                value=0.97,
                peak=0.99,
                text="CPU 97% for 5 minutes",
            )
        ]
        self.sources = {"sample/wordcount": SOURCE, "sample/steps": SOURCE, "etl/load": SOURCE}
        self.requests: list[tuple[str, str, Any]] = []
        self.refusals: dict[tuple[str, str], dict[str, Any]] = {}
        self.held: dict[tuple[str, str], asyncio.Event] = {}
        """Requests that are answered once their event is set."""
        self.streams: list[_Stream] = []
        self._sequence = 0

    def connect(self) -> AdminClient:
        return AdminClient("http://fake", "token", http_transport=self)

    # --- events ---------------------------------------------------------------------------------

    def push(self, topic: str, data: Any) -> None:
        self._sequence += 1
        body = msgspec.json.encode(data).decode()
        chunk = f"event: {topic}\nid: {self._sequence}\ndata: {body}\n\n".encode()
        for stream in self.streams:
            if topic in stream.topics:
                stream.push(chunk)

    def put_job(self, job: JobView) -> None:
        self.jobs = [job, *(each for each in self.jobs if each.id != job.id)]
        self.push("jobs", job)

    def log(self, lines: list[LogLine]) -> None:
        self.lines += lines
        self.push("logs", lines)

    def cut(self) -> None:
        for stream in list(self.streams):
            stream.push(b"")

    # --- answers --------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        path, query = unquote(request.url.path), dict(request.url.params)
        body = json.loads(request.content) if request.content else None
        if path == "/stream":
            return httpx.Response(
                200,
                headers={"content-type": "text/event-stream"},
                stream=_Stream(self, set(query["topics"].split(","))),
            )
        self.requests.append((request.method, path, body if body is not None else query))
        if (held := self.held.get((request.method, path))) is not None:
            await held.wait()
        if refusal := self.refusals.get((request.method, path)):
            return httpx.Response(
                refusal["status"],
                json=refusal,
                headers={"content-type": "application/problem+json"},
            )
        answer = self._answer(request.method, path, query, body)
        if answer is None:
            problem = {"status": 404, "code": "not_found", "detail": f"there is no {path}."}
            return httpx.Response(
                404, json=problem, headers={"content-type": "application/problem+json"}
            )
        return httpx.Response(200, content=msgspec.json.encode(answer))

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        parts = path.strip("/").split("/")
        if method == "GET":
            return self._get(parts, query)
        if parts == ["jobs"]:
            job = make_job(
                900 + len(self.jobs),
                "queued",
                function=body["function"],
                kwargs=body["kwargs"],
                host="",
                epoch=0,
                attempt=0,
            )
            self.put_job(job)
            return job
        if parts == ["jobs", "cancel"]:
            return {
                "items": [
                    {"id": each, "state": "cancelling", "applied": True} for each in body["ids"]
                ]
            }
        if parts[0] == "jobs" and parts[-1] == "again":
            job = make_job(800 + len(self.jobs), "queued", again_of=parts[1])
            self.put_job(job)
            return job
        if parts[:2] == ["queues", "dead-letters"]:
            return self._bury(parts[2], body)
        if parts[0] == "queues":
            return self._switch(parts[1], paused=parts[2] == "pause")
        if parts[0] == "hosts":
            return self._drain(parts[1], on=parts[2] == "drain")
        if parts[:2] == ["admin", "functions"]:
            return (
                {
                    "operation": "update",
                    "_id": body["_id"] if len(parts) == 2 else "/".join(parts[2:]),
                    "revision": 3,
                    "version": "ef" * 32,
                }
                if body
                else {"operation": "delete", "_id": "/".join(parts[2:]), "revision": 3}
            )
        return None

    def _switch(self, name: str, *, paused: bool) -> QueueChange:
        self.queues = [
            msgspec.structs.replace(each, paused=paused, paused_by="admin", paused_at=START)
            if each.name == name
            else each
            for each in self.queues
        ]
        return QueueChange(name=name, paused=paused, changed=True)

    def _drain(self, name: str, *, on: bool) -> DrainChange:
        self.hosts = [
            msgspec.structs.replace(each, beat=msgspec.structs.replace(each.beat, draining=on))
            if each.name == name
            else each
            for each in self.hosts
        ]
        return DrainChange(host=name, draining=on, changed=True)

    def _bury(self, act: str, body: Any) -> DeadLettersDone:
        gone = [
            each.seq
            for each in self.dead
            if each.seq in body.get("seqs", ()) or each.queue == body.get("queue")
        ]
        self.dead = [each for each in self.dead if each.seq not in gone]
        return DeadLettersDone(count=len(gone))

    def _dead(self, query: dict[str, str]) -> DeadLetterList:
        before, limit = int(query.get("before", 1 << 60)), int(query["limit"])
        page = [each for each in self.dead if each.seq < before][:limit]
        wanted = [each for each in page if query.get("queue") in (None, each.queue)]
        fields = DeadLetterView.__struct_fields__
        items = [DeadLetterView(**{f: getattr(each, f) for f in fields}) for each in wanted]
        return DeadLetterList(items=items, next=page[-1].seq if page else 0)

    def _get(self, parts: list[str], query: dict[str, str]) -> Any:
        if parts == ["session"]:
            return SessionView(
                user="admin", role=self.role, counts={"done": 36, "failed": 1}, recent=self.jobs[:5]
            )
        if parts == ["queues", "dead-letters"]:
            return self._dead(query)
        if parts[:2] == ["queues", "dead-letters"]:
            return next((each for each in self.dead if str(each.seq) == parts[2]), None)
        if parts == ["status"]:
            return self.status()
        if parts == ["jobs"]:
            return self._jobs(query)
        if parts[0] == "jobs":
            job = next((each for each in self.jobs if each.id == parts[1]), None)
            return {"items": []} if parts[-1] == "attempts" else job
        if parts == ["admin", "functions"]:
            return FunctionPage(items=self.functions)
        if parts[:2] == ["admin", "functions"]:
            name = "/".join(parts[2:4])
            if parts[-1] == "source":
                return (
                    SourceView(hash=query.get("version", ""), source=self.sources[name])
                    if name in self.sources
                    else None
                )
            return next((each for each in self.functions if each.id == name), None)
        if parts[0] == "hosts" and parts[-1] == "samples":
            values = [0.3 + 0.2 * ((number % 20) / 20) for number in range(140)]
            return {
                "items": [
                    SamplePoint(at=START, cpu=v, memory=v / 2 + 0.3, disk=0.5, running=2)
                    for v in values
                ]
            }
        if parts == ["logs"]:
            return self._logs(query)
        if parts == ["alarms"]:
            closed = Alarm(
                id="a0",
                host="web-1",
                rule="memory",
                level="warning",
                opened_at=START - timedelta(hours=3),
                closed_at=START - timedelta(hours=2),
                peak=0.93,
                text="memory 93%",
            )
            return {"items": [*self.alarms, closed]}
        return None

    def _jobs(self, query: dict[str, str]) -> JobPage:
        jobs = self.jobs
        if "state" in query:
            jobs = [job for job in jobs if job.state in query["state"].split(",")]
        for name, field in (("function", "function"), ("host", "host"), ("submitter", "submitter")):
            if name in query:
                jobs = [job for job in jobs if getattr(job, field) == query[name]]
        start, limit = int(query.get("cursor", 0)), int(query.get("limit", 50))
        more = str(start + limit) if start + limit < len(jobs) else ""
        return JobPage(items=jobs[start : start + limit], next=more)

    def _logs(self, query: dict[str, str]) -> LogPage:
        lines = [line for line in self.lines if line.seq > int(query.get("after", 0))]
        if "job" in query:
            lines = [line for line in lines if line.job == query["job"]]
        if "host" in query:
            lines = [line for line in lines if line.host == query["host"]]
        return LogPage(
            items=lines[-int(query.get("limit", 200)) :],
            position=self.lines[-1].seq if self.lines else 0,
        )

    def status(self) -> StatusView:
        states: dict[str, int] = {}
        for job in self.jobs:
            states[job.state] = states.get(job.state, 0) + 1
        self._sequence += 1
        beat = [
            msgspec.structs.replace(
                h, beat=msgspec.structs.replace(h.beat, sequence=self._sequence)
            )
            for h in self.hosts
        ]
        return StatusView(
            version="0.1.0",
            engine="embedded",
            at=START + timedelta(seconds=1),
            started_at=START - timedelta(hours=5),
            jobs=JobCounts(states=states, done_last_minute=812, failed_last_hour=3),
            hosts=beat,
            queues=self.queues,
            alarms=self.alarms,
            failed=[job for job in self.jobs if job.state == "failed"],
            components={"porter": "up", "stethoscope": "up"},
            parts=self.parts,
        )
