"""A link whose queues are a broker elsewhere: a gateway takes, claims and publishes there for a worker it launched.

The far end speaks the link as it does to an owner, so a job cannot tell the difference. The claims are this side's:
they are asked for in the worker's name, and what is lost with the stream is left to its lease.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Sequence
from typing import Any, Final

import msgspec
import structlog

from dts_core.brokers.base import (
    Consumption,
    DeadLetter,
    Delivery,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
    Subscription,
)
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.embedded.fanouts import Fanout, Subscriber
from dts_core.brokers.held import HeldClaims
from dts_core.brokers.link_policy import Pass
from dts_core.brokers.rabbitmq.vouching import passed_on
from dts_core.brokers.senders import HOST_USER
from dts_core.errors import BrokerUnavailable, Forbidden
from dts_core.model import QueueStats

__all__ = ["RelayLink"]

WAITING_MAX: Final = 256
"""Things that one link waits for at a time."""
Claims = list[tuple[str, int]]
log = structlog.get_logger(__name__)


class RelayLink:
    """See `link_side.Side`.

    Args:
        broker: Of this worker alone; closed with the link.
        own: Who the worker is.
        on_gone: Told of claims that are not the worker's any more.
    """

    def __init__(
        self, broker: ClaimingBroker, own: Pass, on_gone: Callable[[Claims], None]
    ) -> None:
        self.host = own.host
        self.worker = own.worker
        self.claims = HeldClaims()
        self._broker = broker
        self._on_gone = on_gone
        self._user = HOST_USER + own.host
        self._order = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._takings: list[RelayTaking] = []
        self._is_open = True
        broker.holding = self.claims.unreported
        broker.on_resumed = self._resumed

    # --- claims

    @property
    def held(self) -> int:
        """How many claims there are."""
        return len(self.claims)

    def holds(self, job: str, epoch: int) -> bool:
        """Whether a result for this claim may come from here."""
        return (job, epoch) in self.claims

    def reported(self, job: str, epoch: int) -> None:
        """The claim's result was published."""
        self.claims.reported(job, epoch)

    def _resumed(self, claims: "list[tuple[str, int, bool, int | None]]") -> None:
        gone = [(job, epoch) for job, epoch, is_ours, _ in claims if not is_ours]
        gone = [claim for claim in gone if self.claims.drop(*claim)]
        if gone:
            self._on_gone(gone)

    def silence(self, is_silent: bool) -> None:
        """While the far end is not heard nothing more is claimed for it."""
        for taking in self._takings:
            taking.rest(is_silent)

    # --- what the far end asks for

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Publish in the name of its host."""
        named = [Outgoing(item.queue, self._named(item.message)) for item in items]
        return self._start(self._broker.publish(named))

    def fanout_now(self, exchange: str, message: Message) -> None:
        """Never."""
        raise Forbidden("a launched worker sends to no fanout.")

    def declare_soon(self, spec: QueueSpec) -> asyncio.Future[None]:
        """See Side."""
        return self._start(self._in_turn(self._broker.declare(spec)))

    def take_soon(
        self, queue: str, on_deliveries: OnDeliveries, prefetch: int, first_tag: int,
        adopt: Sequence[tuple[int, str]],
    ) -> "tuple[RelayTaking, asyncio.Future[None]]":  # fmt: skip
        """See Side. The stream is the worker's only one: there is nothing to adopt."""
        del first_tag, adopt
        taking = RelayTaking(self, on_deliveries, prefetch)
        begun = self._start(self._in_turn(taking.begin(self._broker, queue)))
        self._takings.append(taking)
        return taking, begun

    def listen_soon(
        self, exchange: str, on_message: OnMessage, limit: int
    ) -> "tuple[RelayHeard, asyncio.Future[None]]":
        """See Side."""
        heard = RelayHeard(self, on_message, limit)
        return heard, self._start(self._in_turn(heard.begin(self._broker, exchange, limit)))

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        return await self._broker.request(
            queue, self._named(message), timeout_seconds=timeout_seconds
        )

    async def stats(self) -> list[QueueStats]:
        """Never."""
        raise Forbidden("a launched worker does not look at the queues.")

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """Never."""
        raise Forbidden("a launched worker does not look at dead letters.")

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Never."""
        raise Forbidden("a launched worker does not operate the queues.")

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Never."""
        raise Forbidden("a launched worker does not operate the queues.")

    def set_paused(self, queue: str, *, on: bool) -> None:
        """Never."""
        raise Forbidden("a launched worker does not operate the queues.")

    # --- its end

    async def close(self) -> None:
        """Everything goes back uncharged."""
        if self._end():
            await self._stop()
            await self._broker.close()

    def lose(self, reason: str, keep: Container[str] = frozenset()) -> None:
        """The worker is gone with all that it ran: its messages come to others, its claims end with their leases."""
        del reason, keep
        if self._end():
            self._start(self._abandon())

    def leave(self) -> None:
        """As `lose`: it does not come back."""
        self.lose("")

    def abandon(self) -> None:
        """As `lose`: it ends with this process."""
        self.lose("")

    async def ended(self) -> None:
        """Wait until everything that belongs to it has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _end(self) -> bool:
        was_open, self._is_open = self._is_open, False
        return was_open

    async def _abandon(self) -> None:
        await self._stop()
        await self._broker.abandon()

    async def _stop(self) -> None:
        own = asyncio.current_task()
        others = [task for task in self._tasks if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    # --- inside

    def _named(self, message: Message) -> Message:
        """The message with whom it comes from, as this side vouches for it."""
        return passed_on(msgspec.structs.replace(message, user_id=self._user))

    async def _in_turn(self, work: Coroutine[Any, Any, None]) -> None:
        """A consumer begins after its queue was made."""
        try:
            async with self._order:
                await work
        finally:
            work.close()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, which nobody waits for."""
        if self._is_open:
            self._start(work)
        else:
            work.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        if len(self._tasks) >= WAITING_MAX:
            work.close()
            raise BrokerUnavailable("too much at a time on one link.")
        task = asyncio.get_running_loop().create_task(work, name=f"relay-{self.host}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_looked_at)
        return task


class RelayTaking:
    """One consumer: passes deliveries on, and keeps the book of what they claim."""

    def __init__(self, link: RelayLink, on_deliveries: OnDeliveries, credit: int) -> None:
        self._link = link
        self._on_deliveries = on_deliveries
        self._credit = credit
        self._is_resting = False
        self._is_open = True
        self._inner: Consumption | None = None
        self._out: dict[int, tuple[str, int]] = {}

    async def begin(self, broker: ClaimingBroker, queue: str) -> None:
        """Take from now on."""
        self._inner = await broker.consume(queue, self._arrived, prefetch=self._credit)
        if self._is_open:
            self._regrant()
        else:
            await self._inner.close()

    def _arrived(self, deliveries: list[Delivery]) -> None:
        for each in deliveries:
            claim = each.message.message_id, each.epoch
            self._out[each.tag] = claim
            self._link.claims.add(*claim)
        self._on_deliveries(deliveries)

    def ack(self, tags: Sequence[int]) -> None:
        """See Taken."""
        for tag in tags:
            if (claim := self._out.pop(tag, None)) is not None:
                self._link.claims.acked(*claim)
        if self._inner is not None:
            self._inner.ack(tags)

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """See Taken."""
        for tag in tags:
            if (claim := self._out.pop(tag, None)) is not None:
                self._link.claims.drop(*claim)
        if self._inner is not None:
            self._inner.nack(tags, requeue=requeue, reason=reason)

    def grant(self, credit: int) -> None:
        """See Taken."""
        self._credit = max(credit, 0)
        self._regrant()

    def rest(self, is_resting: bool) -> None:
        """Take nothing for a while, or go on."""
        self._is_resting = is_resting
        self._regrant()

    def _regrant(self) -> None:
        if self._inner is not None and self._is_open:
            self._inner.grant(0 if self._is_resting else self._credit)

    def end(self) -> None:
        """See Taken."""
        self._is_open = False
        for claim in self._out.values():
            self._link.claims.drop(*claim)
        self._out.clear()
        if self._inner is not None:
            self._link.start(self._inner.close())


class RelayHeard:
    """One subscription, with a queue of its own that waits while the stream is full."""

    def __init__(self, link: RelayLink, on_message: OnMessage, limit: int) -> None:
        self._link = link
        self._fanout = Fanout()
        self._waiting: Subscriber = self._fanout.subscribe(on_message, limit)
        self._inner: Subscription | None = None
        self._is_open = True

    @property
    def dropped(self) -> int:
        """What was lost, here and at the broker."""
        return self._waiting.dropped + (0 if self._inner is None else self._inner.dropped)

    async def begin(self, broker: ClaimingBroker, exchange: str, limit: int) -> None:
        """Hear from now on."""
        self._inner = await broker.subscribe(exchange, self._fanout.send, limit=limit)
        if not self._is_open:
            await self._inner.close()

    def pause(self) -> None:
        """See Heard."""
        self._waiting.pause()

    def resume(self) -> None:
        """See Heard."""
        self._waiting.resume()

    def end(self) -> None:
        """See Heard."""
        self._is_open = False
        self._waiting.end()
        if self._inner is not None:
            self._link.start(self._inner.close())


def _looked_at(task: "asyncio.Task[None]") -> None:
    """Whoever waits for it has the error; of what nobody waits for it is said here."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.debug("something of a relayed link failed", reason=str(error))
