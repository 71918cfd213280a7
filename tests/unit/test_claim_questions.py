"""The daemon of requests as workers on RabbitMQ meet it: claims, what is still theirs, and who may ask for whom."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core import codec
from dts_core.brokers.base import (
    REQUESTS,
    Broker,
    ClaimAnswer,
    ClaimRequest,
    ClaimVerdict,
    Delivery,
    Message,
    claim_headers,
)
from dts_core.brokers.senders import check_sender
from dts_core.daemons import requests as module
from dts_core.daemons.requests import Requests
from dts_core.errors import Forbidden, InvalidInput, StoreUnavailable
from dts_core.model import (
    BlobChunk,
    ClaimItem,
    ClaimsRequest,
    HeldRequest,
    Holders,
    Job,
    JobResults,
    LogBatch,
    ProgressReport,
    SourceRequest,
)
from dts_core.services.claims import Claims
from dts_core.services.granting import BATCH_MAX, Granting
from dts_core.services.leases import Lately
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import embedded
from tests.support.beats import make_beat
from tests.support.brokers import RecordingBroker
from tests.support.jobs import LEASE, job_in, make_job


class Desk:
    """Requests over a store."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.clock = clock
        self.store = store
        self.lately = Lately(clock, LEASE)
        claims = Claims(store, clock, doubted=self.lately)
        self.broker = RecordingBroker()
        self.requests = Requests(cast(Broker, self.broker), store, clock, claims=claims)

    @property
    def called(self) -> list[list[str]]:
        """Jobs whose holders were called for."""
        return [codec.decode(message.body, Holders).jobs for _, message in self.broker.fanouts]

    async def ask(self, question: Any, **message: Any) -> Any:
        asked = Message(codec.encode(question), **message)
        return await self.requests.operate(question, Delivery(1, REQUESTS, asked))

    async def add(self, *jobs: Job) -> list[ClaimItem]:
        await self.store.insert_jobs(jobs)
        return [ClaimItem(job.id) for job in jobs]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        yield Desk(engine.store, clock)


async def test_each_item_has_its_answer(desk: Desk) -> None:
    """In order; a live claim is named, so that the worker knows what stands against it."""
    items = await desk.add(make_job(), job_in(JobState.DONE), job_in(JobState.RUNNING, epoch=4))
    reply = await desk.ask(ClaimsRequest("h2", "w2", [*items, ClaimItem("nobody")]))
    told = [(each.verdict, each.epoch, each.attempt) for each in reply.answers]
    assert told == [("granted", 1, 1), ("finished", 0, 0), ("held", 4, 0), ("finished", 0, 0)]
    assert reply.answers[2].retry_after_seconds > 10


async def test_after_the_broker_was_away_a_redelivery_takes_nothing_over(desk: Desk) -> None:
    """For a lease's length: by then a holder that lives has been heard again."""
    job = job_in(JobState.RUNNING)
    [item] = await desk.add(job)
    asked = ClaimsRequest("h2", "w2", [ClaimItem(item.job, redelivered=True)])
    assert [each.verdict for each in (await desk.ask(asked)).answers] == ["held"]
    desk.clock.advance(9)
    await desk.store.renew([(job.id, 1)], desk.clock.now() + LEASE)
    [held] = (await desk.ask(asked)).answers
    assert (held.verdict, held.lease) == ("held", 0)
    assert desk.called == []
    desk.clock.advance(1)
    [called] = (await desk.ask(asked)).answers
    assert called.verdict == "held"
    assert desk.called == [[job.id]]
    again = ClaimsRequest("h2", "w2", [ClaimItem(item.job, redelivered=True, lease=called.lease)])
    assert [each.verdict for each in (await desk.ask(again)).answers] == ["granted"]
    desk.lately.note()
    again = ClaimsRequest("h3", "w3", [ClaimItem(item.job, redelivered=True)])
    assert [each.verdict for each in (await desk.ask(again)).answers] == ["held"]


async def test_a_worker_learns_what_is_its_own(desk: Desk) -> None:
    """What it names and has, and what it has and does not name; both leases begin anew."""
    own, unknown = job_in(JobState.RUNNING), job_in(JobState.RUNNING)
    other = job_in(JobState.RUNNING, worker="w9")
    namesake = job_in(JobState.RUNNING, host="h9")
    await desk.add(own, unknown, other, namesake)
    desk.clock.advance(5)
    reply = await desk.ask(HeldRequest("h1", "w1", [(own.id, 1), (other.id, 1)]))
    assert (reply.mine, reply.unheld) == ([True, False], [(unknown.id, 1)])
    until = {
        job.id: job.lease_until
        for job in await desk.store.get_jobs([own.id, unknown.id, other.id, namesake.id])
    }
    assert until[own.id] == until[unknown.id] == desk.clock.now() + LEASE
    assert until[other.id] == until[namesake.id] == START + LEASE


