"""The embedded broker's front: it checks, routes, and puts the pieces together."""

import asyncio
import secrets
import weakref
from collections.abc import Container, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec
import structlog

from dts_core.brokers.base import (
    ClaimDesk,
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.claiming import Desk, Tasks
from dts_core.brokers.embedded.dispatch import Dispatcher
from dts_core.brokers.embedded.fanouts import Fanout, Subscriber
from dts_core.brokers.embedded.links import Link
from dts_core.brokers.embedded.outlets import Outlet, Taking
from dts_core.brokers.embedded.publishing import Group, PreparedPublish
from dts_core.brokers.embedded.queues import WINDOW, Entry, Lane, MemoryQueue, WorkQueue, make_queue
from dts_core.clock import Clock, SystemClock
from dts_core.errors import BrokerUnavailable, QueueNotFound, StoreError, TooLarge
from dts_core.model import QueueStats
from dts_core.sqlite import Connection, Database

MESSAGE_MAX: Final = (8 << 20) - (64 << 10)
"""Largest message body, in bytes; with its properties it fits one frame of a link."""
REPLY: Final = "reply."
"""Prefix of the names that answers go to."""
PUBLISH_SECONDS: Final = 10.0
QUEUES_MAX: Final = 10_000
DEAD_PAGE_MAX: Final = 500
READ_AGAIN_SECONDS: Final = 1.0
RECLAIM_SECONDS: Final = 0.1
RECLAIM_TRIES: Final = 100
"""So often it is looked whether the results that wait are recorded."""
CLOSE_SECONDS: Final = 2.0
"""How long claims that are being given back may take when the broker closes."""

log = structlog.get_logger(__name__)


class EmbeddedBroker:
    """Queues of one data folder, for the process that owns it. Call `start` before anything else.

    Its own `consume` and `subscribe` belong to a link named `local`; `attach` makes others. Deliveries are not written
    down: after a restart every message that was not acked is ready again. A queue's pause is not kept either.

    Args:
        database: The open file; closed by its owner after this broker.
        claims: Who grants claims; queues of jobs hand nothing out before it is known (`broker.claims = desk`).
        clock: For `published` and `died`.
    """

    def __init__(
        self, database: Database, *, claims: ClaimDesk | None = None, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._clock = clock or SystemClock()
        self._desk = Desk()
        self._desk.desk = claims
        self._tasks = Tasks()
        self._dispatcher = Dispatcher(database, self._clock, self._desk, self._tasks)
        self._outlets = self._dispatcher.outlets
        self._fanouts: dict[str, Fanout] = {}
        self._replies: dict[str, tuple[str, asyncio.Future[Message]]] = {}
        self._group = Group(database, self.prepare)
        self._publishing: weakref.WeakSet[PreparedPublish] = weakref.WeakSet()
        self._next_seq = 0
        self._standing: dict[str, list[tuple[int, int, float]]] = {}
        self._dead: dict[str, int] = {}
        self._local = Link(self, "", "local")

    async def start(self) -> None:
        """Read what stands in the queues.

        Raises:
            StoreUnavailable: The file cannot be read.
        """

        def load(
            connection: Connection,
        ) -> tuple[int, list[tuple[str, int, int, int]], list[tuple[str, int]]]:
            seq = journal.next_seq(connection)
            return seq, journal.standing(connection), journal.dead_counts(connection)

        self._next_seq, standing, dead = await self._database.read(load)
        for queue, priority, count, oldest in standing:
            self._standing.setdefault(queue, []).append((priority, count, oldest / 1_000_000))
        self._dead = dict(dead)

    @property
    def claims(self) -> ClaimDesk | None:
        """Who grants claims."""
        return self._desk.desk

    @claims.setter
    def claims(self, desk: ClaimDesk) -> None:
        self._desk.desk = desk
        for outlet in self._outlets.values():
            self._dispatcher.wake(outlet)

    def attach(self, *, host: str, worker: str) -> Link:
        """A link of its own for another consumer side; close or lose it when that side goes."""
        return Link(self, host, worker)

    # --- queues

    async def declare(self, spec: QueueSpec) -> None:
        """Make the queue when it is not there. Idempotent."""
        self.declare_now(spec)

    def declare_now(self, spec: QueueSpec) -> None:
        """As `declare`, for callers on the loop that do not wait."""
        if spec.name in self._outlets:
            return
        if len(self._outlets) >= QUEUES_MAX:
            raise BrokerUnavailable(f"there are {QUEUES_MAX} queues, and no more are made.")
        queue = make_queue(spec, self._read_on)
        queue.figures.dead = self._dead.get(spec.name, 0)
        if isinstance(queue, WorkQueue):
            for priority, count, oldest in self._standing.pop(spec.name, []):
                lane = queue.lane(priority)
                lane.beyond, lane.oldest_beyond = count, oldest
                queue.ready += count
        self._outlets[spec.name] = Outlet(queue)

    def _outlet(self, name: str) -> Outlet:
        outlet = self._outlets.get(name)
        if outlet is None:
            raise QueueNotFound(f"there is no queue {name[:120]!r}.")
        return outlet

    def _read_on(self, queue: WorkQueue, lane: Lane) -> None:
        lane.reading = True
        self._tasks.start(self._read_lane(queue, lane), "read")

    async def _read_lane(self, queue: WorkQueue, lane: Lane) -> None:
        above, expected = lane.cursor, lane.beyond
        read = partial(
            journal.read_lane, queue=queue.name, priority=lane.priority, above=above, limit=WINDOW
        )
        try:
            rows = await self._database.read(read)
        except StoreError as error:
            log.warning("a queue cannot be read now", queue=queue.name, reason=str(error))
            await asyncio.sleep(READ_AGAIN_SECONDS)
            rows = None
        finally:
            lane.reading = False
        if rows:
            lane.read_on(self._entries(rows), rows[-1][0])
        elif rows is not None and lane.beyond:
            log.error("messages are missing in the file", queue=queue.name, count=expected)
            queue.ready -= min(expected, lane.beyond)
            lane.beyond = max(lane.beyond - expected, 0)
        if lane.wants_more():
            self._read_on(queue, lane)
        self._dispatcher.wake(self._outlets[queue.name])

    def _entries(self, rows: Sequence[journal.Row]) -> list[Entry]:
        """Rows as entries, without those whose publication is committed and not announced yet."""
        hidden = [(p.first, p.last) for p in self._publishing if p.last >= p.first > 0]
        return [
            Entry(seq, journal.unpack(blob), published / 1_000_000, deliveries)
            for seq, deliveries, published, blob in rows
            if not any(first <= seq <= last for first, last in hidden)
        ]

    # --- publishing

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """Check items for publication within another transaction (see PreparedPublish).

        Raises:
            QueueNotFound: A queue was never declared.
            TooLarge: A body exceeds MESSAGE_MAX.
        """
        outlets = [self._checked(item) for item in items]
        published = int(self._clock.now().timestamp() * 1_000_000)
        prepared = PreparedPublish(self, items, outlets, published)
        self._publishing.add(prepared)
        return prepared

    def _checked(self, item: Outgoing) -> Outlet:
        if len(item.message.body) > MESSAGE_MAX:
            raise TooLarge(
                f"a message of {len(item.message.body)} bytes exceeds the limit of {MESSAGE_MAX}."
            )
        return self._outlet(item.queue)

    def allot(self, count: int) -> int:
        """The first of `count` new row numbers; only in the writing thread."""
        first = self._next_seq
        self._next_seq += count
        return first

    def announced(self, prepared: PreparedPublish, outlets: Iterable[Outlet]) -> None:
        """A publication is visible now."""
        self._publishing.discard(prepared)
        for outlet in outlets:
            self._dispatcher.wake(outlet)

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None] | None:
        """Publish; what is for memory is there at once, the future ends when the rest is durable.

        None instead of a future: there is nothing to wait for.

        Raises:
            QueueNotFound: A queue was never declared; nothing is published.
            TooLarge: A body exceeds MESSAGE_MAX; nothing is published.
            BrokerUnavailable: A queue of requests is full; nothing is published.
        """
        durable: list[Outgoing] = []
        memory: list[Outgoing] = []
        for item in items:
            if item.queue.startswith(REPLY):
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

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish in order; returns once every item of a work queue is durable."""
        future = self.publish_soon(items)
        if future is None:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await future
        except TimeoutError:
            raise BrokerUnavailable("the disk did not confirm a message in time.") from None

    def _push(self, item: Outgoing) -> None:
        if item.queue.startswith(REPLY):
            self._answer(item)
            return
        outlet = self._outlet(item.queue)
        if isinstance(outlet.queue, MemoryQueue):
            outlet.queue.push(item.message, self._clock.now().timestamp())
            outlet.queue.figures.published += 1
            self._dispatcher.wake(outlet)

    def _answer(self, item: Outgoing) -> None:
        correlation, future = self._replies.get(item.queue, ("", None))
        if future is not None and not future.done() and item.message.correlation_id == correlation:
            future.set_result(item.message)

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """Publish with a `reply_to` of our own and wait for the answer.

        Raises:
            BrokerUnavailable: Nobody answered in time, or the queue is full.
            QueueNotFound: It was never declared.
        """
        name = REPLY + secrets.token_hex(12)
        correlation = message.correlation_id or name
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[name] = (correlation, future)
        question = msgspec.structs.replace(message, reply_to=name, correlation_id=correlation)
        try:
            async with asyncio.timeout(timeout_seconds):
                written = self.publish_soon([Outgoing(queue, question)])
                if written is not None:
                    await written
                return await future
        except TimeoutError:
            self._withdraw(queue, name)
            raise BrokerUnavailable(
                f"nobody answered on {queue} in {timeout_seconds:g} seconds."
            ) from None
        finally:
            del self._replies[name]

    def _withdraw(self, queue: str, name: str) -> None:
        outlet = self._outlets[queue]
        if isinstance(outlet.queue, MemoryQueue):
            outlet.queue.discard(lambda entry: entry.message.reply_to == name)

    # --- consuming

    async def consume(self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int) -> Taking:
        """Start taking from a declared queue, at most `prefetch` unacked.

        Raises:
            QueueNotFound: It was never declared.
        """
        return self.take(self._local, queue, on_deliveries, prefetch)

    def take(
        self, link: Link, queue: str, on_deliveries: OnDeliveries, prefetch: int, first_tag: int = 1,
        adopt: Sequence[tuple[int, str]] = (),
    ) -> Taking:  # fmt: skip
        """As `consume`, for a link."""
        outlet = self._outlet(queue)
        taking = Taking(self._dispatcher, outlet, link, on_deliveries, prefetch, first_tag)
        outlet.takings.append(taking)
        link.takings.add(taking)
        self._dispatcher.bind(taking, adopt)
        if isinstance(outlet.queue, WorkQueue):
            outlet.queue.take(0)  # begins to fill the windows
        self._dispatcher.wake(outlet)
        return taking

    async def still_held(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[bool]:
        """Whether each (job, epoch) is still the worker's own.

        Raises:
            BrokerUnavailable: It is not known yet.
            StoreUnavailable: The store cannot answer now.
        """
        return await self._desk.held(worker, claims)

    def adopt(self, link: Link, claims: Sequence[tuple[str, int]]) -> None:
        """Give a link that came back the claims that are still its own; `consume(adopt=...)` binds their deliveries."""
        self._dispatcher.adopt(link, claims)

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """What was granted to the worker and is not among its claims.

        Raises:
            StoreUnavailable: The store cannot answer now.
        """
        return await self._desk.unheld(worker, claims)

    def reclaim(self, claims: list[tuple[str, int]], *, results: str) -> None:
        """Give claims back, uncharged, that never reached their worker.

        What waits in the queue `results` is recorded first: it may be of these claims.
        """
        if claims:
            self._tasks.start(self._reclaim(claims, results), "reclaim")

    async def _reclaim(self, claims: list[tuple[str, int]], results: str) -> None:
        outlet = self._outlets.get(results)
        if outlet is not None:
            queue = outlet.queue
            ended = queue.figures.acked + queue.figures.dead
            recorded = ended + queue.ready + queue.figures.unacked
            for _ in range(RECLAIM_TRIES):
                if queue.figures.acked + queue.figures.dead >= recorded:
                    break
                await asyncio.sleep(RECLAIM_SECONDS)
            else:
                return  # their leases decide
        await self._desk.give_back(claims, "it never reached its worker")
        self._dispatcher.unpark({job for job, _ in claims})

    def release(self, link: Link, reason: str) -> None:
        """A link says good-bye."""
        self._dispatcher.release_link(link, reason)

    def lose(self, link: Link, reason: str, keep: Container[str]) -> None:
        """A link is gone."""
        self._dispatcher.lose(link, reason, keep)

    def abandon(self, link: Link) -> None:
        """The owner stops."""
        self._dispatcher.abandon(link)

    # --- fanouts

    async def fanout(self, exchange: str, message: Message) -> None:
        """Hand the message to every subscriber there is now."""
        self.fanout_now(exchange, message)

    def fanout_now(self, exchange: str, message: Message) -> None:
        """As `fanout`, for callers on the loop that do not wait."""
        fanout = self._fanouts.get(exchange)
        if fanout is not None:
            fanout.send(message)

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscriber:
        """Hear a fanout from now on, through a queue of at most `limit` messages."""
        return await self._local.subscribe(exchange, on_message, limit=limit)

    def listen(self, exchange: str, on_message: OnMessage, limit: int) -> Subscriber:
        """As `subscribe`, for a link."""
        return self._fanouts.setdefault(exchange, Fanout()).subscribe(on_message, limit)

    # --- what an operator sees and does

    async def stats(self) -> list[QueueStats]:
        """Every declared queue, by name."""
        now = self._clock.now().timestamp()
        return [_stats(self._outlets[name], now) for name in sorted(self._outlets)]

    async def pause(self, queue: str) -> None:
        """Hand out nothing from a queue until `resume`."""
        self.set_paused(queue, on=True)

    async def resume(self, queue: str) -> None:
        """Hand out again."""
        self.set_paused(queue, on=False)

    def set_paused(self, queue: str, *, on: bool) -> None:
        """As `pause` and `resume`, for callers on the loop that do not wait."""
        outlet = self._outlet(queue)
        outlet.is_paused = on
        self._dispatcher.wake(outlet)

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500, fewer of large ones: an empty page is the end."""
        limit = min(max(limit, 1), DEAD_PAGE_MAX)
        await self._database.write(_nothing)  # what was buried up to now is written down then
        return await self._database.read(
            partial(journal.dead_letters, limit=limit, before=max(before, 0))
        )

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Forget dead letters; returns how many there were."""
        taken = await self._database.write(partial(journal.take_dead, seqs=seqs), durable=True)
        self._count_dead(taken)
        return len(taken)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Publish dead letters again in their queues; returns how many there were.

        A job's message is dropped again when its job is over: run the job again instead.

        Raises:
            QueueNotFound: One of their queues is not declared; nothing is changed.
        """
        await self._database.write(_nothing)
        for queue in await self._database.read(partial(journal.dead_queues, seqs=seqs)):
            self._outlet(queue)
        count, after = 0, 0
        while letters := await self._database.read(
            partial(journal.dead_by_seq, seqs=seqs, after=after)
        ):
            count += await self._revive(letters)
            after = letters[-1].seq
        return count

    async def _revive(self, letters: Sequence[DeadLetter]) -> int:
        """Move dead letters back into their queues in one transaction; those taken meanwhile are left out."""
        prepared = self.prepare([Outgoing(letter.queue, letter.message) for letter in letters])
        numbers = [letter.seq for letter in letters]

        def move(connection: Connection) -> list[tuple[str, bytes]]:
            taken = [journal.take_dead(connection, [seq]) for seq in numbers]
            prepared.write(connection, [index for index, rows in enumerate(taken) if rows])
            return [row for rows in taken for row in rows]

        taken = await self._database.write(move, durable=True)
        prepared.done()
        self._count_dead(taken)
        return len(taken)

    def _count_dead(self, taken: Sequence[tuple[str, bytes]]) -> None:
        for queue, _ in taken:
            if queue in self._outlets:
                self._outlets[queue].queue.figures.dead -= 1

    async def close(self) -> None:
        """Hand nothing out any more and send the last acks to the file. A second call does nothing.

        Claims stay with their workers: a worker that comes back to the next owner goes on with them.
        """
        if not self._dispatcher.is_open:
            return
        self._dispatcher.is_open = False
        for outlet in self._outlets.values():
            if outlet.alarm is not None:
                outlet.alarm.cancel()
        await self._tasks.close(grace_seconds=CLOSE_SECONDS)
        self._dispatcher.flush()
        for _, future in self._replies.values():
            if not future.done():
                future.set_exception(BrokerUnavailable("the broker is closing."))


def _nothing(connection: Connection) -> None:
    """A write that only waits for those before it."""


def _stats(outlet: Outlet, now: float) -> QueueStats:
    queue = outlet.queue
    figures = queue.figures
    oldest = queue.oldest()
    return QueueStats(
        name=queue.name,
        ready=queue.ready,
        unacked=figures.unacked,
        consumers=len(outlet.takings),
        oldest_seconds=max(now - oldest, 0.0) if oldest else 0.0,
        published=figures.published,
        delivered=figures.delivered,
        acked=figures.acked,
        dropped=figures.dropped,
        dead=figures.dead,
        paused=outlet.is_paused,
    )
