"""Results too large for a message: in chunks ahead of it, over outages, and dropped with their claim."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.model import CHUNK_MAX, INLINE_MAX, BlobChunk, BlobReply, JobError, JobResult
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from dts_worker import results, uploads
from tests.support.worker_process import InProcess, in_process
from tests.support.worker_road import Road

TEXT = "def main(n): return 'x' * n"
NOISE = "import os\ndef main(n): return os.urandom(n).hex()"
TRACE = "def main(n): raise ValueError('é' * 9_000)"


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as opened:
        yield opened


@pytest.fixture
async def worker(road: Road, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InProcess]:
    monkeypatch.setattr(uploads, "PAUSE_FIRST_SECONDS", 0.01)
    async with in_process(road) as running:
        yield running


def whole(road: Road, result: JobResult) -> bytes:
    """What a result refers to, checked against what the result says of it."""
    content = road.blobs[result.blob]
    assert hashlib.sha256(content).hexdigest() == result.blob
    assert (result.result, result.size) == (None, len(content))
    return content


async def test_a_result_travels_in_its_message_up_to_the_bound(
    road: Road, worker: InProcess
) -> None:
    """Up to INLINE_MAX bytes inside, from one more on ahead in chunks; both arrive whole."""
    fits = await road.result(await road.submit(TEXT, INLINE_MAX - 2))
    assert fits.result == b'"' + b"x" * (INLINE_MAX - 2) + b'"'
    assert (fits.blob, road.chunks) == ("", [])
    above = await road.result(await road.submit(TEXT, INLINE_MAX - 1))
    assert whole(road, above) == b'"' + b"x" * (INLINE_MAX - 1) + b'"'


async def test_a_large_result_arrives_whole_beside_small_ones(
    road: Road, worker: InProcess
) -> None:
    """Chunks come in order and fit the wire though nothing can be deflated; other results do not wait for them."""
    large = await road.submit(NOISE, 3 << 20)
    small = await road.submit(TEXT, 5)
    assert (await road.result(small)).result == b'"xxxxx"'
    result = await road.result(large)
    assert len(whole(road, result)) == (6 << 20) + 2
    assert [chunk.offset for chunk in road.chunks] == list(range(0, result.size, CHUNK_MAX))
    assert all(len(codec.encode(chunk)) <= codec.WIRE_MAX for chunk in road.chunks)


async def test_a_result_above_the_jobs_own_limit_fails_with_its_size(
    road: Road, worker: InProcess
) -> None:
    """The limit comes with the job; what is larger is not sent, and another attempt would not help."""
    job = road.message(TEXT, 1 << 20, result_max=1 << 20)
    wide = road.message(TEXT, 17 << 20, result_max=18 << 20)
    await road.send(job, wide)
    refused = await road.result(job.id)
    assert refused.error is not None
    assert (refused.error.type, refused.retry) == ("ResultTooLarge", False)
    assert str((1 << 20) + 2) in refused.error.message
    assert len(whole(road, await road.result(wide.id))) == (17 << 20) + 2


async def test_an_upload_goes_on_where_the_control_side_is(road: Road, worker: InProcess) -> None:
    """A control side that lost what it had, or has only a part of it, gets the rest of it, from where it says."""
    answers: list[BlobReply | None] = [None, None, BlobReply("", 0), None]

    def lose(chunk: BlobChunk) -> BlobReply | None:
        answer = answers.pop(0) if answers else None
        if answer is not None:
            road.uploads.clear()
        return answer

    road.on_chunk = lose
    result = await road.result(await road.submit(TEXT, 2 << 20))
    assert len(whole(road, result)) == (2 << 20) + 2
    steps = [chunk.offset // CHUNK_MAX for chunk in road.chunks]
    assert steps == [0, 1, 2, 0, 1, 2, 3, 4]


async def test_an_upload_outlives_its_link(road: Road, worker: InProcess) -> None:
    """The link is lost in the middle: the upload goes on over the next one, and its result counts."""
    cut = asyncio.Event()

    def lose_the_link(chunk: BlobChunk) -> BlobReply | None:
        if chunk.offset == 2 * CHUNK_MAX and not cut.is_set():
            cut.set()
            for session in road.server._sessions:
                session.wire.close()
        return None

    road.on_chunk = lose_the_link
    job = await road.submit(TEXT, 3 << 20)
    result = await road.result(job)
    assert cut.is_set()
    assert len(whole(road, result)) == (3 << 20) + 2
    assert [each.event for each in road.of(job)] == [JobEvent.FINISH]


async def test_a_result_whose_claim_is_gone_is_dropped(road: Road, worker: InProcess) -> None:
    """Refused by the link or late by the store: nothing is published, the refusal counts, and the worker goes on."""

    def late(chunk: BlobChunk) -> BlobReply | None:
        return BlobReply(chunk.hash, 0, is_late=True)

    road.on_chunk = late
    first = await road.submit(TEXT, 1 << 20)
    await wait_until(lambda: worker.worker.results.refused == 1)

    def taken(chunk: BlobChunk) -> BlobReply | None:
        road.take_claim_away(chunk.job, chunk.epoch)
        return None

    road.on_chunk = taken
    second = await road.submit(TEXT, 1 << 20)
    await wait_until(lambda: worker.worker.results.refused == 2)
    await wait_until(lambda: worker.worker.held() == [])
    assert (road.of(first), road.of(second)) == ([], [])
    assert (await road.result(await road.submit(TEXT, 1))).result == b'"x"'


async def test_a_result_that_the_control_side_refuses_fails_the_attempt(
    road: Road, worker: InProcess
) -> None:
    """Its reason becomes the error of the attempt; one that arrives damaged again and again may be tried anew."""

    def refuse(chunk: BlobChunk) -> BlobReply | None:
        return BlobReply("", 0, JobError(type="ResultTooLarge", message="too much"))

    road.on_chunk = refuse
    refused = await road.result(await road.submit(TEXT, 1 << 20))
    assert (refused.event, refused.retry) == (JobEvent.FAIL, False)
    assert refused.error == JobError(type="ResultTooLarge", message="too much")
    road.on_chunk = lambda chunk: BlobReply(chunk.hash, 0)
    damaged = await road.result(await road.submit(TEXT, 1 << 20))
    assert damaged.error is not None
    assert (damaged.error.type, damaged.retry) == ("ResultDamaged", True)


async def test_a_drain_waits_for_what_is_being_handed_over(road: Road, worker: InProcess) -> None:
    """A worker that is told to stop in the middle of an upload still delivers its result."""
    begun = asyncio.Event()

    def note(chunk: BlobChunk) -> BlobReply | None:
        begun.set()
        return None

    road.on_chunk = note
    job = await road.submit(TEXT, 4 << 20)
    async with asyncio.timeout(60):
        await begun.wait()
    worker.stop.set()
    assert len(whole(road, await road.result(job))) == (4 << 20) + 2


def test_no_message_of_results_can_exceed_the_wire() -> None:
    """The largest result and the largest error that the worker makes fit behind a message that may still grow."""
    largest_error = 4 * (8_000 + 64_000)
    small_change = 64 * 1_000
    most = results.MESSAGE_BYTES + max(INLINE_MAX, largest_error) + small_change
    assert most <= codec.WIRE_MAX


async def test_results_that_cannot_be_deflated_stay_below_the_wire(
    road: Road, worker: InProcess
) -> None:
    """Many results near the bound that end together travel in messages of at most 1 MiB."""
    source = "import os\nasync def main(n): return os.urandom(n).hex()"
    jobs = [await road.submit(source, INLINE_MAX // 2 - 1) for _ in range(12)]
    jobs += [await road.submit(TRACE, 0) for _ in range(3)]
    found = [await road.result(job) for job in jobs]
    assert [len(each.result or b"") for each in found[:12]] == [INLINE_MAX] * 12
    assert all(each.error is not None for each in found[12:])
