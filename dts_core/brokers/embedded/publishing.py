"""Publishing: one publication joins the caller's transaction, many of one loop turn share one."""

import asyncio
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from dts_core.brokers.base import Outgoing, QueueKind
from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.outlets import Outlet, Outlets
from dts_core.brokers.embedded.queues import PRIORITIES, Entry, MemoryQueue, WorkQueue
from dts_core.brokers.embedded.replies import Replies, is_reply
from dts_core.clock import Clock
from dts_core.errors import BrokerUnavailable, TooLarge
from dts_core.sqlite import Connection, Database

MESSAGE_MAX: Final = (8 << 20) - (64 << 10)
"""Largest message body, in bytes; with its properties it fits one frame of a link."""


class PreparedPublish:
    """A publication that becomes durable with somebody else's writes.

    Made by `EmbeddedBroker.prepare` on the loop; `write` runs in the transaction, in the writing thread; `done` is
    called on the loop once that transaction is committed. Without it nothing is delivered before the next start.
    """

    def __init__(
        self, publisher: "Publisher", items: Sequence[Outgoing], outlets: Sequence[Outlet], published: int
    ) -> None:  # fmt: skip
        self.first = 0
        self.last = 0
        self._publisher = publisher
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
        self.first = self._publisher.allot(len(rows))
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
        self._publisher.announced(self, touched.values())


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


class Publisher:
    """Checks messages, numbers their rows and writes them; what is for memory is there at once.

    Args:
        replies: Takes what is an answer to somebody in this process.
        wake: Has a queue hand out.

    Attributes:
        next_seq: The number of the next row; after the start only the writing thread moves it.
    """

    def __init__(
        self, database: Database, clock: Clock, outlets: Outlets, *, replies: Replies, wake: Callable[[Outlet], None]
    ) -> None:  # fmt: skip
        self.next_seq = 0
        self._clock = clock
        self._outlets = outlets
        self._replies = replies
        self._wake = wake
        self._group = Group(database, self.prepare)
        self._unannounced: weakref.WeakSet[PreparedPublish] = weakref.WeakSet()

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """See EmbeddedBroker.prepare."""
        outlets = [self._checked(item) for item in items]
        published = int(self._clock.now().timestamp() * 1_000_000)
        prepared = PreparedPublish(self, items, outlets, published)
        self._unannounced.add(prepared)
        return prepared

    def allot(self, count: int) -> int:
        """The first of `count` new row numbers; only in the writing thread."""
        first = self.next_seq
        self.next_seq += count
        return first

    def announced(self, prepared: PreparedPublish, outlets: Iterable[Outlet]) -> None:
        """A publication is visible now."""
        self._unannounced.discard(prepared)
        for outlet in outlets:
            self._wake(outlet)

    def hidden(self) -> list[tuple[int, int]]:
        """(first, last) row of each publication that may be committed and is not announced yet."""
        return [
            (each.first, each.last) for each in self._unannounced if each.last >= each.first > 0
        ]

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None] | None:
        """See EmbeddedBroker.publish_soon."""
        durable: list[Outgoing] = []
        memory: list[Outgoing] = []
        for item in items:
            if is_reply(item.queue):
                memory.append(item)
                continue
            queue = self._checked(item).queue
            if (
                isinstance(queue, MemoryQueue)
                and queue.spec.kind is QueueKind.REQUEST
                and queue.is_full
            ):
                raise BrokerUnavailable(f"the queue {queue.name} is full.")
            (durable if queue.durable else memory).append(item)
        for item in memory:
            self._push(item)
        return self._group.add(durable) if durable else None

    def _checked(self, item: Outgoing) -> Outlet:
        if len(item.message.body) > MESSAGE_MAX:
            raise TooLarge(
                f"a message of {len(item.message.body)} bytes exceeds the limit of {MESSAGE_MAX}."
            )
        return self._outlets.known(item.queue)

    def _push(self, item: Outgoing) -> None:
        if is_reply(item.queue):
            self._replies.answer(item)
            return
        outlet = self._outlets.known(item.queue)
        if isinstance(outlet.queue, MemoryQueue):
            outlet.queue.push(item.message, self._clock.now().timestamp())
            outlet.queue.figures.published += 1
            self._wake(outlet)


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
