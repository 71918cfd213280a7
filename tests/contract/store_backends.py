"""The engines that the store's contract is proved on: a name and a factory each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from dts_core.brokers.base import Outgoing
from dts_core.clock import Clock
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sqlite import Connection, Database, all_rows, prepare
from dts_core.stores.base import Intake, Store
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore

Ids = Callable[[], Coroutine[Any, Any, list[str]]]


class Engine:
    """One engine under test: the store, an intake beside it, the ids its queues hold, those it let consumers have."""

    def __init__(self, store: Store, intake: Intake, queued: Ids, handed: Ids) -> None:
        self.store = store
        self.intake = intake
        self.queued = queued
        self.handed = handed


Opener = Callable[[Path, Clock], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def embedded(folder: Path, clock: Clock) -> AsyncIterator[Engine]:
    """The embedded engine; a second opening of the same folder finds what the first one kept."""
    path = folder / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    store, broker = EmbeddedStore(database, clock), TableBroker()

    async def queued() -> list[str]:
        rows = await database.read(lambda connection: all_rows(connection, MESSAGES))
        return [bytes(message).decode() for (message,) in rows]

    async def handed() -> list[str]:
        return list(broker.handed)

    try:
        yield Engine(store, EmbeddedIntake(database, store, broker), queued, handed)
    finally:
        await store.close()


MESSAGES = "SELECT message FROM messages ORDER BY seq"
ENGINES: dict[str, Opener] = {"embedded": embedded}


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
