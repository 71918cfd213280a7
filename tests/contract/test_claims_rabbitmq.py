"""Claims on RabbitMQ: a worker's claiming broker over the adapter; the real porter, requests and store behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import CONTROL, Delivery
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.model import Job
from dts_core.settings import RabbitSettings
from dts_core.states import JobState
from dts_core.testing import wait_until
from tests.support.plain_control import QUEUE, Control, finish, report
from tests.support.porters import counted
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode
from tests.support.taking import Taker

KINDS = ["quorum", "classic"]
BACK_SECONDS = 60.0
"""How long a broker may take to be there again on a busy machine."""


class RabbitSide:
    """A worker on RabbitMQ, through a proxy of its own, with what it took."""

    def __init__(
        self, name: str, proxy: Proxy, rabbit: RabbitmqBroker, ack_after_seconds: float
    ) -> None:
        self.name = name
        self.proxy = proxy
        self.rabbit = rabbit
        self.broker = ClaimingBroker(
            rabbit, host=name, worker=name, ack_after_seconds=ack_after_seconds
        )
        rabbit.on_state = self.broker.on_link
        self.resumed: list[tuple[str, int, bool]] = []
        self.broker.on_resumed = lambda claims: self.resumed.extend(c[:3] for c in claims)
        self.taker: Taker

    @property
    def held(self) -> list[Delivery]:
        """What it was handed, in order."""
        return self.taker.deliveries

    async def cut(self) -> None:
        """Lose the connection, and let no other come."""
        self.proxy.refuse()
        self.proxy.reset()
        await wait_until(lambda: not self.rabbit.is_connected)

    async def mend(self) -> None:
        """Let it come back."""
        self.proxy.accept()
        await wait_until(lambda: self.rabbit.is_connected, BACK_SECONDS)


class Site:
    """A virtual host with the control side on it, and workers."""

    def __init__(
        self, node: RabbitNode, path: Path, settings: RabbitSettings, stack: AsyncExitStack
    ) -> None:
        self.node = node
        self.url = node.vhost()
        self.settings = settings
        self.control = Control(path, RabbitmqBroker(self.url, settings=self.settings))
        self._sides: list[RabbitSide] = []
        self._stack = stack

    async def side(
        self, name: str, prefetch: int = 10, *, ack_after_seconds: float = 600
    ) -> RabbitSide:
        """A worker that takes jobs."""
        proxy = await self._stack.enter_async_context(Proxy(self.node.host, self.node.port))
        url = self.url.replace(f":{self.node.port}/", f":{proxy.port}/")
        rabbit = RabbitmqBroker(url, host=name, worker=name, role="worker", settings=self.settings)
        side = RabbitSide(name, proxy, rabbit, ack_after_seconds)
        self._sides.append(side)
        await rabbit.start()
        await side.broker.subscribe(CONTROL, lambda message: None)
        side.taker = await Taker.on(side.broker, QUEUE, prefetch=prefetch)
        return side

    async def has_ended_all(self) -> bool:
        """Every message has ended: none waits in any band, and no worker holds one."""
        stats = [each for each in await self.control.broker.stats() if each.name == QUEUE]
        held = [each.unacked for side in self._sides for each in side.rabbit._consumptions]
        return not any(held) and not any(each.ready for each in stats)

    async def is_empty(self) -> None:
        """So it is, and so it stays without the workers."""
        await wait_until(self.has_ended_all, BACK_SECONDS, what="the queue is empty")
        for side in self._sides:
            await side.broker.close()  # gives back what the broker still thinks that it holds
        await wait_until(self.has_ended_all, BACK_SECONDS, what="it is empty without its workers")

    async def close(self) -> None:
        for side in self._sides:
            await side.broker.close()
        await self.control.stop()
        self.node.drop(self.url)


@asynccontextmanager
async def opened(node: RabbitNode, path: Path, **settings: Any) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(node, path, RabbitSettings(**settings), stack)
        stack.push_async_callback(site.close)
        await site.control.start()
        yield site


@pytest.fixture(params=KINDS)
async def site(
    request: pytest.FixtureRequest, rabbit: RabbitNode, tmp_path: Path
) -> AsyncIterator[Site]:
    kinds = {"*": request.param}
    async with opened(rabbit, tmp_path / "dts.db", kinds=kinds, settle_seconds=0) as found:
        yield found


def ids(jobs: list[Job]) -> list[str]:
    return sorted(job.id for job in jobs)


def taken(side: RabbitSide) -> list[str]:
    return sorted(each.message.message_id for each in side.held)


async def has(side: RabbitSide, count: int) -> None:
    await wait_until(lambda: len(side.held) >= count, BACK_SECONDS, what=f"{count} deliveries")


async def came(count: int, *sides: RabbitSide) -> None:
    """So many messages came to these in all, those that came again among them."""

    def found() -> int:
        return sum(side.rabbit._figures.of(QUEUE).delivered for side in sides)

    await wait_until(lambda: found() >= count, BACK_SECONDS, what=f"{count} messages")


async def test_each_job_is_claimed_and_runs_once(site: Site) -> None:
    """Two workers share the queue; each delivery carries its claim, and its message is gone in the end."""
    control = site.control
    jobs = await control.submit(100)
    one, two = await site.side("w1", 20), await site.side("w2", 20)
    seen: list[tuple[str, int, int]] = []
    while len(seen) < 100:
        await wait_until(lambda: bool(one.held or two.held))
        for side in (one, two):
            batch, side.held[:] = list(side.held), []
            seen += [(each.message.message_id, each.epoch, each.attempt) for each in batch]
            await finish(side, batch)
    assert sorted(seen) == sorted((job.id, 1, 1) for job in jobs)
    await control.is_in(jobs, JobState.DONE)
    await counted(control.porter, 100, 0)
    await site.is_empty()
    assert not one.held
    assert not two.held


async def test_a_returned_delivery_is_given_back_uncharged(site: Site) -> None:
    """By a result that is confirmed; it comes again under a later claim."""
    [job] = await site.control.submit()
    side = await site.side("w1")
    await has(side, 1)
    side.taker.nack(job.id)
    await has(side, 2)
    assert [(each.epoch, each.attempt) for each in side.held] == [(1, 1), (2, 1)]
    assert await site.control.of(job) == ("running", 2, 0, "w1")


async def test_a_worker_that_stops_gives_its_claims_back(site: Site) -> None:
    """Uncharged; another one runs its jobs."""
    jobs = await site.control.submit(3)
    one = await site.side("w1")
    await has(one, 3)
    await one.broker.close()
    two = await site.side("w2")
    await has(two, 3)
    for job in jobs:
        assert await site.control.of(job) == ("running", 2, 0, "w2")


async def test_jobs_of_a_worker_that_is_cut_off_run_elsewhere(site: Site) -> None:
    """A message that came back takes the lease over, and charges a loss; late results change nothing."""
    control = site.control
    jobs = await control.submit(5)
    one = await site.side("w1")
    await has(one, 5)
    late = list(one.held)
    await one.cut()
    two = await site.side("w2")
    await has(two, 5)
    assert {(each.epoch, each.redelivered) for each in two.held} == {(2, True)}
    two.name = "w1"
    await report(two, late)  # as it would come from the one that was cut off
    two.name = "w2"
    await finish(two, list(two.held))
    await control.is_in(jobs, JobState.DONE)
    kept = await control.store.get_job(jobs[0].id)
    assert kept is not None
    assert (kept.losses, kept.worker) == (1, "w2")
    await wait_until(lambda: control.porter.results_recorded == 5, what="each is counted")


async def test_a_worker_that_is_back_goes_on(site: Site) -> None:
    """Its messages come back to it and are bound to its claims: nothing is handed over twice, nothing is charged."""
    control = site.control
    jobs = await control.submit(4)
    side = await site.side("w1")
    await has(side, 4)
    await side.cut()
    await side.mend()
    await wait_until(lambda: len(side.resumed) >= 4, BACK_SECONDS)
    await came(8, side)
    assert {is_ours for _, _, is_ours in side.resumed} == {True}
    assert taken(side) == ids(jobs)
    await finish(side, list(side.held))
    await control.is_in(jobs, JobState.DONE)
    await site.is_empty()
    assert taken(side) == ids(jobs)
    assert {(await control.of(job))[1:] for job in jobs} == {(1, 0, "w1")}


@pytest.mark.parametrize("how", ["channel", "consumer"])
async def test_a_channel_that_its_worker_loses_alone_costs_nothing(site: Site, how: str) -> None:
    """Its messages come to another one while its jobs run on: they end there, and the claims go on unharmed."""
    control = site.control
    jobs = await control.submit(4)
    one = await site.side("w1", 4)
    await has(one, 4)
    two = await site.side("w2")
    before = channel(one)
    if how == "channel":
        before.ack(1_000_000)  # RabbitMQ closes a channel that acks what was never delivered
    else:
        await before.close()  # as it does where it ends a consumer and takes back what it had
        one.rabbit._consumptions[0]._lost(before, "cancelled")
    await is_closed(one, before)

    await came(8, one, two)

    async def is_over() -> bool:
        return bool(two.held) or await site.has_ended_all()

    await wait_until(is_over, BACK_SECONDS, what="nobody has a message of theirs")
    assert not two.held
    assert {await control.of(job) for job in jobs} == {("running", 1, 0, "w1")}
    await finish(one, list(one.held))
    await control.is_in(jobs, JobState.DONE)
    assert {(await control.of(job))[1:] for job in jobs} == {(1, 0, "w1")}
    await counted(control.porter, 4, 0)
    assert len(one.held) == 4
    await site.is_empty()


@pytest.mark.serial
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_broker_that_comes_back_finds_every_job_where_it_was(
    private_rabbit: RabbitNode, tmp_path: Path, kind: str, how: str
) -> None:
    """Those that run go on under their claims, those that wait run once; stopped or killed, it makes no difference."""
    async with opened(private_rabbit, tmp_path / "dts.db", kinds={"*": kind}) as site:
        control, node = site.control, site.node
        jobs = await control.submit(50)
        side = await site.side("w1", 10)
        await has(side, 10)
        before = taken(side)
        down, up = (node.stop_app, node.start_app) if how == "stop" else (node.kill, node.start)
        await asyncio.to_thread(down)
        await wait_until(lambda: not side.rabbit.is_connected, BACK_SECONDS)
        await asyncio.to_thread(up)
        await wait_until(lambda: len(side.resumed) >= 10, BACK_SECONDS)
        assert {is_ours for _, _, is_ours in side.resumed} == {True}
        assert taken(side) == before
        done = 0
        while done < 50:
            await has(side, done + 1)
            batch = side.held[done:]
            await finish(side, batch)
            done += len(batch)
        await control.is_in(jobs, JobState.DONE)
        assert taken(side) == ids(jobs)
        assert {(await control.of(job))[1:] for job in jobs} == {(1, 0, "w1")}


@pytest.fixture
def hasty(private_rabbit: RabbitNode) -> Iterator[RabbitNode]:
    """The node, waiting three seconds for an ack and not half an hour, and looking every second."""

    def put(name: str, value: int) -> None:
        private_rabbit.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")

    put("consumer_timeout", 3_000)
    put("channel_tick_interval", 1_000)
    yield private_rabbit
    put("consumer_timeout", 1_800_000)
    put("channel_tick_interval", 60_000)


@pytest.mark.serial
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_a_job_longer_than_the_broker_waits_for_an_ack(
    hasty: RabbitNode, tmp_path: Path, kind: str
) -> None:
    """RabbitMQ closes the channel of a delivery that is not acked in time, so an old one is acked on its claim.

    Where that is not done the channel comes back and the job goes on under its claim; its message waits in the queue,
    for its holder has no room for another job, and ends after it.
    """
    async with opened(hasty, tmp_path / "dts.db", kinds={"*": kind}, settle_seconds=0) as site:
        control = site.control
        [early] = await control.submit()
        one = await site.side("w1", 1, ack_after_seconds=0.5)
        await has(one, 1)
        whole = channel(one)
        [late] = await control.submit()
        two = await site.side("w2", 1)
        await has(two, 1)
        await is_closed(two, channel(two))
        assert channel(one) is whole
        assert (taken(one), taken(two)) == ([early.id], [late.id])
        for side in (one, two):
            await finish(side, list(side.held))
        await control.is_in([early, late], JobState.DONE)
        await site.is_empty()
        assert await control.of(early) == ("done", 1, 0, "w1")
        assert await control.of(late) == ("done", 1, 0, "w2")
        assert (len(one.held), len(two.held)) == (1, 1)


def channel(side: RabbitSide) -> Any:
    """What its jobs come over now."""
    return side.rabbit._consumptions[0]._plane


async def is_closed(side: RabbitSide, before: Any) -> None:
    """Another channel has taken its place."""
    await wait_until(lambda: channel(side) not in (None, before), BACK_SECONDS)
