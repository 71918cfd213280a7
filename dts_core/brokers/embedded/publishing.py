"""Publishing: one publication joins the caller's transaction, many of one loop turn share one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dts_core.brokers.base import Outgoing
from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.outlets import Outlet
from dts_core.brokers.embedded.queues import PRIORITIES, Entry, WorkQueue
from dts_core.sqlite import Connection, Database

if TYPE_CHECKING:
    from dts_core.brokers.embedded.broker import EmbeddedBroker


class PreparedPublish:
    """A publication that becomes durable with somebody else's writes.

    Made by `EmbeddedBroker.prepare` on the loop; `write` runs in the transaction, in the writing thread; `done` is
    called on the loop once that transaction is committed. Without it nothing is delivered before the next start.
    """

    def __init__(
        self, broker: "EmbeddedBroker", items: Sequence[Outgoing], outlets: Sequence[Outlet], published: int
    ) -> None:  # fmt: skip
        self.first = 0
        self.last = 0
        self._broker = broker
        self._published = published
        self._items = [
            (item, outlet, _row(item, published))
            for item, outlet in zip(items, outlets, strict=True)
        ]

    def write(self, connection: Connection, only: Sequence[int] | None = None) -> None:
        """Write the rows.

        Args:
            connection: Of the transaction.
            only: Indexes of the items that are published; None: all. The others are forgotten.
        """
        if only is not None:
            self._items = [self._items[index] for index in only]
        rows = [row for _, outlet, row in self._items if outlet.queue.durable]
        self.first = self._broker.allot(len(rows))
        self.last = self.first + len(rows) - 1
        journal.insert(connection, self.first, rows)

    def done(self) -> None:
        """Make the committed messages visible. A second call does nothing."""
        items, self._items = self._items, []
        published = self._published / 1_000_000
        seq = self.first
        touched: dict[str, Outlet] = {}
        for item, outlet, _ in items:
            queue = outlet.queue
            queue.figures.published += 1
            if isinstance(queue, WorkQueue):
                queue.add(Entry(seq, item.message, published))
                seq += 1
            else:
                queue.push(item.message, published)
            touched[item.queue] = outlet
        self._broker.announced(self, touched.values())


class Group:
    """Publications of one loop turn, written as one."""

    def __init__(
        self, database: Database, prepare: Callable[[Sequence[Outgoing]], PreparedPublish]
    ) -> None:
        self._database = database
        self._prepare = prepare
        self._items: list[Outgoing] = []
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, items: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Have checked items of queues of work published; the future ends when they are durable."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        future: asyncio.Future[None] = loop.create_future()
        self._items += items
        self._waiting.append(future)
        return future

    def _send(self) -> None:
        items, self._items = self._items, []
        waiting, self._waiting = self._waiting, []
        try:
            prepared = self._prepare(items)
            written = self._database.write(prepared.write, durable=True)
        except Exception as error:  # noqa: BLE001 - belongs to those who wait
            _fail(waiting, error)
            return

        def committed(write: asyncio.Future[None]) -> None:
            if write.cancelled():
                _fail(waiting, asyncio.CancelledError())
            elif (error := write.exception()) is not None:
                _fail(waiting, error)
            else:
                prepared.done()
                for future in waiting:
                    if not future.done():
                        future.set_result(None)

        written.add_done_callback(committed)


def _fail(waiting: Sequence[asyncio.Future[None]], error: BaseException) -> None:
    for future in waiting:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)


def _row(item: Outgoing, published: int) -> journal.NewRow:
    priority = min(max(item.message.priority, 0), PRIORITIES - 1)
    return item.queue, priority, published, journal.pack(item.message)
