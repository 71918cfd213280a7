"""From the stolen session of a launched worker: everything that it may not do is refused, and trying again ends it."""

import asyncio
import string
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import codec
from dts_core.brokers import frames
from dts_core.brokers.base import (
    CONTROL,
    EVENTS,
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
    claim_headers,
)
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.brokers.link_policy import AgentRules, Pass
from dts_core.errors import BrokerError, CodecError, DtsError, Forbidden, ResultRefused
from dts_core.model import (
    Ahead,
    BlobChunk,
    Cancel,
    ClaimItem,
    ClaimsRequest,
    Drain,
    HeldRequest,
    JobMessage,
    JobResult,
    JobResults,
    LogBatch,
    LogRecord,
    Pauses,
    Progress,
    ProgressReport,
    Readied,
    Reload,
    SourceReply,
    SourceRequest,
)
from dts_core.names import is_name
from dts_core.settings import QueueNames
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.contract.broker_backends import Owner
from tests.support.beats import make_beat
from tests.support.taking import Taker

OWN = Pass("a", "a-1", ("default",))
JOB, OTHERS = "01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB"
VERSION, SECRET = "a" * 64, "b" * 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Attack = Callable[[LinkBroker], Awaitable[object]]


def job_message(job: str = JOB) -> Message:
    body = JobMessage(job, "test/add", VERSION, False, b"[]", b"{}", 1)
    return Message(codec.encode(body), type="JobMessage", message_id=job)


def sent(queue: str, body: Any, **fields: Any) -> list[Outgoing]:
    return [Outgoing(queue, Message(codec.encode(body), **fields))]


def results(host: str, worker: str, job: str = JOB, **fields: Any) -> JobResults:
    given: dict[str, Any] = {"event": JobEvent.FINISH, "result": b"1"} | fields
    return JobResults(host, worker, [JobResult(job, 1, **given)])


def logs(host: str, worker: str, **fields: Any) -> LogBatch:
    record: dict[str, Any] = {"host": host} | fields
    return LogBatch(host, worker, [LogRecord(NOW, source="job", level=20, text="x", **record)])


def beat(host: str, worker: str, **fields: Any) -> Any:
    return msgspec.structs.replace(make_beat(host), worker=worker, **fields)


def publish(queue: str, body: Any, **fields: Any) -> Attack:
    return lambda link: link.publish(sent(queue, body, **fields))


def ask(queue: str, body: Any, **fields: Any) -> Attack:
    return lambda link: link.request(queue, Message(codec.encode(body), **fields))


def take(queue: str) -> Attack:
    return lambda link: link.consume(queue, lambda deliveries: None, prefetch=1)


def hear(exchange: str) -> Attack:
    return lambda link: link.subscribe(exchange, lambda message: None)


def chunk(job: str, epoch: int) -> BlobChunk:
    return BlobChunk(SECRET, 3, 0, b"[1]", job, epoch)


