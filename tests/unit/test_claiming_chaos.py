"""Claims by question under any order of faults: no job is stuck, none has two results, no message is left."""

import asyncio
import random
from pathlib import Path

import pytest

from dts_core.brokers.base import Delivery
from dts_core.brokers.claiming import asking, questions, returns
from dts_core.errors import BrokerError
from dts_core.model import Job
from dts_core.services.messages import job_message
from dts_core.states import LOSSES_MAX, JobState
from dts_core.testing import wait_until
from tests.support.jobs import LEASE
from tests.support.plain_control import QUEUE, Control, report
from tests.support.plain_side import ClaimingSide
from tests.support.taking import until_stands

JOBS_MAX = 60


class Worker:
    """Holds what it is handed until the test ends it; forgets what is not its own any more."""

    def __init__(self, side: ClaimingSide) -> None:
        self.side = side
        self.held: dict[tuple[str, int], Delivery] = {}
        self.is_cut = False
        side.broker.holding = lambda: list(self.held)
        side.broker.on_resumed = self._resumed

    def take(self) -> None:
        taken, self.side.held[:] = list(self.side.held), []
        self.held.update({(each.message.message_id, each.epoch): each for each in taken})

    def _resumed(self, claims: asking.Resumed) -> None:
        self.take()
        for job, epoch, is_ours, _ in claims:
            if not is_ours:
                self.held.pop((job, epoch), None)

    async def finish(self, claim: tuple[str, int]) -> None:
        """As the worker does: the ack comes after the confirm, and without one nothing happens."""
        delivery = self.held.get(claim)
        if delivery is None:
            return
        try:
            await report(self.side, [delivery])
        except BrokerError:
            return
        self._end(claim)

    def _end(self, claim: tuple[str, int]) -> None:
        delivery = self.held.pop(claim, None)
        if delivery is not None and self.side.taker.consumption is not None:
            self.side.taker.consumption.ack([delivery.tag])

    def give_back(self, claim: tuple[str, int]) -> None:
        delivery = self.held.pop(claim)
        assert self.side.taker.consumption is not None
        self.side.taker.consumption.nack([delivery.tag], requeue=True)


class Chaos:
    """Random acts on a control side and two workers."""

    def __init__(self, control: Control, seed: int) -> None:
        self.control = control
        self.chance = random.Random(seed)
        self.workers: list[Worker] = []
        self.jobs: list[Job] = []
        self.is_deaf = False
        self.acts = [
            self.submit, self.finish, self.finish, self.give_back, self.cut, self.mend, self.deafen,
            self.lose_answers, self.pause, self.grow_old, self.tick, self.beat, self.second_message,
        ]  # fmt: skip

    async def hire(self) -> None:
        side = await self.control.side(f"w{len(self.workers)}", 5)
        self.workers.append(Worker(side))

    async def act(self) -> None:
        for worker in self.workers:
            worker.take()
        await self.chance.choice(self.acts)()
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0.001)

    def _worker(self) -> Worker:
        return self.chance.choice(self.workers)

    async def submit(self) -> None:
        if len(self.jobs) < JOBS_MAX:
            self.jobs += await self.control.submit(self.chance.randrange(1, 6))

    async def finish(self) -> None:
        worker = self._worker()
        for claim in list(worker.held)[:2]:
            await worker.finish(claim)

    async def give_back(self) -> None:
        worker = self._worker()
        for claim in list(worker.held)[:1]:
            worker.give_back(claim)

    async def cut(self) -> None:
        worker = self._worker()
        if not worker.is_cut:
            worker.is_cut = True
            worker.side.cut()

    async def mend(self) -> None:
        for worker in self.workers:
            if worker.is_cut:
                worker.is_cut = False
                await worker.side.mend()

    async def deafen(self) -> None:
        if self.is_deaf:
            self.control.listen()
        else:
            await self.control.deafen()
        self.is_deaf = not self.is_deaf

    async def lose_answers(self) -> None:
        plain = self._worker().side.plain
        plain.loses_answers = not plain.loses_answers

    async def pause(self) -> None:
        taking = self._worker().side.taker.consumption
        assert taking is not None
        taking.grant(self.chance.choice([0, 5, 5]))

    async def grow_old(self) -> None:
        for worker in self.workers:
            worker.side.broker._ack_after = 0
            worker.side.broker.sweep()

    async def tick(self) -> None:
        await self.beat()
        self.control.clock.advance(self.chance.choice([1, 4, 11]))
        await self.control.scheduler.tick()

    async def beat(self) -> None:
        for worker in self.workers:
            if not worker.is_cut:
                until = self.control.clock.now() + LEASE
                await self.control.store.renew(list(worker.held), until)

    async def second_message(self) -> None:
        """A publication that is repeated because its confirm was lost."""
        if self.jobs:
            job = self.chance.choice(self.jobs)
            message = job_message(job, at=self.control.clock.now())
            await self.control.broker.publish([message])

    async def heal(self) -> None:
        await self.mend()
        if self.is_deaf:
            await self.deafen()
        for worker in self.workers:
            worker.side.plain.loses_answers = False
            assert worker.side.taker.consumption is not None
            worker.side.taker.consumption.grant(5)

    async def settle(self) -> None:
        """With everything in order, workers work until nothing is left."""

        async def is_done() -> bool:
            for worker in self.workers:
                worker.take()
                for claim in list(worker.held):
                    await worker.finish(claim)
            self.control.clock.advance(1)
            await self.control.scheduler.tick()
            found = await self.control.store.get_jobs([job.id for job in self.jobs])
            return all(job.state in (JobState.DONE, JobState.DEAD) for job in found)

        await wait_until(is_done, what="every job ends")
        for worker in self.workers:
            await wait_until(lambda worker=worker: not worker.take() and not worker.held)  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(24))
async def test_whatever_happens_every_job_ends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """And what was lost too often to run is dead, by exactly the losses that were charged."""
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(asking, "PARK_MAX_SECONDS", 0.05)
    for module in (asking, returns):
        monkeypatch.setattr(module, "PAUSE_FIRST_SECONDS", 0.005)
        monkeypatch.setattr(module, "PAUSE_MAX_SECONDS", 0.02)
    control = Control(tmp_path / "dts.db")
    await control.start()
    chaos = Chaos(control, seed)
    try:
        for _ in range(2):
            await chaos.hire()
        await chaos.submit()
        for _ in range(120):
            await chaos.act()
        await chaos.heal()
        await chaos.settle()
        await until_stands(control.broker, QUEUE, 0)
        for job in await control.store.get_jobs([job.id for job in chaos.jobs]):
            assert (job.state is JobState.DEAD) == (job.losses >= LOSSES_MAX), job
    finally:
        if chaos.is_deaf:
            control.listen()
        await control.stop()
