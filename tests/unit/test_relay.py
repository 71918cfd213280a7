"""Links of launched workers on a broker elsewhere, over the real daemons, store and queues."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import RESULTS, Delivery, Message, Outgoing
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.link import LinkBroker, Resumed, unix_stream
from dts_core.brokers.link_policy import Pass
from dts_core.brokers.relay_server import RelayServer
from dts_core.brokers.wire import StreamReader, StreamWriter
from dts_core.errors import BrokerUnavailable, DtsError, Forbidden
from dts_core.model import JobResult, JobResults
from dts_core.states import JobEvent, JobState
from dts_core.testing import wait_until
from tests.support.jobs import LEASE, move
from tests.support.plain_control import QUEUE, Control
from tests.support.plain_side import PlainSide
from tests.support.porters import counted
from tests.support.taking import Taker


class Agent:
    """One launched worker: its end of the stream, and the gateway's broker for it."""

    def __init__(self, control: Control, folder: Path, host: str) -> None:
        self.own = Pass(host, f"{host}-1")
        self.plain: PlainSide
        self.claiming: ClaimingBroker
        self.taken: list[Delivery] = []
        self.resumed: Resumed = []
        self.forbidden: list[DtsError] = []
        self.serving: asyncio.Future[str] | None = None
        self._control = control
        self._path = folder / f"{host}.sock"
        self._server = RelayServer(self._connect)
        self._is_cut = False
        self._streams: list[asyncio.StreamWriter] = []

    async def _connect(self, own: Pass) -> ClaimingBroker:
        assert own is self.own
        self.plain = PlainSide(self._control.broker, own.host)  # type: ignore[arg-type]
        self.claiming = ClaimingBroker(
            self.plain, host=own.host, worker=own.worker, ack_after_seconds=600,
            clock=self._control.clock,
        )  # fmt: skip
        return self.claiming

    async def begin(self, prefetch: int = 10) -> "Agent":
        self._gate = await asyncio.start_unix_server(self._accept, self._path)
        self.link = await LinkBroker.connect(
            self._open, host=self.own.host, worker=self.own.worker, timeout_seconds=60,
            deadline_seconds=60,
        )  # fmt: skip
        self.link.on_resumed = self.resumed.extend
        self.consumption = await self.link.consume(QUEUE, self.taken.extend, prefetch=prefetch)
        return self

    async def _open(self) -> tuple[StreamReader, StreamWriter]:
        if self._is_cut:
            raise BrokerUnavailable("its only stream is over.")
        return await unix_stream(self._path)()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.append(writer)
        self.serving = asyncio.ensure_future(
            self._server.serve_launched(
                reader, writer, self.own, on_forbidden=self.forbidden.append
            )
        )

    async def has(self, count: int) -> None:
        await wait_until(lambda: len(self.taken) >= count, what=f"{count} deliveries")

    async def finish(self, delivery: Delivery) -> None:
        result = JobResult(delivery.message.message_id, delivery.epoch, JobEvent.FINISH, b"1")
        body = codec.encode(JobResults(self.own.host, self.own.worker, [result]))
        await self.link.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])
        self.consumption.ack([delivery.tag])

    async def cut(self) -> None:
        """Its stream ends without a word, as when its session is killed."""
        self._is_cut = True
        self._streams[0].transport.abort()
        await self.ended()

    async def ended(self) -> None:
        assert self.serving is not None
        await asyncio.wait((self.serving,), timeout=60)
        assert self.serving.done()

    async def end(self) -> None:
        self._is_cut = True
        await self.link.close()
        await self.ended()
        self._gate.close()


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    opened = Control(tmp_path / "dts.db")
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
async def agents(control: Control, tmp_path: Path) -> AsyncIterator[list[Agent]]:
    made = [Agent(control, tmp_path, name) for name in ("far-1", "far-2")]
    await made[0].begin()
    yield made
    for each in made:
        if each.serving is not None:
            await each.end()


async def test_jobs_run_as_on_any_worker(control: Control, agents: list[Agent]) -> None:
    """Handed over with their claims, their results recorded once each, nothing held in the end."""
    jobs = await control.submit(30)
    seen: set[str] = set()
    while len(seen) < 30:
        await wait_until(lambda: bool(agents[0].taken), what="a delivery")
        taken, agents[0].taken[:] = list(agents[0].taken), []
        for each in taken:
            assert (each.epoch, each.attempt) == (1, 1)
            seen.add(each.message.message_id)
            await agents[0].finish(each)
    await control.is_in(jobs, JobState.DONE)
    await counted(control.porter, 30, 0)
    assert {job.host for job in await control.store.get_jobs([job.id for job in jobs])} == {"far-1"}


async def test_what_a_lost_stream_held_ends_with_its_lease(
    control: Control, agents: list[Agent], tmp_path: Path
) -> None:
    """Nothing is given back for a worker that may have run it: a loss is charged when the lease is over."""
    [job] = await control.submit()
    await agents[0].has(1)
    await agents[0].cut()
    await control.is_in([job], JobState.RUNNING)
    await agents[1].begin()
    control.clock.advance(LEASE.total_seconds() + 1)
    await control.scheduler.tick()
    await agents[1].has(1)
    assert agents[1].taken[0].epoch == 2
    await agents[1].finish(agents[1].taken[0])
    await control.is_in([job], JobState.DONE)
    [ended] = await control.store.get_jobs([job.id])
    assert (ended.losses, ended.host) == (1, "far-2")


async def test_who_says_goodbye_is_charged_nothing(control: Control, agents: list[Agent]) -> None:
    """What it held goes back, and to another one at once."""
    [job] = await control.submit()
    await agents[0].has(1)
    await agents[0].end()
    await agents[1].begin()
    await agents[1].has(1)
    await agents[1].finish(agents[1].taken[0])
    await control.is_in([job], JobState.DONE)
    [ended] = await control.store.get_jobs([job.id])
    assert (ended.losses, ended.host) == (0, "far-2")


async def test_a_claim_that_is_gone_ends_its_run(control: Control, agents: list[Agent]) -> None:
    """After a lost connection to the broker the gateway asks; the worker is told what is not its own any more."""
    kept, gone = await control.submit(2)
    await agents[0].has(2)
    agents[0].plain.cut()
    agents[0].claiming.on_link(False, "cut")
    [running] = await control.store.get_jobs([gone.id])
    [lost] = await control.store.apply([move(running, JobEvent.LOSE, epoch=1)])
    assert lost.applied
    await agents[0].plain.mend()
    agents[0].claiming.on_link(True, "")
    await wait_until(lambda: bool(agents[0].resumed), what="the worker is told")
    assert agents[0].resumed == [(gone.id, 1, False, None)]
    first = next(each for each in agents[0].taken if each.message.message_id == kept.id)
    await agents[0].finish(first)
    await control.is_in([kept], JobState.DONE)


async def test_the_same_policy_holds(control: Control, agents: list[Agent]) -> None:
    """What is forbidden on a link is forbidden here: nothing reaches the broker, the second time ends the session."""
    results = await Taker.on(control.broker, QUEUE, prefetch=0)
    body = codec.encode(JobResults("far-2", "far-2-1", []))
    for _ in range(2):
        with pytest.raises(Forbidden):
            await agents[0].link.publish([Outgoing(RESULTS, Message(body))])
    await agents[0].ended()
    assert len(agents[0].forbidden) >= 2
    assert control.porter.results_recorded == 0
    await results.close()
