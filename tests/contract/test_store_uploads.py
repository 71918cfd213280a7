"""Results that come in chunks: any order, any number of times, proved once, used by one claim, gone with it."""

import hashlib
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dts_core.errors import CodecError, Conflict, InvalidInput
from dts_core.model import CHUNK_MAX, RESULT_CEILING, BlobChunk, Job, Transition
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import Opener
from tests.support.jobs import brief, job_in, make_job, move

MINUTE = timedelta(minutes=1)
SIZE = 2 * CHUNK_MAX + 1000


def content_of(size: int = SIZE, seed: int = 1) -> bytes:
    return b'"' + random.Random(seed).randbytes(size // 2 - 1).hex().encode() + b'"'


def cut(job: Job | str, content: bytes, epoch: int = 1, digest: str = "") -> list[BlobChunk]:
    """All chunks of a content, in order."""
    name = job if isinstance(job, str) else job.id
    digest = digest or hashlib.sha256(content).hexdigest()
    return [
        BlobChunk(digest, len(content), at, content[at : at + CHUNK_MAX], name, epoch)
        for at in range(0, len(content), CHUNK_MAX)
    ]


def good(content: bytes) -> None:
    """A check that every content passes."""


async def send(store: Store, chunks: Sequence[BlobChunk]) -> int:
    received = 0
    for chunk in chunks:
        received = await store.add_chunk(chunk, good)
    return received


async def running(store: Store) -> Job:
    job = job_in(JobState.RUNNING)
    await store.insert_jobs([job])
    return job


def finish(job: Job, content: bytes, epoch: int = 1) -> Transition:
    return move(job, JobEvent.FINISH, epoch=epoch, blob=hashlib.sha256(content).hexdigest())


async def test_a_result_in_chunks_is_the_jobs_result(store: Store) -> None:
    """Chunks in order say how far they got; a FINISH that refers to the whole gives the job its very bytes."""
    job, content = await running(store), content_of()
    chunks = cut(job, content)
    received = [await store.add_chunk(chunk, good) for chunk in chunks]
    assert received == [CHUNK_MAX, 2 * CHUNK_MAX, len(content)]
    [outcome] = await store.apply([finish(job, content)])
    assert brief(outcome) == (True, "done", 1)
    kept = await store.get_job(job.id)
    assert kept is not None
    assert (kept.result, kept.result_size) == (content, len(content))
    [listed] = await store.get_jobs([job.id])
    assert (listed.result, listed.result_size) == (None, len(content))


async def test_a_finish_without_its_whole_result_is_refused(store: Store) -> None:
    """Nothing, a part, or another content: the job stays as it is, and the outcome says why."""
    job, content = await running(store), content_of()
    chunks = cut(job, content)
    for chunk in [None, *chunks[:2]]:
        if chunk is not None:
            await store.add_chunk(chunk, good)
        [outcome] = await store.apply([finish(job, content)])
        assert brief(outcome) == (False, "running", 1)
        assert "did not come whole" in outcome.detail
    await send(store, chunks)
    [outcome] = await store.apply([finish(job, b"another")])
    assert (outcome.applied, bool(outcome.detail)) == (False, True)
    [outcome] = await store.apply([finish(job, content)])
    assert (outcome.applied, outcome.detail) == (True, "")


async def test_a_stale_finish_is_refused_as_such(store: Store) -> None:
    """A late report of another claim is late, whether its result is there or not."""
    job, content = await running(store), content_of()
    [outcome] = await store.apply([finish(job, content, epoch=7)])
    assert (outcome.applied, outcome.detail) == (False, "")


async def test_only_a_live_claim_may_send_chunks(store: Store) -> None:
    """Not for an unknown job, not for one that does not run, not for another epoch, and not once it is over."""
    content = content_of(1000)
    waiting, job = make_job(), await running(store)
    await store.insert_jobs([waiting])
    for name, epoch in (
        ("nobody", 1),
        (waiting.id, 0),
        (job.id, 0),
        (job.id, 2),
        (job.id, 1 << 63),
    ):
        with pytest.raises(Conflict):
            await store.add_chunk(cut(name, content, epoch)[0], good)
    await store.apply([move(job, JobEvent.FAIL, epoch=1)])
    with pytest.raises(Conflict):
        await store.add_chunk(cut(job, content)[0], good)


@pytest.mark.parametrize(
    ("total", "offset", "size"),
    [
        (0, 0, 0),
        (10, 0, 9),
        (10, 0, 11),
        (10, 10, 0),
        (SIZE, 1, CHUNK_MAX),
        (SIZE, -CHUNK_MAX, CHUNK_MAX),
        (SIZE, 0, CHUNK_MAX - 1),
        (SIZE, 2 * CHUNK_MAX, CHUNK_MAX),
        (RESULT_CEILING + 1, 0, CHUNK_MAX),
    ],
)
async def test_what_is_no_piece_of_such_a_whole_is_refused(
    store: Store, total: int, offset: int, size: int
) -> None:
    """Chunks lie on a grid and have the one length that belongs to their place."""
    job = await running(store)
    with pytest.raises(InvalidInput):
        await store.add_chunk(BlobChunk("0" * 64, total, offset, b"x" * size, job.id, 1), good)


async def test_a_content_with_another_hash_is_dropped_and_may_come_again(store: Store) -> None:
    """With the last chunk the whole is proved; a wrong one leaves nothing behind that spoils the right one."""
    job, content = await running(store), content_of()
    digest = hashlib.sha256(content).hexdigest()
    wrong = cut(job, content_of(seed=2), digest=digest)
    await send(store, wrong[:-1])
    with pytest.raises(CodecError):
        await store.add_chunk(wrong[-1], good)
    assert await store.add_chunk(cut(job, content)[1], good) == 0
    assert await send(store, cut(job, content)) == len(content)


async def test_a_content_that_the_check_refuses_is_dropped(store: Store) -> None:
    """What `check` raises reaches the sender; a FINISH cannot refer to that content."""

    def refuse(found: bytes) -> None:
        assert found == content
        raise InvalidInput("no good.")

    job, content = await running(store), content_of()
    chunks = cut(job, content)
    await send(store, chunks[:-1])
    with pytest.raises(InvalidInput, match="no good"):
        await store.add_chunk(chunks[-1], refuse)
    [outcome] = await store.apply([finish(job, content)])
    assert outcome.detail
    assert await store.add_chunk(chunks[1], good) == 0


async def test_another_content_of_the_same_claim_takes_its_place(store: Store) -> None:
    """A claim has one result: the one that it sends last."""
    job, first, second = await running(store), content_of(), content_of(seed=2)
    await send(store, cut(job, first))
    await send(store, cut(job, second))
    [outcome] = await store.apply([finish(job, first)])
    assert not outcome.applied
    await store.apply([finish(job, second)])
    kept = await store.get_job(job.id)
    assert kept is not None
    assert kept.result == second


async def test_equal_results_of_two_jobs_do_not_depend_on_each_other(
    store: Store, clock: ManualClock
) -> None:
    """One job is forgotten, the other keeps its result."""
    content = content_of()
    jobs = [await running(store), await running(store)]
    for job, at in zip(jobs, (START, START + MINUTE), strict=True):
        await send(store, cut(job, content))
        digest = hashlib.sha256(content).hexdigest()
        await store.apply([move(job, JobEvent.FINISH, epoch=1, blob=digest, at=at)])
    clock.advance(120)
    assert await store.forget_jobs(START + timedelta(seconds=30)) == 1
    assert await store.get_job(jobs[0].id) is None
    kept = await store.get_job(jobs[1].id)
    assert kept is not None
    assert kept.result == content


@pytest.mark.parametrize(
    "event", [JobEvent.LOSE, JobEvent.FAIL, JobEvent.RETRY, JobEvent.GIVE_BACK, JobEvent.FINISH]
)
async def test_what_a_claim_sent_goes_with_it(store: Store, event: JobEvent) -> None:
    """However a claim ends without using what it sent, nothing of that is left; the next claim starts anew."""
    job, content = await running(store), content_of()
    await send(store, cut(job, content)[:2])
    at = START + MINUTE
    [outcome] = await store.apply([move(job, event, epoch=1, at=at, due_at=at)])
    assert outcome.applied
    assert await store.drop_uploads(START + timedelta(days=1)) == 0


async def test_a_cancel_under_way_leaves_what_was_sent(store: Store) -> None:
    """A run that ends by itself while it is cancelled still has its result."""
    job, content = await running(store), content_of()
    await send(store, cut(job, content))
    await store.apply([move(job, JobEvent.CANCEL, by="ann")])
    [outcome] = await store.apply([finish(job, content)])
    assert brief(outcome) == (True, "done", 1)


async def test_uploads_that_get_no_further_are_swept(store: Store, clock: ManualClock) -> None:
    """A partial one goes after its time; a whole one waits for its result as long as its claim lives."""
    partial, whole, content = await running(store), await running(store), content_of()
    await send(store, cut(partial, content)[:1])
    await send(store, cut(whole, content))
    assert await store.drop_uploads(START) == 0
    clock.advance(60)
    assert await store.drop_uploads(START + timedelta(seconds=30)) == 1
    assert await store.add_chunk(cut(partial, content)[1], good) == 0
    [outcome] = await store.apply([finish(whole, content)])
    assert outcome.applied


async def test_uploads_survive_the_owner(
    open_engine: Opener, tmp_path: Path, clock: ManualClock
) -> None:
    """A store that is opened again knows what came before, goes on there, and drops it with its claim."""
    content = content_of()
    async with open_engine(tmp_path, clock) as engine:
        going_on, lost = await running(engine.store), await running(engine.store)
        await send(engine.store, cut(going_on, content)[:2])
        await send(engine.store, cut(lost, content)[:2])
    async with open_engine(tmp_path, clock) as engine:
        store = engine.store
        assert await store.add_chunk(cut(going_on, content)[2], good) == len(content)
        await store.apply([move(lost, JobEvent.LOSE, epoch=1)])
        await store.apply([finish(going_on, content)])
        assert await store.drop_uploads(START + timedelta(days=1)) == 0
        kept = await store.get_job(going_on.id)
        assert kept is not None
        assert kept.result == content


ORDERS = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=ORDERS, spoiled=st.none() | st.integers(0, 3))
async def test_chunks_make_the_whole_in_any_order(
    store: Store, order: list[int], spoiled: int | None
) -> None:
    """After any chunks in any order, any number of times: received is the unbroken start, and only the right whole is
    ever finished with."""
    job, content = await running(store), content_of(3 * CHUNK_MAX + 10)
    chunks = cut(job, content)
    sent = list(chunks)
    if spoiled is not None:
        bad = bytes([chunks[spoiled].data[0] ^ 1]) + chunks[spoiled].data[1:]
        one = chunks[spoiled]
        sent[spoiled] = BlobChunk(one.hash, one.total, one.offset, bad, one.job, one.epoch)
    have: set[int] = set()
    for at in order:
        try:
            received = await store.add_chunk(sent[at], good)
        except CodecError:
            assert spoiled is not None
            assert have | {at} == {0, 1, 2, 3}
            have = set()
            continue
        have.add(at)
        start = next((i for i in range(4) if i not in have), 4)
        assert received == min(start * CHUNK_MAX, len(content))
    [outcome] = await store.apply([finish(job, content)])
    assert outcome.applied == (have == {0, 1, 2, 3})
