"""RabbitMQ as a broker under test: a virtual host for each test, a proxy for each side, and the letters in memory."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dts_core.brokers.base import DEAD, Broker, DeadLetter, Delivery
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.letters import letter_of
from dts_core.settings import RabbitSettings
from tests.support.desk import MemoryDesk
from tests.support.proxy import Proxy
from tests.support.rabbitmq import RabbitNode
from tests.support.taking import Taker


class MemoryGraves:
    """Dead letters in memory, as a store keeps them."""

    def __init__(self) -> None:
        self.letters: dict[str, DeadLetter] = {}
        self._seqs = itertools.count(1)

    async def add_dead(self, letters: Sequence[tuple[str, DeadLetter]]) -> None:
        for key, letter in letters:
            self.add(key, letter)

    def add(self, key: str, letter: DeadLetter) -> None:
        if key not in self.letters:
            self.letters[key] = msgspec.structs.replace(letter, seq=next(self._seqs))

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        found = [each for each in self.letters.values() if not before or each.seq < before]
        return sorted(found, key=lambda each: -each.seq)[:limit]

    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        return [each for each in self.letters.values() if each.seq in seqs]

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        gone = [key for key, each in self.letters.items() if each.seq in seqs]
        for key in gone:
            del self.letters[key]
        return len(gone)

    async def count_dead(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for each in self.letters.values():
            counts[each.queue] = counts.get(each.queue, 0) + 1
        return counts


class Rabbit:
    """RabbitMQ under test; see Backend."""

    promises: Any

    def __init__(
        self, node: RabbitNode, url: str, settings: RabbitSettings, stack: AsyncExitStack
    ) -> None:
        self.node = node
        self.url = url
        self.settings = settings
        self.desk = MemoryDesk()
        self.graves = MemoryGraves()
        self.proxies: dict[int, Proxy] = {}
        self.sides: list[RabbitmqBroker] = []
        self._stack = stack
        self._undertaker: Taker | None = None

    async def start(self) -> None:
        """The undertaker, as the control side has one."""
        side = await self.side()
        taker = Taker()

        def take(deliveries: list[Delivery]) -> None:
            for each in deliveries:
                self.graves.add(*letter_of(each.message, now=datetime.now(UTC)))
            assert taker.consumption is not None
            taker.consumption.ack([each.tag for each in deliveries])

        taker.consumption = await side.consume(DEAD, take, prefetch=100)
        self._undertaker = taker

    async def side(self, host: str = "a", worker: str = "") -> RabbitmqBroker:
        proxy = await self._stack.enter_async_context(Proxy(self.node.host, self.node.port))
        url = self.url.replace(f":{self.node.port}/", f":{proxy.port}/")
        side = await RabbitmqBroker.connect(
            url, host=host, worker=worker, settings=self.settings, graves=self.graves
        )
        self.proxies[id(side)] = proxy
        self.sides.append(side)
        return side

    async def cut(self, side: Broker) -> None:
        proxy = self.proxies[id(side)]
        proxy.refuse()
        proxy.reset()

    async def restart(self) -> None:
        if not self.node.is_ours:
            pytest.skip("a server of one's own is not restarted")
        await self.close()
        self.node.stop_app()
        self.node.start_app()
        await self.start()

    async def close(self) -> None:
        for side in self.sides:
            await side.close()
        self.sides.clear()


@asynccontextmanager
async def rabbit_backend(node: RabbitNode, settings: RabbitSettings) -> AsyncIterator[Rabbit]:
    async with AsyncExitStack() as stack:
        url = node.vhost()
        backend = Rabbit(node, url, settings, stack)
        try:
            await backend.start()
            yield backend
        finally:
            await backend.close()
            node.drop(url)
