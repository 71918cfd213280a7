"""Queues of jobs: every delivery stands on a claim, granted while it is handed over."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from dts_core.brokers.base import Broker, QueueSpec
from dts_core.testing import wait_until
from tests.contract.broker_backends import EMBEDDED, Backend
from tests.support.taking import Taker, outgoing, until_stands

JOBS = QueueSpec("jobs.default", claimed=True)
NAMES = [f"j{number:02}" for number in range(8)]


@pytest.fixture(params=EMBEDDED)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """Those that claim by themselves; a broker that does not is wrapped (dts_core.brokers.claiming)."""
    async with EMBEDDED[request.param](tmp_path, partial(request.getfixturevalue, "rabbit")) as it:
        yield it


async def ready(backend: Backend, ids: list[str], *, worker: str = "w1") -> Broker:
    """A side of host `a`, with jobs in the queue."""
    side = await backend.side("a", worker)
    await side.declare(JOBS)
    await side.publish(outgoing("jobs.default", ids))
    return side


async def test_deliveries_carry_their_claim(backend: Backend) -> None:
    """Each delivery has the epoch and attempt of its claim, asked for its taker in one batch."""
    side = await ready(backend, NAMES)
    taker = await (await Taker.on(side, "jobs.default")).has(8)
    assert taker.ids == NAMES
    assert [(d.epoch, d.attempt) for d in taker.deliveries] == [(1, 1)] * 8
    assert {(r.host, r.worker, r.redelivered) for r in backend.desk.requests} == {
        ("a", "w1", False)
    }
    assert backend.desk.batches == [8]


async def test_finished_jobs_are_dropped_silently(backend: Backend) -> None:
    """A message whose job is over ends without being delivered, and its place in the prefetch is free."""
    backend.desk.finish("j00")
    backend.desk.finish("j02")
    side = await ready(backend, NAMES[:4])
    taker = await (await Taker.on(side, "jobs.default", prefetch=2)).has(2)
    assert taker.ids == ["j01", "j03"]
    await until_stands(side, "jobs.default", 0, 2)


async def test_held_jobs_come_back_after_their_time(backend: Backend) -> None:
    """A live lease parks the message; the others go on, and it is asked for again when the lease may have lapsed."""
    backend.desk.held_against("j00", 0.1)
    side = await ready(backend, NAMES[:2])
    taker = await (await Taker.on(side, "jobs.default")).has(1)
    assert taker.ids == ["j01"]
    del backend.desk.verdicts["j00"]
    await taker.has(2)
    assert taker.ids == ["j01", "j00"]
    assert not taker.deliveries[1].redelivered
    assert [r.redelivered for r in backend.desk.requests] == [False] * 3


async def test_a_returned_delivery_gives_its_claim_back(backend: Backend) -> None:
    """nack with requeue charges nothing; the next claim is asked as of a delivery that is known to be over."""
    side = await ready(backend, ["j00"])
    taker = await (await Taker.on(side, "jobs.default")).has(1)
    taker.nack("j00")
    await taker.has(2)
    assert backend.desk.given_back == [("j00", 1)]
    assert backend.desk.lost == []
    assert [(d.epoch, d.redelivered) for d in taker.deliveries] == [(1, False), (2, True)]
    assert backend.desk.requests[1].redelivered
    assert [r.returned for r in backend.desk.requests] == [False, True]


async def test_a_closed_consumer_gives_its_claims_back(backend: Backend) -> None:
    """A worker that stops returns its jobs uncharged."""
    side = await ready(backend, NAMES[:2])
    taker = await (await Taker.on(side, "jobs.default")).has(2)
    await taker.close()
    await until_stands(side, "jobs.default", 2)
    assert sorted(backend.desk.given_back) == [("j00", 1), ("j01", 1)]
    assert backend.desk.lost == []


async def test_a_closed_side_gives_its_claims_back(backend: Backend) -> None:
    """A good-bye is no loss."""
    side = await ready(backend, ["j00"])
    await (await Taker.on(side, "jobs.default")).has(1)
    await side.close()
    await wait_until(lambda: backend.desk.given_back == [("j00", 1)])
    assert backend.desk.lost == []


async def test_a_lost_link_loses_its_claims(backend: Backend) -> None:
    """A loss is charged for every claim not acked; the jobs go to another worker, except the buried ones."""
    side = await ready(backend, NAMES[:4])
    other = await backend.side("b", "w2")
    taker = await (await Taker.on(side, "jobs.default")).has(4)
    taker.ack("j00")
    await until_stands(other, "jobs.default", 0, 3)
    backend.desk.bury_on_loss = {"j02"}
    await backend.cut(side)
    second = await (await Taker.on(other, "jobs.default")).has(2)
    assert sorted(backend.desk.lost) == [("j01", 1), ("j02", 1), ("j03", 1)]
    assert second.ids == ["j01", "j03"]
    assert [(d.epoch, d.redelivered) for d in second.deliveries] == [(2, True)] * 2
    assert all(request.redelivered for request in backend.desk.requests[-2:])
    assert not any(request.returned for request in backend.desk.requests)
    await until_stands(other, "jobs.default", 0, 2)


async def test_dead_messages_bury_their_jobs(backend: Backend) -> None:
    """A job whose message cannot be worked on is dead, and its claim is over."""
    side = await ready(backend, ["j00"])
    taker = await (await Taker.on(side, "jobs.default")).has(1)
    taker.nack("j00", requeue=False, reason="undecodable")
    await wait_until(lambda: backend.desk.buried == ["j00"])
    await backend.cut(side)
    other = await backend.side("b", "w2")
    await until_stands(other, "jobs.default", 0)
    assert backend.desk.lost == []


async def test_an_unreachable_desk_delays_only(backend: Backend) -> None:
    """While claims cannot be granted nothing is handed over and nothing is lost."""
    backend.desk.unavailable = True
    side = await ready(backend, NAMES)
    taker = await Taker.on(side, "jobs.default")
    await until_stands(side, "jobs.default", 8)
    assert taker.deliveries == []
    backend.desk.unavailable = False
    await taker.has(8)
    assert taker.ids == NAMES


async def test_claims_of_consumers_that_went_meanwhile_are_given_back(backend: Backend) -> None:
    """A claim granted for a consumer that closed during the grant returns uncharged."""
    side = await ready(backend, NAMES)
    taker = await Taker.on(side, "jobs.default", prefetch=1)
    await taker.close()
    await until_stands(side, "jobs.default", 8)
    assert sorted(backend.desk.given_back) in ([], [("j00", 1)])
    assert len(backend.desk.given_back) == len(backend.desk.requests)
