"""The embedded broker against a model: whatever happens in whatever order, messages are neither lost nor run twice."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from dts_core.brokers.base import QueueSpec
from dts_core.brokers.embedded import Link, filling, queues
from tests.contract.broker_backends import Owner
from tests.support.taking import Taker, outgoing, until_stands

SIDES = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 6), st.integers(0, 2)),
        st.tuples(st.just("consume"), st.integers(0, SIDES - 1), st.integers(1, 5)),
        st.tuples(st.just("ack"), st.integers(0, SIDES - 1), st.integers(1, 7)),
        st.tuples(st.just("nack"), st.integers(0, SIDES - 1), st.integers(1, 7)),
        st.tuples(st.just("bury"), st.integers(0, SIDES - 1), st.integers(1, 3)),
        st.tuples(st.just("cut"), st.integers(0, SIDES - 1), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, SIDES - 1), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=30,
)
Step = tuple[str, int, int]


class Model:
    """What was published, what is over, and who has what."""

    def __init__(self, owner: Owner, queue: str) -> None:
        self.owner = owner
        self.queue = queue
        self.published: dict[str, int] = {}
        self.over: set[str] = set()
        self.links: dict[int, Link] = {}
        self.takers: dict[int, Taker] = {}
        self.unacked: dict[int, list[str]] = {}

    async def run(self, steps: list[Step]) -> None:
        for what, side, number in steps:
            await getattr(self, what)(side, number)
            await self.settle()
            self.check()

    async def settle(self) -> None:
        """Let everything that was begun come to its end."""
        for _ in range(4):
            for _ in range(6):
                await asyncio.sleep(0)
            await self.owner.database.read(lambda connection: None)

    def check(self) -> None:
        """No message is with two consumers, and none that is over is with anybody."""
        held = [name for side in self.takers for name in self.held(side)]
        assert len(held) == len(set(held))
        assert not self.over & set(held)

    def held(self, side: int) -> list[str]:
        taker = self.takers[side]
        assert taker.consumption is not None
        return [e.message.message_id for e in taker.consumption.unacked.values()]  # type: ignore[attr-defined]

    async def publish(self, count: int, priority: int) -> None:
        names = [f"{len(self.published) + n:03}" for n in range(count)]
        self.published.update(dict.fromkeys(names, priority))
        await self.owner.broker.publish(outgoing(self.queue, names, priority))

    async def consume(self, side: int, prefetch: int) -> None:
        if side in self.takers:
            consumption: Any = self.takers[side].consumption
            consumption.grant(prefetch)
            return
        link = self.owner.broker.attach(host="a", worker=f"w{side}")
        self.links[side] = link
        self.takers[side] = await Taker.on(link, self.queue, prefetch=prefetch)

    async def ack(self, side: int, share: int) -> None:
        self.end(side, share)

    async def nack(self, side: int, share: int) -> None:
        if side in self.takers:
            consumption: Any = self.takers[side].consumption
            consumption.nack(self.some(side, share), requeue=True)

    async def bury(self, side: int, share: int) -> None:
        if side in self.takers:
            consumption: Any = self.takers[side].consumption
            consumption.nack(self.some(side, share)[:1], requeue=False, reason="test")

    def some(self, side: int, share: int) -> list[int]:
        consumption: Any = self.takers[side].consumption
        return [tag for tag in consumption.unacked if (tag * 7) % 8 < share]

    def end(self, side: int, share: int) -> None:
        if side not in self.takers:
            return
        consumption: Any = self.takers[side].consumption
        tags = self.some(side, share)
        names = [consumption.unacked[tag].message.message_id for tag in tags]
        consumption.ack(tags)
        for name in names:
            self.over.add(name)
            self.owner.desk.finish(name)

    async def cut(self, side: int, _: int) -> None:
        if side in self.takers:
            self.takers.pop(side)
            self.links.pop(side).lose("cut")

    async def close(self, side: int, _: int) -> None:
        if side in self.takers:
            await self.takers.pop(side).close()
            self.links.pop(side)

    async def restart(self, _: int, __: int) -> None:
        self.takers.clear()
        self.links.clear()
        await self.owner.close()
        self.owner.desk.owners.clear()
        await self.open()

    async def open(self) -> None:
        await self.owner.open()
        await self.owner.broker.declare(QueueSpec(self.queue, claimed=self.queue == "jobs.x"))

    async def end_all(self) -> None:
        """Everything goes back; one consumer then gets exactly what is not over, in order."""
        for side in list(self.takers):
            await self.cut(side, 0)
        await self.settle()
        letters = await self.owner.broker.dead_letters(limit=500)
        dead = {letter.message.message_id for letter in letters}
        assert len(dead) == len(letters)
        rest = sorted(
            set(self.published) - self.over - dead, key=lambda name: (-self.published[name], name)
        )
        assert not dead & self.over
        await self.drain(rest)
        await self.restart(0, 0)
        await self.drain(rest)

    async def drain(self, rest: list[str]) -> None:
        await until_stands(self.owner.broker, self.queue, len(rest))
        last = await Taker.on(self.owner.broker, self.queue, prefetch=1000)
        await last.has(len(rest))
        await self.settle()
        assert last.ids == rest


async def play(steps: list[Step], queue: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        owner = Owner(Path(folder))
        model = Model(owner, queue)
        await model.open()
        try:
            await model.run(steps)
            await model.end_all()
        finally:
            await owner.close()


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_message_is_lost_or_doubled(steps: list[Step]) -> None:
    """After any interleaving every message is acked, dead, or delivered once more, in its order."""
    with mock.patch.object(queues, "WINDOW", 4), mock.patch.object(filling, "WINDOW", 4):
        asyncio.run(play(steps, "work"))


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_no_job_is_lost_or_doubled(steps: list[Step]) -> None:
    """The same with claims: none is granted while another stands."""
    with mock.patch.object(queues, "WINDOW", 4), mock.patch.object(filling, "WINDOW", 4):
        asyncio.run(play(steps, "jobs.x"))