async def test_a_question_from_before_an_outage_is_granted_nothing_after_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked does not wait any more: a claim that nobody knows of would end as a loss."""
    monkeypatch.setattr(module, "AWAITED_SECONDS", 0.3)
    [item] = await desk.add(make_job())
    apply, tries = desk.store.apply, 0

    async def away(*args: Any, **kwargs: Any) -> Any:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("the store is away.")

    monkeypatch.setattr(desk.store, "apply", away)
    assert await desk.ask(ClaimsRequest("h", "w", [item])) is None
    assert tries > 1
    monkeypatch.setattr(desk.store, "apply", apply)
    reply = await desk.ask(ClaimsRequest("h", "w", [item]))
    assert [each.verdict for each in reply.answers] == ["granted"]


async def test_too_many_claims_in_one_question_are_refused(desk: Desk) -> None:
    """As no worker asks."""
    with pytest.raises(InvalidInput):
        await desk.ask(ClaimsRequest("h", "w", [ClaimItem("j")] * 1_001))


async def test_where_claims_come_with_the_jobs_nobody_asks(tmp_path: Path) -> None:
    """A question for them is a mistake."""
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        requests = Requests(cast(Broker, RecordingBroker()), engine.store, clock)
        for asked in (ClaimsRequest("h", "w", []), HeldRequest("h", "w", [])):
            with pytest.raises(Forbidden):
                await requests.operate(asked, Delivery(1, REQUESTS, Message(b"")))


async def test_a_chunk_counts_only_from_its_claim_s_host(desk: Desk) -> None:
    """Where the broker vouches for users, headers alone prove nothing."""
    job = job_in(JobState.RUNNING)
    await desk.add(job)
    digest = "0" * 64
    chunk = BlobChunk(digest, 1 << 20, 0, b"x" * (512 << 10), job.id, 1)
    headers = claim_headers(job.id, 1)
    foreign = await desk.ask(chunk, headers=headers, user_id="dts.host.h2")
    assert (foreign.received, foreign.is_late) == (0, True)
    own = await desk.ask(chunk, headers=headers, user_id="dts.host.h1")
    assert own.received == 512 << 10


async def test_claims_do_not_wait_for_chunks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them stand still."""
    stuck = asyncio.Event()

    async def wait(digest: str) -> None:
        await stuck.wait()

    monkeypatch.setattr(desk.store, "get_blob", wait)
    asked = [asyncio.create_task(desk.ask(SourceRequest("0" * 64))) for _ in range(50)]
    items = await desk.add(make_job())
    reply = await desk.ask(ClaimsRequest("h", "w", items))
    assert reply.answers[0].verdict == "granted"
    stuck.set()
    assert [each.total for each in await asyncio.gather(*asked)] == [0] * 50


class SlowClaims:
    """Grants when it is let; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.is_away = False

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        self.batches.append(len(requests))
        await self.gate.wait()
        if self.is_away:
            raise StoreUnavailable("the store is away.")
        return [ClaimAnswer(ClaimVerdict.GRANTED, int(each.job)) for each in requests]


def wanted(*jobs: int) -> list[ClaimRequest]:
    return [ClaimRequest(str(job), "h", "w") for job in jobs]


async def test_questions_are_put_together_while_one_is_under_way() -> None:
    """One write at a time; each asker has its own answers, in order."""
    claims = SlowClaims()
    granting = Granting(cast(Claims, claims))
    asked = [asyncio.create_task(granting.grant(wanted(n, n + 100))) for n in range(1, 21)]
    await asyncio.sleep(0)
    claims.gate.set()
    answers = await asyncio.gather(*asked)
    assert [[each.epoch for each in pair] for pair in answers] == [
        [n, n + 100] for n in range(1, 21)
    ]
    assert sum(claims.batches) == 40
    assert len(claims.batches) <= 2


async def test_a_write_that_fails_fails_for_all_and_the_next_one_counts() -> None:
    """Each asker is told, and may ask again."""
    claims = SlowClaims()
    claims.is_away = True
    claims.gate.set()
    granting = Granting(cast(Claims, claims))
    told = await asyncio.gather(
        *(granting.grant(wanted(n)) for n in range(3)), return_exceptions=True
    )
    assert [type(each) for each in told] == [StoreUnavailable] * 3
    claims.is_away = False
    assert [each.epoch for each in await granting.grant(wanted(7))] == [7]


async def test_an_asker_that_goes_leaves_the_others_their_answers() -> None:
    """They ask again when it took their write with it."""
    claims = SlowClaims()
    granting = Granting(cast(Claims, claims))
    first = asyncio.create_task(granting.grant(wanted(1)))
    await asyncio.sleep(0)
    second = asyncio.create_task(granting.grant(wanted(2)))
    await asyncio.sleep(0)
    first.cancel()
    claims.gate.set()
    assert [each.epoch for each in await second] == [2]


async def test_a_write_has_a_bound() -> None:
    """What is beyond it goes into the next one."""
    claims = SlowClaims()
    granting = Granting(cast(Claims, claims))
    size = BATCH_MAX // 2
    asked = [asyncio.create_task(granting.grant(wanted(*range(size)))) for _ in range(6)]
    await asyncio.sleep(0)
    claims.gate.set()
    await asyncio.gather(*asked)
    assert max(claims.batches) <= BATCH_MAX + size
    assert sum(claims.batches) == 6 * size


BODIES = [
    JobResults("h1", "w", []),
    make_beat("h1"),
    ProgressReport(host="h1", worker="w", items=[]),
    LogBatch("h1", "w", [], 0),
    ClaimsRequest("h1", "w", []),
    HeldRequest("h1", "w", []),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_host_s_user_speaks_for_its_own_host_alone(body: Any) -> None:
    """Other users are the control side's own; without users nobody is vouched for."""
    for user in ("dts.host.h1", "dts", "guest", ""):
        check_sender(user, body)
    for user in ("dts.host.h2", "dts.host.", "dts.host.h1.x"):
        with pytest.raises(Forbidden, match="h1"):
            check_sender(user, body)


def test_bodies_that_name_no_host_pass() -> None:
    """What they ask for is the same for everybody."""
    check_sender("dts.host.h1", SourceRequest("0" * 64))
    check_sender("dts.host.h1", b"raw")