ATTACKS: dict[str, Attack] = {
    # publications
    "a job": lambda link: link.publish([Outgoing(f"{JOBS}default", job_message())]),
    "a job of the control side's own": lambda link: link.publish(
        [Outgoing(f"{JOBS}dts", job_message())]
    ),
    "a job for another host": lambda link: link.publish(
        [Outgoing(f"{JOBS}host.b", job_message())]
    ),
    "an answer to somebody's question": publish("reply.1", SourceReply(VERSION, 1, 0, b"x")),
    "a question as a publication": publish(REQUESTS, SourceRequest(VERSION)),
    "a dead letter": publish("dead", results("a", "a-1")),
    "a submission": publish("submit", results("a", "a-1")),
    "a queue with no name": publish("", results("a", "a-1")),
    "another host's result": publish(RESULTS, results("b", "b-1")),
    "another worker's result": publish(RESULTS, results("a", "a-2")),
    "a grant as a result": publish(RESULTS, results("a", "a-1", event=JobEvent.CLAIM)),
    "what is no result": publish(RESULTS, logs("a", "a-1")),
    "another host's beat": publish(HEARTBEATS, beat("b", "b-1")),
    "another worker's beat": publish(HEARTBEATS, beat("a", "a-2")),
    "another worker's answer to a deploy": publish(
        HEARTBEATS, beat("a", "a-1", readied=[Readied(order="1", worker="b-1", function="f", hash="h")])
    ),
    "another host's progress": publish(
        HEARTBEATS, ProgressReport(host="b", worker="b-1", items=[Progress(JOB, 1, 0.5)])
    ),
    "another host's log": publish(LOGS, logs("b", "b-1")),
    "another host's line in its own log": publish(
        LOGS, LogBatch("a", "a-1", logs("b", "b-1").records)
    ),
    "a line of a job that it was never given": publish(LOGS, logs("a", "a-1", job=OTHERS)),
    "what is no log": publish(LOGS, results("a", "a-1")),
    # taking
    "another host's queue": take(f"{JOBS}host.b"),
    "the control side's own queue": take(f"{JOBS}dts"),
    "a queue that it was not given": take(f"{JOBS}gpu"),
    "results": take(RESULTS),
    "heartbeats": take(HEARTBEATS),
    "logs": take(LOGS),
    "questions": take(REQUESTS),
    "a queue of jobs by a trick": take(f"{JOBS}host.a.b"),
    "a queue that it makes": lambda link: link.declare(QueueSpec(f"{JOBS}gpu", claimed=True)),
    "results made anew": lambda link: link.declare(QueueSpec(RESULTS)),
    # fanouts
    "events": hear(EVENTS),
    "an order": lambda link: link.fanout(
        CONTROL, Message(codec.encode(Cancel(OTHERS)), type="Cancel")
    ),
    "a change": lambda link: link.fanout(EVENTS, Message(b"x")),
    # questions
    "claims": ask(REQUESTS, ClaimsRequest("a", "a-1", [ClaimItem(OTHERS)])),
    "what another one holds": ask(REQUESTS, HeldRequest("b", "b-1", [])),
    "what it holds itself": ask(REQUESTS, HeldRequest("a", "a-1", [])),
    "a source that it was never given": ask(REQUESTS, SourceRequest(SECRET)),
    "that source under a name that it was given": ask(
        REQUESTS, SourceRequest(SECRET, function="test/add")
    ),
    "a version that it was given under another name": ask(
        REQUESTS, SourceRequest(VERSION, function="test/other")
    ),
    "a chunk under no claim": ask(REQUESTS, chunk(JOB, 1)),
    "a chunk under another claim": ask(
        REQUESTS, chunk(OTHERS, 1), headers=claim_headers(JOB, 1)
    ),
    "a chunk with more in its headers": ask(
        REQUESTS, chunk(JOB, 1), headers={**claim_headers(JOB, 1), "x-dts-user": "dts.control"}
    ),
    "a question to the results": ask(RESULTS, results("a", "a-1")),
    "what is no question": ask(REQUESTS, results("a", "a-1")),
    # operating
    "figures of queues": lambda link: link.stats(),
    "dead letters": lambda link: link.dead_letters(),
    "dead letters sent again": lambda link: link.send_again([1]),
    "dead letters thrown away": lambda link: link.discard_dead([1]),
    "a pause": lambda link: link.pause(f"{JOBS}default"),
    "its end": lambda link: link.resume(f"{JOBS}default"),
}  # fmt: skip


