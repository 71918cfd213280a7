"""The client's side of a link: a Broker over any byte stream, which comes back by itself.

    broker = await LinkBroker.connect(unix_stream(path), host="a", worker="a-1")

While the stream is away, calls wait for it up to their deadline; consumers and subscriptions go on by themselves when
it is back. Unacked deliveries of plain queues are then handed out anew, under new tags. Deliveries of claimed queues
whose claim is still this worker's own go on under their old tags: the worker acks them as if nothing had happened, and
stops the runs that `on_resumed` reports as not its own.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from dts_core.brokers import frames
from dts_core.brokers.base import (
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.link_ends import (
    Claim,
    LinkConsumption,
    LinkSubscription,
    consume_frame,
    guarded,
    subscribe_frame,
)
from dts_core.brokers.link_questions import Questions
from dts_core.brokers.link_streams import Streams
from dts_core.brokers.wire import OpenStream, Wire
from dts_core.errors import BrokerUnavailable, CodecError
from dts_core.model import QueueStats

DEADLINE_SECONDS: Final = 5.0
WELCOME_SECONDS: Final = 60.0
"""How long an owner that is there may take to answer the hello and what follows it: it may stand still for a while, and
another stream would only wait behind this one."""

_RARE: Final = frozenset({frames.Failed, frames.Gone, frames.Bye, frames.Welcome})

Resumed = list[tuple[str, int, bool, int | None]]
"""(job, epoch, whether it is still ours, the tag of its delivery, None when it was acked)"""


def unix_stream(path: Path) -> OpenStream:
    """Opens the Unix socket at `path`."""

    async def open_stream() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(path, limit=frames.READ_SIZE)

    return open_stream


class LinkBroker:
    """A Broker at the far end of a stream. Make it with `connect`; `close` says good-bye.

    Args:
        open_stream: Makes a new stream to the owner.
        host: Who consumes; results are accepted only with this host in them.
        worker: The worker's name, unique; one that comes back ends its former link.
        ping_seconds: How often the owner hears from here at least.
        lost_seconds: The owner is lost after so long a silence.
        deadline_seconds: For every call; BrokerUnavailable when it passes.
        welcome_seconds: For the owner's answer to a new stream.

    Attributes:
        holding: Gives the (job, epoch) that still run here; asked at each new stream. None: what is unacked here.
        on_resumed: Told which of those are still this worker's own.
        on_state: Told when the stream comes (True) and goes (False), and why.
    """

    def __init__(
        self, open_stream: OpenStream, *, host: str = "", worker: str = "",
        ping_seconds: float = frames.PING_SECONDS, lost_seconds: float = frames.LOST_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS, welcome_seconds: float = WELCOME_SECONDS,
    ) -> None:  # fmt: skip
        self.holding: Callable[[], Sequence[Claim]] | None = None
        self.on_resumed: Callable[[Resumed], None] | None = None
        self.on_state: Callable[[bool, str], None] = lambda connected, why: None
        self._host = host
        self._worker = worker
        self._deadline_seconds = deadline_seconds
        self._welcome_seconds = welcome_seconds
        self._instance = secrets.token_hex(8)
        self._greetings = 0
        self._questions = Questions()
        self._streams = Streams(
            open_stream, ping_seconds=ping_seconds, lost_seconds=lost_seconds,
            open_seconds=deadline_seconds, on_frame=self._on_frame, before_flush=self._send_acks,
            greet=self._greet, built=self._built, over=self._questions.lose,
            lost=lambda why: self.on_state(False, why),
        )  # fmt: skip
        self._welcomed: asyncio.Future[frames.Welcome] | None = None
        self._declared: dict[str, QueueSpec] = {}
        self._consumptions: dict[int, LinkConsumption] = {}
        self._subscriptions: dict[int, LinkSubscription] = {}
        self._acks: dict[int, list[int]] = {}
        self._is_closed = False

    @classmethod
    async def connect(
        cls, open_stream: OpenStream, *, timeout_seconds: float = 10.0, **options: Any
    ) -> "LinkBroker":
        """Make a broker and wait for its first stream.

        Args:
            open_stream: Makes a new stream to the owner.
            timeout_seconds: How long to wait.
            options: As of the class.

        Raises:
            BrokerUnavailable: Nobody there in time; the message says what was met last.
        """
        broker = cls(open_stream, **options)
        try:
            await broker.start(timeout_seconds=timeout_seconds)
        except BaseException:
            await broker.close()
            raise
        return broker

    async def start(self, *, timeout_seconds: float = 10.0) -> None:
        """Begin, and wait for the first stream; it is tried for on after a failure, until `close`.

        Raises:
            BrokerUnavailable: Nobody there in time.
        """
        await self._streams.start(timeout_seconds)

    @property
    def is_connected(self) -> bool:
        """Whether there is a stream now, with everything re-established on it."""
        return self._streams.ready.is_set()

    @property
    def _wire(self) -> Wire | None:
        return self._streams.wire

    # --- each stream

    async def _greet(self, wire: Wire, running: "asyncio.Task[str]") -> None:
        """Say hello, take the answer, and re-establish everything that this broker has."""
        self._acks.clear()
        self._welcomed = asyncio.get_running_loop().create_future()
        holding = self._held()
        self._greetings += 1
        wire.send(
            frames.Hello(
                frames.VERSION, self._host, self._worker, holding, self._instance, self._greetings
            )
        )
        async with asyncio.timeout(self._welcome_seconds):
            await asyncio.wait((self._welcomed, running), return_when=asyncio.FIRST_COMPLETED)
        if not self._welcomed.done():
            why = running.result()
            raise self._streams.failure or BrokerUnavailable(why)
        welcome = self._welcomed.result()
        adopted = self._resume(holding, welcome.mine)
        for subscription in self._subscriptions.values():
            subscription.carry_over()
        makers: list[Callable[[int], frames.Frame]] = [
            *(partial(frames.Declare, spec=spec) for spec in self._declared.values()),
            *(partial(consume_frame, c, adopted) for c in self._consumptions.values()),
            *(partial(subscribe_frame, s) for s in self._subscriptions.values()),
        ]
        questions = [self._question(wire, make) for make in makers]
        async with asyncio.timeout(self._welcome_seconds):
            await asyncio.gather(*questions)

    def _built(self) -> None:
        for consumption in list(self._consumptions.values()):
            consumption.send_late()
        self.on_state(True, "")

    def _held(self) -> list[Claim]:
        if self.holding is not None:
            return list(self.holding())
        return [claim for c in self._consumptions.values() for claim in c.claims.values()]

    def _resume(self, holding: list[Claim], mine: list[bool]) -> frozenset[Claim]:
        """Forget what is not ours any more and tell the worker; returns the claims that go on."""
        own = frozenset(claim for claim, is_mine in zip(holding, mine, strict=False) if is_mine)
        tags: dict[Claim, int] = {}
        for consumption in self._consumptions.values():
            kept = {tag: claim for tag, claim in consumption.claims.items() if claim in own}
            consumption.claims = kept
            tags.update({claim: tag for tag, claim in kept.items()})
        if holding and self.on_resumed is not None:
            self.on_resumed([(*claim, claim in own, tags.get(claim)) for claim in holding])
        return own

    def _on_frame(self, frame: Any) -> None:
        kind = type(frame)
        if kind is frames.Deliver:
            consumption = self._consumptions.get(frame.consumer)
            if consumption is not None and frame.items:
                guarded(consumption.deliver, frame)
        elif kind is frames.Done:
            for number in frame.numbers:
                self._questions.settle(number, None)
        elif kind is frames.Heard:
            subscription = self._subscriptions.get(frame.subscription)
            if subscription is not None:
                guarded(subscription.hear, frame)
        elif kind is frames.Reply:
            self._questions.settle(frame.number, frame.message)
        elif kind in _RARE:
            self._on_rare(frame)
        else:
            self._questions.settle(frame.number, frame.items)

    def _on_rare(self, frame: Any) -> None:
        kind = type(frame)
        if kind is frames.Failed:
            self._failed(frame)
        elif kind is frames.Gone:
            self._gone(frame.claims)
        elif kind is frames.Bye:
            self._streams.failure = BrokerUnavailable(frame.reason or "the owner said good-bye.")
        elif self._welcomed is None or self._welcomed.done():
            raise CodecError("a second welcome.")
        else:
            self._welcomed.set_result(frame)

    def _gone(self, claims: list[Claim]) -> None:
        """Forget claims that somebody else has now, and tell the worker."""
        lost = set(claims)
        for consumption in self._consumptions.values():
            kept = {tag: claim for tag, claim in consumption.claims.items() if claim not in lost}
            consumption.claims = kept
        if self.on_resumed is not None:
            self.on_resumed([(*claim, False, None) for claim in claims])

    def _failed(self, frame: frames.Failed) -> None:
        error = frames.error_of(frame)
        if frame.number == 0:
            self._streams.failure = error
        else:
            self._questions.fail(frame.number, error)

    # --- frames out

    def send(self, frame: frames.Frame) -> None:
        """Send what needs no answer; without a stream it is dropped, since a new stream starts from what is known."""
        if self._wire is not None:
            self._send_acks()
            self._wire.send(frame)

    def send_ack(self, consumption: LinkConsumption, tags: Sequence[int]) -> None:
        """Send acks, together with the others of this loop turn."""
        if self._wire is not None:
            self._acks.setdefault(consumption.number, []).extend(tags)
            self._wire.flush_soon()

    def _send_acks(self) -> None:
        if self._acks and self._wire is not None:
            acks, self._acks = self._acks, {}
            for consumer, tags in acks.items():
                self._wire.send(frames.Ack(consumer, tags))

    def _question(self, wire: Wire, make: Callable[[int], frames.Frame]) -> "asyncio.Future[Any]":
        self._send_acks()
        return self._questions.ask(wire, make)

    async def _ask(self, make: Callable[[int], frames.Frame], seconds: float | None = None) -> Any:
        if self._is_closed:
            raise BrokerUnavailable("the link is closed.")
        try:
            async with asyncio.timeout(self._deadline_seconds if seconds is None else seconds):
                while self._wire is None or not self.is_connected:
                    await self._streams.ready.wait()
                return await self._question(self._wire, make)
        except TimeoutError:
            raise BrokerUnavailable(
                "no answer over the link in time; the outcome is unknown."
                if self.is_connected
                else "the link is away."
            ) from None

    # --- the Broker's interface

    async def declare(self, spec: QueueSpec) -> None:
        """Make the queue when it is not there. Idempotent."""
        await self._ask(lambda number: frames.Declare(number, spec))
        self._declared[spec.name] = spec

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish in order; returns once every item of a work queue is durable.

        Raises:
            ResultRefused: Results for claims not held; `refused` lists them, the others were published.
            BrokerUnavailable: The outcome is unknown.
            TooLarge: A message exceeds a frame; it and those behind it are not published.
        """
        if sum(len(item.message.body) for item in items) <= frames.BATCH_BYTES:
            if items:
                await self._ask(lambda number: frames.Publish(number, list(items)))
            return
        for item in items:
            await self._ask(partial(frames.Publish, items=[item]))

    async def fanout(self, exchange: str, message: Message) -> None:
        """Hand the message to every subscriber there is now."""
        await self._ask(lambda number: frames.Fanout(number, exchange, message))

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> LinkConsumption:
        """Start taking from a declared queue; goes on by itself over every later stream.

        Raises:
            QueueNotFound: It was never declared.
            Forbidden: Not for this side of a link.
        """
        number = self._questions.number()
        consumption = LinkConsumption(self, number, queue, on_deliveries, prefetch)
        self._consumptions[consumption.number] = consumption
        try:
            await self._ask(partial(consume_frame, consumption, frozenset()))
        except BaseException:
            del self._consumptions[consumption.number]
            raise
        asyncio.get_running_loop().call_soon(consumption.begin)
        return consumption

    async def stop(self, consumption: LinkConsumption) -> None:
        """End a consumer; without a stream there is nothing to end."""
        self._consumptions.pop(consumption.number, None)
        if self._wire is not None and self.is_connected:
            with contextlib.suppress(BrokerUnavailable):  # gone with its stream
                await self._ask(lambda number: frames.Stop(number, consumption.number))

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> LinkSubscription:
        """Hear a fanout from now on; goes on by itself over every later stream."""
        number = self._questions.number()
        subscription = LinkSubscription(self, number, exchange, on_message, limit)
        self._subscriptions[subscription.number] = subscription
        try:
            await self._ask(partial(subscribe_frame, subscription))
        except BaseException:
            del self._subscriptions[subscription.number]
            raise
        return subscription

    def unsubscribe(self, subscription: LinkSubscription) -> None:
        """End a subscription."""
        if self._subscriptions.pop(subscription.number, None) is not None:
            self.send(frames.Unsubscribe(subscription.number))

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """Ask and wait for the answer.

        Raises:
            BrokerUnavailable: Nobody answered in time.
        """
        answer: Message = await self._ask(
            lambda number: frames.Request(number, queue, message, timeout_seconds),
            timeout_seconds + 0.5,
        )
        return answer

    async def stats(self) -> list[QueueStats]:
        """Every declared queue, by name."""
        items: list[QueueStats] = await self._ask(frames.AskStats)
        return items

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first."""
        items: list[DeadLetter] = await self._ask(
            lambda number: frames.AskDead(number, limit, before)
        )
        return items

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Put dead letters back into the queues they came from; how many there were."""
        count: int = await self._ask(lambda number: frames.SendAgain(number, list(seqs)))
        return count

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Throw dead letters away for good; how many there were."""
        count: int = await self._ask(lambda number: frames.DiscardDead(number, list(seqs)))
        return count

    async def pause(self, queue: str) -> None:
        """Hand nothing out from this queue until `resume`.

        Raises:
            QueueNotFound: It was never declared.
        """
        await self._ask(lambda number: frames.SetPaused(number, queue, on=True))

    async def resume(self, queue: str) -> None:
        """Hand out again.

        Raises:
            QueueNotFound: It was never declared.
        """
        await self._ask(lambda number: frames.SetPaused(number, queue, on=False))

    async def close(self) -> None:
        """Say good-bye: deliveries go back uncharged. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._send_acks()
        await self._streams.close()
