"""The engines that the store's contract is proved on: a name and a factory each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dts_core.brokers.base import Outgoing
from dts_core.clock import Clock
from dts_core.errors import BrokerUnavailable
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.settings import StoreSettings
from dts_core.sqlite import Connection, Database, all_rows, prepare
from dts_core.stores.base import Store
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.stores.jobstore import Intake
from dts_core.stores.outbox import OutboxIntake
from tests.support.brokers import RecordingBroker

Ids = Callable[[], Coroutine[Any, Any, list[str]]]


class Engine:
    """One engine under test: the store, an intake beside it, the ids its queues hold, those it let consumers have."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        queued: Ids,
        handed: Ids,
        broker: "FileBroker | None" = None,
    ) -> None:
        self.store = store
        self.intake = intake
        self.queued = queued
        self.handed = handed
        self._broker = broker

    @property
    def broker(self) -> "FileBroker":
        """The double beside the store, where there is one."""
        assert self._broker is not None
        return self._broker


Opener = Callable[[Path, Clock], AbstractAsyncContextManager[Engine]]


def open_file(folder: Path, clock: Clock) -> tuple[Database, EmbeddedStore]:
    path = folder / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    return database, EmbeddedStore(database, clock)


@asynccontextmanager
async def embedded(folder: Path, clock: Clock) -> AsyncIterator[Engine]:
    """The embedded engine; a second opening of the same folder finds what the first one kept."""
    database, store = open_file(folder, clock)
    broker = TableBroker()

    async def queued() -> list[str]:
        rows = await database.read(lambda connection: all_rows(connection, MESSAGES))
        return [bytes(message).decode() for (message,) in rows]

    async def handed() -> list[str]:
        return list(broker.handed)

    try:
        yield Engine(store, EmbeddedIntake(database, store, broker), queued, handed)
    finally:
        await store.close()


@asynccontextmanager
async def embedded_outbox(folder: Path, clock: Clock) -> AsyncIterator[Engine]:
    """The embedded store beside a broker with a commit of its own."""
    _, store = open_file(folder, clock)
    async with beside_a_broker(store, folder, clock) as engine:
        yield engine


@asynccontextmanager
async def mongodb(url: str, folder: Path, clock: Clock) -> AsyncIterator[Engine]:
    """The MongoDB store beside a broker; a second opening of the same URL finds what the first one kept."""
    from dts_core.stores.mongodb import open_store

    store = await open_store(StoreSettings(url=url, deadline_seconds=30), clock)
    async with beside_a_broker(store, folder, clock) as engine:
        yield engine


@asynccontextmanager
async def beside_a_broker(store: Store, folder: Path, clock: Clock) -> AsyncIterator[Engine]:
    broker = FileBroker(folder / "messages")
    intake = OutboxIntake(store, broker, clock)

    async def queued() -> list[str]:
        return broker.kept()

    async def handed() -> list[str]:
        return [outgoing.message.message_id for outgoing in broker.published]

    try:
        yield Engine(store, intake, queued, handed, broker)
    finally:
        await intake.close()
        await store.close()


MESSAGES = "SELECT message FROM messages ORDER BY seq"
STORES = ("embedded", "mongodb")
INTAKES = ("embedded", "embedded-outbox", "mongodb")


def opener(name: str, url: Callable[[], str]) -> Opener:
    """How to open an engine; `url` is asked for an empty database where it needs one."""
    if name == "mongodb":
        return partial(mongodb, url())
    return {"embedded": embedded, "embedded-outbox": embedded_outbox}[name]


class FileBroker(RecordingBroker):
    """A broker whose messages outlive it, in a file. It may fail before or after it kept them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._fails_after = False
        self.on_publish: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Called when a message is kept, before its publisher hears of it."""

    def kept(self) -> list[str]:
        return self._path.read_text().split() if self._path.exists() else []

    def fail(self, when: str) -> None:
        """From now on: nothing is kept (`before`), or it is, but its publisher does not hear of it (`after`)."""
        self._fails_after = when == "after"
        self.failure = BrokerUnavailable("the broker is away.")

    def heal(self) -> None:
        self.failure = None

    async def publish(self, items: Sequence[Outgoing]) -> None:
        if self.failure is None or self._fails_after:
            with self._path.open("a") as file:
                file.writelines(f"{item.message.message_id}\n" for item in items)
            if self.on_publish is not None:
                await self.on_publish()
        await super().publish(items)


class TableBroker:
    """The least broker that an intake needs: messages in their table, handed to nobody."""

    def __init__(self) -> None:
        self.handed: list[str] = []

    def prepare(self, items: Sequence[Outgoing]) -> "Prepared":
        return Prepared(self, items)


class Prepared:
    def __init__(self, broker: TableBroker, items: Sequence[Outgoing]) -> None:
        self._broker = broker
        self._items = list(items)

    def write(self, connection: Connection, only: Sequence[int] | None = None) -> None:
        if only is not None:
            self._items = [self._items[at] for at in only]
        for item in self._items:
            connection.execute(
                "INSERT INTO messages(queue, priority, published, message) VALUES(?,?,?,?)",
                (item.queue, item.message.priority, 0, item.message.message_id.encode()),
            )

    def done(self) -> None:
        self._broker.handed += [item.message.message_id for item in self._items]
