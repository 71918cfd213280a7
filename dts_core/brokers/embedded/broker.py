"""The embedded broker's front: it checks, routes, and puts the pieces together."""

import asyncio
from collections.abc import Container, Sequence
from typing import Final

from dts_core.brokers.base import (
    ClaimDesk,
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.embedded.claiming import Desk, Tasks
from dts_core.brokers.embedded.dispatch import Dispatcher
from dts_core.brokers.embedded.fanouts import Fanout, Subscriber
from dts_core.brokers.embedded.filling import Filling
from dts_core.brokers.embedded.letters import Letters
from dts_core.brokers.embedded.links import Link
from dts_core.brokers.embedded.outlets import Outlet, Taking
from dts_core.brokers.embedded.publishing import PreparedPublish, Publisher
from dts_core.brokers.embedded.queues import MemoryQueue, WorkQueue, make_queue
from dts_core.brokers.embedded.reclaiming import reclaim
from dts_core.brokers.embedded.replies import Replies
from dts_core.clock import Clock, SystemClock
from dts_core.errors import BrokerUnavailable
from dts_core.model import QueueStats
from dts_core.sqlite import Database

PUBLISH_SECONDS: Final = 10.0
QUEUES_MAX: Final = 10_000
CLOSE_SECONDS: Final = 2.0
"""How long claims that are being given back may take when the broker closes."""


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
        self._clock = clock or SystemClock()
        self._desk = Desk()
        self._desk.desk = claims
        self._tasks = Tasks()
        self._dispatcher = Dispatcher(database, self._clock, self._desk, self._tasks)
        self._outlets, wake = self._dispatcher.outlets, self._dispatcher.wake
        self._fanouts: dict[str, Fanout] = {}
        self._replies = Replies()
        self._publisher = Publisher(
            database, self._clock, self._outlets, replies=self._replies, wake=wake
        )
        self._filling = Filling(
            database, self._outlets, self._tasks, hidden=self._publisher.hidden, wake=wake
        )
        self._letters = Letters(database, self._outlets, self._publisher)
        self._local = Link(self, "", "local")

    async def start(self) -> None:
        """Read what stands in the queues.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        self._publisher.next_seq = await self._filling.load()

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
        queue = make_queue(spec, self._filling.read_on)
        self._filling.begin(queue)
        self._outlets[spec.name] = Outlet(queue)

    # --- publishing

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """Check items for publication within another transaction (see PreparedPublish).

        Raises:
            QueueNotFound: A queue was never declared.
            TooLarge: A body exceeds MESSAGE_MAX.
        """
        return self._publisher.prepare(items)

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None] | None:
        """Publish; what is for memory is there at once, the future ends when the rest is durable.

        None instead of a future: there is nothing to wait for.

        Raises:
            QueueNotFound: A queue was never declared; nothing is published.
            TooLarge: A body exceeds MESSAGE_MAX; nothing is published.
            BrokerUnavailable: A queue of requests is full; nothing is published.
        """
        return self._publisher.publish_soon(items)

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

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """Publish with a `reply_to` of our own and wait for the answer.

        Raises:
            BrokerUnavailable: Nobody answered in time, or the queue is full.
            QueueNotFound: It was never declared.
        """
        question, answer = self._replies.expect(message)
        try:
            async with asyncio.timeout(timeout_seconds):
                written = self.publish_soon([Outgoing(queue, question)])
                if written is not None:
                    await written
                return await answer
        except TimeoutError:
            self._withdraw(queue, question.reply_to)
            raise BrokerUnavailable(
                f"nobody answered on {queue} in {timeout_seconds:g} seconds."
            ) from None
        finally:
            self._replies.forget(question.reply_to)

    def _withdraw(self, queue: str, reply_to: str) -> None:
        asked = self._outlets[queue].queue
        if isinstance(asked, MemoryQueue):
            asked.discard(lambda entry: entry.message.reply_to == reply_to)

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
        outlet = self._outlets.known(queue)
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
        if not claims:
            return
        outlet = self._outlets.get(results)
        self._tasks.start(
            reclaim(
                claims, results=None if outlet is None else outlet.queue,
                desk=self._desk, dispatcher=self._dispatcher,
            ),
            "reclaim",
        )  # fmt: skip

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
        return [self._outlets[name].stats(now) for name in sorted(self._outlets)]

    async def pause(self, queue: str) -> None:
        """Hand out nothing from a queue until `resume`."""
        self.set_paused(queue, on=True)

    async def resume(self, queue: str) -> None:
        """Hand out again."""
        self.set_paused(queue, on=False)

    def set_paused(self, queue: str, *, on: bool) -> None:
        """As `pause` and `resume`, for callers on the loop that do not wait."""
        outlet = self._outlets.known(queue)
        outlet.is_paused = on
        self._dispatcher.wake(outlet)

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500, fewer of large ones: an empty page is the end."""
        return await self._letters.page(limit, before)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Forget dead letters; returns how many there were."""
        return await self._letters.discard(seqs)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Publish dead letters again in their queues; returns how many there were.

        A job's message is dropped again when its job is over: run the job again instead.

        Raises:
            QueueNotFound: One of their queues is not declared; nothing is changed.
        """
        return await self._letters.send_again(seqs)

    async def close(self) -> None:
        """Hand nothing out any more and send the last acks to the file. A second call does nothing.

        Claims stay with their workers: a worker that comes back to the next owner goes on with them.
        """
        if not self._dispatcher.is_open:
            return
        self._dispatcher.stop()
        await self._tasks.close(grace_seconds=CLOSE_SECONDS)
        self._dispatcher.flush()
        self._replies.close()