class Stolen:
    """An owner, and the stream of a launched worker in the wrong hands."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.forbidden: list[DtsError] = []
        self.serving: list[asyncio.Task[str]] = []
        self.taken: list[Any] = []
        self.heard: list[Message] = []

    @asynccontextmanager
    async def link(self, host: str = "a", worker: str = "a-1") -> AsyncIterator[LinkBroker]:
        path = self.owner.folder / "stolen.sock"
        gate = await asyncio.start_unix_server(self._accept, path)
        try:
            link = await LinkBroker.connect(
                unix_stream(path), host=host, worker=worker, deadline_seconds=60, timeout_seconds=60
            )
            try:
                yield link
            finally:
                await link.close()
        finally:
            gate.close()
            await asyncio.gather(*self.serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = self.owner.server.serve_launched(
            reader, writer, OWN, on_forbidden=self.forbidden.append
        )
        self.serving.append(asyncio.ensure_future(serving))

    async def with_a_job(self, link: LinkBroker) -> None:
        """It holds one claim, as a worker would."""
        await self.owner.broker.publish([Outgoing(f"{JOBS}default", job_message())])
        await link.consume(f"{JOBS}default", self.taken.extend, prefetch=1)
        await link.subscribe(CONTROL, self.heard.append)
        await wait_until(lambda: bool(self.taken), what="the job is handed over")


@pytest.fixture(name="stolen")
async def stolen_fixture(tmp_path: Path) -> AsyncIterator[Stolen]:
    owner = Owner(tmp_path, role="worker")
    await owner.open()
    for spec in (
        QueueSpec(f"{JOBS}default", claimed=True),
        QueueSpec(f"{JOBS}dts", claimed=True),
        QueueSpec(f"{JOBS}gpu", claimed=True),
        QueueSpec(f"{JOBS}host.b", claimed=True),
        QueueSpec(RESULTS),
        QueueSpec("dead"),
        QueueSpec("submit"),
        QueueSpec(HEARTBEATS, QueueKind.BOUNDED),
        QueueSpec(LOGS, QueueKind.BOUNDED),
        QueueSpec(REQUESTS, QueueKind.REQUEST),
    ):
        await owner.broker.declare(spec)
    yield Stolen(owner)
    await owner.close()


async def figures(owner: Owner) -> dict[str, tuple[int, int]]:
    return {each.name: (each.published, each.consumers) for each in await owner.broker.stats()}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_what_is_forbidden_is_refused_and_ends_the_session(
    stolen: Stolen, attack: Attack
) -> None:
    """Refused, counted, told, nothing published, nobody takes anything more; tried again, the session is over."""
    async with stolen.link() as link:
        await stolen.with_a_job(link)
        before = await figures(stolen.owner)
        with pytest.raises((Forbidden, CodecError)):
            await attack(link)
        assert await figures(stolen.owner) == before
        assert len(stolen.forbidden) == 1
        assert not stolen.serving[0].done()
        with pytest.raises((Forbidden, CodecError, BrokerError)):
            await attack(link)
        await asyncio.wait((stolen.serving[0],), timeout=60)
        assert stolen.serving[0].done()
        assert await figures(stolen.owner) == before | {f"{JOBS}default": (1, 0)}
        assert len(stolen.forbidden) >= 2  # it may have tried to come back meanwhile
        assert stolen.owner.desk.lost == [(JOB, 1)]


@pytest.mark.parametrize(
    ("host", "worker"), [("b", "b-1"), ("a", "a-2"), ("b", "a-1"), ("", ""), ("a", "")]
)
async def test_nobody_else_comes_on_its_stream(stolen: Stolen, host: str, worker: str) -> None:
    """Who it is stands in its pass; another hello is refused at once, and counted."""

    async def come() -> None:
        async with stolen.link(host, worker):
            raise AssertionError("it was let in")

    coming = asyncio.create_task(come())
    try:
        await wait_until(lambda: bool(stolen.forbidden) or coming.done(), 60.0)
    finally:
        coming.cancel()  # it would be tried again for as long as its link has time
        await asyncio.wait((coming,))
    assert stolen.forbidden
    assert coming.cancelled()
    assert stolen.owner.server.links == []


@pytest.mark.parametrize(
    "hello",
    [
        frames.Hello(frames.VERSION, "a", "a-1", [(OTHERS, 1)]),
        frames.Hello(frames.VERSION, "a", "a-1", [], "0" * 16, 2),
    ],
    ids=["holding something", "coming back"],
)
async def test_it_begins_with_nothing(stolen: Stolen, hello: frames.Hello) -> None:
    """It can neither adopt another one's claims nor have those of before given back."""
    path = stolen.owner.folder / "stolen.sock"
    gate = await asyncio.start_unix_server(stolen._accept, path)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(frames.pack(hello))
    [body] = frames.Cutter().feed(await reader.read(frames.READ_SIZE))
    answer = frames.server_frames.decode(body)
    assert isinstance(answer, frames.Failed)
    assert (answer.number, answer.code) == (0, Forbidden.code)
    writer.close()
    await asyncio.gather(*stolen.serving)
    gate.close()
    assert len(stolen.forbidden) == 1


async def test_what_it_is_for_passes(stolen: Stolen) -> None:
    """Results of its claim, beats, progress, logs, the source of what it was given, servers' keys: nothing counted."""
    async with stolen.link() as link:
        await stolen.with_a_job(link)

        def answer(deliveries: list[Any]) -> None:
            for each in deliveries:
                asked = each.message
                body = codec.encode(SourceReply(VERSION, 1, 0, b"x"))
                reply = Message(body, correlation_id=asked.correlation_id)
                assert stolen.owner.broker.publish_soon([Outgoing(asked.reply_to, reply)]) is None
                answers.ack([each.tag])

        answers = await stolen.owner.broker.consume(REQUESTS, answer, prefetch=9)
        await link.declare(QueueSpec(f"{JOBS}host.a", claimed=True))
        await take(f"{JOBS}host.a")(link)
        for attack in (
            publish(HEARTBEATS, beat("a", "a-1", held=[(JOB, 1)])),
            publish(HEARTBEATS, ProgressReport(host="a", worker="a-1", items=[Progress(JOB, 1, 0.5)])),
            publish(LOGS, logs("a", "a-1")),
            publish(LOGS, logs("a", "a-1", job=JOB)),
            ask(REQUESTS, SourceRequest(VERSION)),
            ask(REQUESTS, SourceRequest(VERSION, function="test/add")),
            ask(REQUESTS, SourceRequest("")),
            ask(REQUESTS, chunk(JOB, 1), headers=claim_headers(JOB, 1)),
            publish(RESULTS, results("a", "a-1")),
        ):  # fmt: skip
            await attack(link)
        assert not stolen.forbidden
        # Late ones are no attack: a job may have been taken away meanwhile.
        with pytest.raises(ResultRefused):
            await link.publish(sent(RESULTS, results("a", "a-1", OTHERS)))
        assert not stolen.forbidden


