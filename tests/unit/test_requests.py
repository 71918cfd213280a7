"""The daemon of requests: chunks of results, for their own claim, within the limit, and given up in time."""

import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from dts_core import codec
from dts_core.brokers.base import Broker, Delivery, Message, claim_headers
from dts_core.daemons.internal_results import handed_over
from dts_core.daemons.porter import Porter
from dts_core.daemons.requests import UPLOAD_MINUTES, Requests
from dts_core.errors import NotFound
from dts_core.model import CHUNK_MAX, BlobChunk, BlobReply, Job, JobResult, JobResults
from dts_core.settings import PorterSettings
from dts_core.states import JobEvent, JobState
from dts_core.testing import ManualClock
from tests.contract.store_backends import Engine, embedded
from tests.support.brokers import RecordingBroker
from tests.support.jobs import job_in

MOST = 2 << 20


class Desk:
    """Requests and porter over one store."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.clock = clock
        self.store = engine.store
        self.broker = RecordingBroker()
        broker = cast(Broker, self.broker)
        self.requests = Requests(broker, engine.store, clock, result_max=MOST)
        self.porter = Porter(broker, engine.store, engine.intake, PorterSettings(), clock)

    async def running(self) -> Job:
        job = job_in(JobState.RUNNING)
        await self.store.insert_jobs([job])
        return job

    async def ask(self, chunk: BlobChunk, claim: tuple[str, int] | None = None) -> BlobReply:
        """What a chunk is answered, sent for its own claim unless another is given."""
        headers = claim_headers(*(claim or (chunk.job, chunk.epoch)))
        message = Message(codec.encode(chunk), headers=headers)
        answer = await self.requests.operate(chunk, Delivery(1, "requests", message))
        return codec.decode(codec.encode(answer), BlobReply)

    async def hand_over(self, job: Job, content: bytes) -> BlobReply:
        for chunk in cut(job, content):
            reply = await self.ask(chunk)
        return reply

    async def kept(self, job: Job) -> Job:
        found = await self.store.get_job(job.id)
        assert found is not None
        return found


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        yield Desk(engine, clock)


def cut(job: Job, content: bytes, total: int = 0) -> list[BlobChunk]:
    digest = hashlib.sha256(content).hexdigest()
    return [
        BlobChunk(digest, total or len(content), at, content[at : at + CHUNK_MAX], job.id, 1)
        for at in range(0, len(content), CHUNK_MAX)
    ]


def text(size: int) -> bytes:
    return b'"' + random.Random(1).randbytes(size // 2 - 1).hex().encode() + b'"'


def report(job: Job, content: bytes) -> JobResults:
    digest = hashlib.sha256(content).hexdigest()
    result = JobResult(job.id, 1, JobEvent.FINISH, blob=digest, size=len(content))
    return JobResults("h1", "w1", [result])


async def test_a_result_in_chunks_is_recorded_with_its_message(desk: Desk) -> None:
    """Handed over, then reported: the job is done with exactly those bytes."""
    job, content = await desk.running(), text(MOST)
    assert await desk.hand_over(job, content) == BlobReply(cut(job, content)[0].hash, MOST)
    assert await desk.porter.operate_batch([report(job, content)]) is None
    kept = await desk.kept(job)
    assert (kept.state, kept.result, kept.result_size) == (JobState.DONE, content, MOST)


async def test_a_message_whose_result_is_not_there_is_buried(desk: Desk) -> None:
    """It alone goes to the dead letters, with the reason; its job stays claimed, until its lease ends."""
    job, other, content = await desk.running(), await desk.running(), text(1 << 20)
    await desk.ask(cut(job, content)[0])
    small = JobResults("h1", "w1", [JobResult(other.id, 1, JobEvent.FINISH, b"1")])
    answers = await desk.porter.operate_batch([report(job, content), small])
    assert answers is not None
    assert isinstance(answers[0], NotFound)
    assert "did not come whole" in str(answers[0])
    assert answers[1] is None
    assert (await desk.kept(job)).state is JobState.RUNNING
    assert (await desk.kept(other)).state is JobState.DONE


async def test_chunks_are_taken_for_the_claim_that_the_link_vouched_for(desk: Desk) -> None:
    """What the body says of its claim does not count against the headers."""
    job, other = await desk.running(), await desk.running()
    [chunk] = cut(job, text(1000))
    for claim in ((other.id, 1), (job.id, 2)):
        reply = await desk.ask(chunk, claim)
        assert reply.error is not None
        assert reply.error.type == "ResultDamaged"
    plain = Delivery(1, "requests", Message(codec.encode(chunk)))
    assert (await desk.requests.operate(chunk, plain)).error is not None


async def test_a_result_above_the_limit_is_refused_at_its_first_chunk(desk: Desk) -> None:
    """The worker learns its size and the limit, and has nothing kept."""
    job = await desk.running()
    reply = await desk.ask(cut(job, text(1 << 20), total=MOST + 1)[0])
    assert reply.error is not None
    assert reply.error.type == "ResultTooLarge"
    assert str(MOST + 1) in reply.error.message
    assert await desk.requests.sweep() == 0


@pytest.mark.parametrize(
    "content", [b"[1" * 300_000, b"[" * 40 + b"]" * 40, b'"\xff\xff"', b"{} {}"]
)
async def test_a_result_that_no_reader_could_take_is_refused(desk: Desk, content: bytes) -> None:
    """No JSON, too deep, not Unicode, two values: refused when it is whole, before anybody refers to it."""
    job = await desk.running()
    reply = await desk.hand_over(job, content)
    assert reply.error is not None
    assert reply.error.type == "NotJson"
    answers = await desk.porter.operate_batch([report(job, content)])
    assert answers is not None
    assert isinstance(answers[0], NotFound)


async def test_a_chunk_of_a_claim_that_is_over_is_late(desk: Desk) -> None:
    """The worker is told so, and drops the result."""
    job = job_in(JobState.DONE, epoch=1)
    await desk.store.insert_jobs([job])
    assert (await desk.ask(cut(job, text(1000))[0])).is_late


async def test_damaged_content_is_asked_for_again(desk: Desk) -> None:
    """The answer sends the worker back to the start; what then comes right counts."""
    job, content = await desk.running(), text(1 << 20)
    first, last = cut(job, content)
    await desk.ask(first)
    damaged = BlobChunk(last.hash, last.total, last.offset, b"x" * len(last.data), job.id, 1)
    assert await desk.ask(damaged) == BlobReply(last.hash, 0)
    assert await desk.hand_over(job, content) == BlobReply(last.hash, len(content))


async def test_results_that_get_no_further_are_given_up(desk: Desk) -> None:
    """After UPLOAD_MINUTES without a further chunk nothing of it is left."""
    job, content = await desk.running(), text(1 << 20)
    await desk.ask(cut(job, content)[0])
    assert await desk.requests.sweep() == 0
    desk.clock.advance(UPLOAD_MINUTES * 60 + 1)
    assert await desk.requests.sweep() == 1
    assert await desk.requests.sweep() == 0


async def test_the_internal_worker_hands_its_large_results_over(desk: Desk) -> None:
    """Into the store at once, again without harm; one above the limit fails, one that is late stays refused."""
    job, content = await desk.running(), text(1 << 20)
    given = JobResult(job.id, 1, JobEvent.FINISH, content)
    for _ in range(2):
        told = await handed_over(desk.store, given, MOST)
    assert (told.result, told.size) == (None, len(content))
    await desk.porter.operate_batch([JobResults("h1", "w1", [told])])
    assert (await desk.kept(job)).result == content
    late = await handed_over(desk.store, given, MOST)
    assert await desk.porter.operate_batch([JobResults("h1", "w1", [late])]) is None
    assert desk.porter.results_refused == 1
    other = await desk.running()
    wide = JobResult(other.id, 1, JobEvent.FINISH, text(MOST + 2))
    failed = await handed_over(desk.store, wide, MOST)
    assert (failed.event, failed.retry) == (JobEvent.FAIL, False)
    assert failed.error is not None
    assert failed.error.type == "ResultTooLarge"
    small = JobResult(other.id, 1, JobEvent.FINISH, b"1")
    assert await handed_over(desk.store, small, MOST) is small
