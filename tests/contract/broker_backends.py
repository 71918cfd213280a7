"""The brokers that the contract is proved on: a name and a factory each. Another engine is added here alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dts_core.brokers.base import Broker
from dts_core.brokers.embedded import EmbeddedBroker, Link
from dts_core.brokers.link import LinkBroker
from dts_core.brokers.link_server import LinkServer
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.settings import RabbitSettings
from dts_core.sqlite import Database, prepare
from tests.contract.rabbitmq_backends import rabbit_backend
from tests.support.desk import MemoryDesk
from tests.support.rabbitmq import RabbitNode


class Promises(msgspec.Struct, frozen=True):
    """Where the engines differ in what they promise."""

    strict_priorities: bool = True
    """Ten, each before the lower ones; otherwise three bands on queues of jobs: 0, 1 to 4, 5 to 9."""
    poison_deliveries: int = 20
    """How often a message is handed over that always comes back; 0: without an end."""
    sees_all: bool = True
    """Figures are of the whole broker: what others hold, what was dropped, how old the oldest is. Otherwise RabbitMQ
    tells what is ready and who consumes, and the rest is what this process did."""
    takes_back_questions: bool = True
    """A question whose asker has gone is taken back at once; otherwise it lapses after a while."""
    vouches_for: str = ""
    """The user that deliveries name."""

    def seen(self, figure: int) -> int:
        """A figure of others' doings, as this engine tells it."""
        return figure if self.sees_all else 0


RABBIT = Promises(sees_all=False, takes_back_questions=False, vouches_for="guest")
QUORUM = msgspec.structs.replace(RABBIT, strict_priorities=False, poison_deliveries=21)
CLASSIC = msgspec.structs.replace(RABBIT, poison_deliveries=0)


class Backend(Protocol):
    """One broker under test."""

    desk: MemoryDesk
    promises: Promises

    async def side(self, host: str = "a", worker: str = "") -> Broker:
        """A consumer side of its own, connected; closed with the backend."""
        ...

    async def cut(self, side: Broker) -> None:
        """Lose a side's link without a word, for good."""
        ...

    async def restart(self) -> None:
        """Stop the broker and start it again on the same data; no side survives."""
        ...


class Owner:
    """The embedded broker with its file and a socket for links."""

    def __init__(self, folder: Path, role: str = "admin") -> None:
        self.folder = folder
        self.desk = MemoryDesk()
        self.role = role
        self.refused: list[tuple[str, int]] = []
        self.ping_seconds = 3.0
        self.lost_seconds = 10.0

    @property
    def socket(self) -> Path:
        return self.folder / "link.sock"

    async def open(self) -> None:
        path = self.folder / "dts.db"
        prepare(path, SCHEMA, MIGRATIONS)
        self.database = Database(path, asyncio.get_running_loop())
        self.broker = EmbeddedBroker(self.database, claims=self.desk)
        await self.broker.start()
        self.server = LinkServer(
            self.broker,
            self.socket,
            role=self.role,
            on_refused=lambda host, worker, claims: self.refused.extend(claims),
            ping_seconds=self.ping_seconds,
            lost_seconds=self.lost_seconds,
        )
        await self.server.start()

    async def close(self) -> None:
        await self.server.close()
        await self.broker.close()
        await self.database.close()


class Direct:
    """The embedded broker in this process."""

    promises = Promises()

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.desk = owner.desk
        self._count = 0

    async def side(self, host: str = "a", worker: str = "") -> Broker:
        self._count += 1
        return self.owner.broker.attach(host=host, worker=worker or f"{host}-{self._count}")

    async def cut(self, side: Broker) -> None:
        assert isinstance(side, Link)
        side.lose("the test cut it")

    async def restart(self) -> None:
        await self.owner.close()
        await self.owner.open()


class Road:
    """Opens streams to a socket, and can cut or close them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writers: list[asyncio.StreamWriter] = []
        self.is_blocked = False
        self.opened = 0

    async def __call__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.is_blocked:
            raise ConnectionRefusedError("the road is blocked")
        reader, writer = await asyncio.open_unix_connection(self._path)
        self._writers.append(writer)
        self.opened += 1
        return reader, writer

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


class OverLink:
    """The same through a link each."""

    promises = Promises()

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.desk = owner.desk
        self.roads: dict[int, Road] = {}
        self._sides: list[LinkBroker] = []
        self._count = 0

    async def side(self, host: str = "a", worker: str = "") -> LinkBroker:
        self._count += 1
        road = Road(self.owner.socket)
        side = await LinkBroker.connect(road, host=host, worker=worker or f"{host}-{self._count}")
        self.roads[id(side)] = road
        self._sides.append(side)
        return side

    async def cut(self, side: Broker) -> None:
        road = self.roads[id(side)]
        road.is_blocked = True
        road.cut()

    async def restart(self) -> None:
        await self.close()
        await self.owner.close()
        await self.owner.open()

    async def close(self) -> None:
        for side in self._sides:
            await side.close()
        self._sides.clear()


FindRabbit = Callable[[], RabbitNode]
"""Starts the node when it is the first time, or skips the test."""


@asynccontextmanager
async def direct(folder: Path, find: FindRabbit) -> AsyncIterator[Backend]:
    owner = Owner(folder)
    await owner.open()
    try:
        yield Direct(owner)
    finally:
        await owner.close()


@asynccontextmanager
async def over_link(folder: Path, find: FindRabbit) -> AsyncIterator[Backend]:
    owner = Owner(folder)
    await owner.open()
    backend = OverLink(owner)
    try:
        yield backend
    finally:
        await backend.close()
        await owner.close()


@asynccontextmanager
async def over_amqp(
    folder: Path, find: FindRabbit, *, promises: Promises, **settings: Any
) -> AsyncIterator[Backend]:
    async with rabbit_backend(find(), RabbitSettings(settle_seconds=0, **settings)) as backend:
        backend.promises = promises
        yield backend


Opener = Callable[[Path, FindRabbit], AbstractAsyncContextManager[Backend]]
EMBEDDED: dict[str, Opener] = {"embedded": direct, "link": over_link}
"""Those that claim by themselves."""
BACKENDS: dict[str, Opener] = {
    **EMBEDDED,
    "rabbitmq": partial(over_amqp, promises=QUORUM),
    "rabbitmq-classic": partial(over_amqp, promises=CLASSIC, kinds={"*": "classic"}),
    "rabbitmq-framing": partial(over_amqp, promises=QUORUM, plane="framing"),
}