async def test_nothing_that_steers_a_broker_passes(stolen: Stolen) -> None:
    """A publication goes on with its body and type alone; a report keeps only claims that are held."""
    async with stolen.link() as link:
        await stolen.with_a_job(link)
        whole = Message(
            codec.encode(results("a", "a-1")), type="JobResults", message_id="x", correlation_id="x",
            reply_to="jobs.default", priority=9, headers={"x-dts-user": "dts.control"}, user_id="dts.control",
        )  # fmt: skip
        await link.publish([Outgoing(RESULTS, whole)])
        await link.publish(sent(HEARTBEATS, beat("a", "a-1", held=[(JOB, 1), (OTHERS, 1)])))
        found = await Taker.on(stolen.owner.broker, RESULTS)
        await found.has(1)
        passed = found.deliveries[0].message
        assert passed == Message(whole.body, type="JobResults")
        beats = await Taker.on(stolen.owner.broker, HEARTBEATS)
        await beats.has(1)
        told: Any = codec.decode(beats.deliveries[0].message.body, type(make_beat("a")))
        assert set(told.held) <= {(JOB, 1)}


async def test_it_hears_only_what_concerns_it(stolen: Stolen) -> None:
    """Orders for other hosts and for jobs that it was never given do not reach it."""
    async with stolen.link() as link:
        await stolen.with_a_job(link)
        orders = [
            Cancel(OTHERS), Drain("b"), Reload("test/x", SECRET, Ahead(hosts=["b"])),
            Cancel(JOB), Drain("a"), Reload("test/y", "c" * 64), Pauses(["default"]),
        ]  # fmt: skip
        for order in orders:
            stolen.owner.broker.fanout_now(CONTROL, Message(codec.encode(order)))
        stolen.owner.broker.fanout_now(CONTROL, Message(b"what nobody can read"))
        await wait_until(lambda: len(stolen.heard) >= 4, what="its orders")
        await link.publish(sent(LOGS, logs("a", "a-1")))  # behind everything that was sent before
        passed = [message.body for message in stolen.heard]
        assert passed == [codec.encode(order) for order in orders[3:]]


NAMES = st.text(string.ascii_lowercase + string.digits + ".-*#: ", max_size=20)


class Nobody:
    def holds(self, job: str, epoch: int) -> bool:
        return True


@given(
    queue=st.one_of(
        NAMES, NAMES.map(lambda name: f"jobs.{name}"), st.sampled_from([RESULTS, "jobs."])
    )
)
def test_no_other_queue_is_taken_from_or_made(queue: str) -> None:
    """Whatever it is called: only the queues of its pass and its host's own."""
    rules = AgentRules(QueueNames(), OWN)
    if queue in {"jobs.default", "jobs.host.a"}:
        rules.check_consume(queue)
        return
    for attempt in (lambda: rules.check_consume(queue), lambda: rules.declared(QueueSpec(queue))):
        with pytest.raises(Forbidden):
            attempt()


@given(
    queue=NAMES.filter(lambda name: name not in {RESULTS, HEARTBEATS, LOGS}),
    body=st.binary(max_size=40),
)
def test_nothing_is_published_elsewhere(queue: str, body: bytes) -> None:
    """Three queues take what it sends; each other one is refused before its body is looked at."""
    rules = AgentRules(QueueNames(), OWN)
    with pytest.raises(Forbidden):
        rules.publication([Outgoing(queue, Message(body))], Nobody())


@given(
    queue=st.sampled_from([RESULTS, HEARTBEATS, LOGS]),
    host=st.sampled_from(["a", "b", "", "a.b", "A"]),
    worker=st.sampled_from(["a-1", "a-2", "b-1", "", "a-1 "]),
)
def test_it_speaks_for_itself_alone(queue: str, host: str, worker: str) -> None:
    """Whatever queue, host and name: passed exactly when both are its own."""
    bodies: dict[str, Any] = {
        RESULTS: results(host, worker),
        HEARTBEATS: beat(host, worker),
        LOGS: logs(host, worker),
    }
    rules = AgentRules(QueueNames(), OWN)
    items = sent(queue, bodies[queue])
    if (host, worker) == ("a", "a-1"):
        assert len(rules.publication(items, Nobody()).items) == 1
        return
    with pytest.raises(Forbidden):
        rules.publication(items, Nobody())


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_a_pass_holds_names_of_queues_alone(queues: list[str]) -> None:
    """A wrong setting opens no other queue."""
    if all(is_name(queue) and queue != "dts" for queue in queues):
        assert Pass("a", "a-1", tuple(queues)).queues == tuple(queues)
        return
    with pytest.raises(ValueError, match="queue"):
        Pass("a", "a-1", tuple(queues))
