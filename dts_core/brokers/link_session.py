"""One link as the owner sees it: what the far end asks becomes calls on a broker's link of its own."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog

from dts_core.brokers import frames
from dts_core.brokers.base import Delivery, Message
from dts_core.brokers.embedded import EmbeddedBroker, Link, Taking
from dts_core.brokers.embedded.claiming import Tasks
from dts_core.brokers.embedded.fanouts import Subscriber
from dts_core.brokers.link_rules import Publication, Rules
from dts_core.brokers.wire import StreamReader, StreamWriter, Wire
from dts_core.errors import BrokerUnavailable, CodecError, DtsError, ResultRefused, TooLarge

QUESTIONS_MAX: Final = 256
"""Most questions of one link that are being answered at a time."""
CREDIT_MAX: Final = 100_000
SUBSCRIPTION_MAX: Final = 10_000
CONSUMERS_MAX: Final = 1_000

log = structlog.get_logger(__name__)


class Session:
    """Serves one stream.

    Args:
        broker: Whose queues.
        reader: Bytes from the client.
        writer: Bytes to the client.
        welcome: Called with the hello; gives the link and its rules, and which held claims are still its own.
        on_refused: Called with the (job, epoch) of refused results.
        ping_seconds: How often the client hears from here at least.
        lost_seconds: The client is lost after so long a silence.
    """

    def __init__(
        self, broker: EmbeddedBroker, reader: StreamReader, writer: StreamWriter, *,
        welcome: "Welcome", on_refused: Callable[["Session", list[tuple[str, int]]], None],
        ping_seconds: float, lost_seconds: float,
    ) -> None:  # fmt: skip
        self._broker = broker
        self._welcome = welcome
        self._on_refused = on_refused
        self._hello_seconds = lost_seconds
        self._tasks = Tasks()
        self._questions = 0
        self._takings: dict[int, Taking] = {}
        self._subscribers: dict[int, Subscriber] = {}
        self._heard: dict[int, list[Message]] = {}
        self._confirmed: list[int] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._comes_back = False
        self.instance = ""
        self.link: Link | None = None
        self.rules = Rules()
        self._greeted = False
        self.wire = Wire(
            reader, writer, frames.client_frames, self._on_frame,
            ping_seconds=ping_seconds, lost_seconds=lost_seconds,
        )  # fmt: skip
        self.wire.before_flush = self._before_flush
        self.wire.on_congested = self._on_congested

    async def run(self, *, keep_claims: Callable[[], bool], is_doubtful: Callable[[], bool]) -> str:
        """Serve until the stream ends; returns why.

        Args:
            keep_claims: Asked at the end: whether the owner stops, so that claims stay with their workers.
            is_doubtful: Asked at the end: whether this process stood still, so that the client may have left for that.
        """
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._hello_seconds, self._no_hello)
        why = "it was stopped."
        try:
            why = await self.wire.run()
        finally:
            self._deadline.cancel()
            await self._tasks.close()
            if self.link is not None:
                if keep_claims():
                    self.link.abandon()
                elif self._is_leaving:
                    await self.link.close()
                elif self._comes_back or is_doubtful():
                    self.link.leave()
                else:
                    self.link.lose(f"the link was lost: {why}")
        return why

    def _no_hello(self) -> None:
        if not self._greeted:
            self.refuse(BrokerUnavailable("no hello came."))

    def refuse(self, error: DtsError) -> None:
        """Tell the client why and end the link."""
        self.wire.send(frames.failure(0, error))
        self.wire.close()

    def leave(self) -> None:
        """The owner stops: tell the client."""
        self.wire.send(frames.Bye("the owner stops."))
        self.wire.close()

    # --- frames

    def _on_frame(self, frame: Any) -> None:
        if not self.wire.is_open:
            return
        if not self._greeted:
            if not isinstance(frame, frames.Hello):
                raise CodecError("the first frame was no hello.")
            self._greeted = True
            self._tasks.start(self._greet(frame), "hello")
            return
        if self.link is None:
            if isinstance(frame, frames.Bye):  # it did not wait for its welcome
                self.wire.close()
                return
            raise CodecError("frames before the welcome.")
        handler = _HANDLERS.get(type(frame))
        if handler is None:
            raise CodecError(f"an unexpected {type(frame).__name__} frame.")
        try:
            handler(self, self.link, frame)
        except DtsError as error:
            self._fail(getattr(frame, "number", 0), error)

    def _fail(self, number: int, error: DtsError) -> None:
        if number:
            self.wire.send(frames.failure(number, error))
        else:
            log.warning("a link asked for what it may not have", reason=str(error))

    async def _greet(self, hello: frames.Hello) -> None:
        if hello.version != frames.VERSION:
            self.refuse(
                BrokerUnavailable(
                    f"this owner speaks version {frames.VERSION} of the link, the client {hello.version}.",
                    advice="Use the same version of dts on both sides.",
                )
            )
            return
        try:
            self.link, self.rules, mine = await self._welcome(self, hello)
        except DtsError as error:
            self.refuse(error)
            return
        if not self.wire.is_open:
            return
        self.wire.send(frames.Welcome(frames.VERSION, mine))

    def _before_flush(self) -> None:
        if self._confirmed:
            numbers, self._confirmed = self._confirmed, []
            self.wire.send(frames.Done(numbers))
        if self._heard:
            heard, self._heard = self._heard, {}
            for number, messages in heard.items():
                subscriber = self._subscribers.get(number)
                if subscriber is not None:
                    self.wire.send(frames.Heard(number, messages, subscriber.dropped))

    def _on_congested(self, congested: bool) -> None:
        for subscriber in self._subscribers.values():
            if congested:
                subscriber.pause()
            else:
                subscriber.resume()

    def _confirm(self, number: int) -> None:
        self._confirmed.append(number)
        self.wire.flush_soon()

    # --- publishing

    def _publish(self, link: Link, frame: frames.Publish) -> None:
        passed = self.rules.publication(frame.items, link)
        future = self._broker.publish_soon(passed.items) if passed.items else None
        if future is None:
            self._published(link, frame.number, passed, None)
        else:
            future.add_done_callback(partial(self._published, link, frame.number, passed))

    def _published(
        self, link: Link, number: int, passed: Publication, future: asyncio.Future[None] | None
    ) -> None:
        if future is not None and future.cancelled():
            self._fail(number, BrokerUnavailable("the owner stops."))
            return
        if future is not None and (error := future.exception()) is not None:
            if isinstance(error, DtsError):
                self._fail(number, error)
            else:
                log.error("a publication failed", exc_info=error)
                self._fail(number, BrokerUnavailable("the owner failed to publish."))
            return
        for claim in passed.reported:
            link.reported(*claim)
        if not passed.refused:
            self._confirm(number)
            return
        self._on_refused(self, passed.refused)
        count = len(passed.refused)
        why = f"{count} results are for claims that are not held here."
        self._fail(number, ResultRefused(why, refused=passed.refused))

    def _fanout(self, link: Link, frame: frames.Fanout) -> None:
        self.rules.check_fanout(frame.exchange)
        self._broker.fanout_now(frame.exchange, frame.message)
        self._confirm(frame.number)

    # --- consuming

    def _declare(self, link: Link, frame: frames.Declare) -> None:
        self._broker.declare_now(self.rules.declared(frame.spec))
        self._confirm(frame.number)

    def _consume(self, link: Link, frame: frames.Consume) -> None:
        self.rules.check_consume(frame.queue)
        if frame.consumer in self._takings or len(self._takings) >= CONSUMERS_MAX:
            raise BrokerUnavailable("no more consumers on this link.")
        prefetch = min(frame.prefetch, CREDIT_MAX)
        self._takings[frame.consumer] = self._broker.take(
            link, frame.queue, partial(self._deliver, frame.consumer), prefetch,
            max(frame.first_tag, 1), frame.adopt,
        )  # fmt: skip
        self._confirm(frame.number)

    def _deliver(self, consumer: int, deliveries: list[Delivery]) -> None:
        sizes = [len(delivery.message.body) for delivery in deliveries]
        if sum(sizes) <= frames.BATCH_BYTES:
            self._send_deliveries(consumer, deliveries)
            return
        batch: list[Delivery] = []
        size = 0
        for delivery, length in zip(deliveries, sizes, strict=True):
            if batch and size + length > frames.BATCH_BYTES:
                self._send_deliveries(consumer, batch)
                batch, size = [], 0
            batch.append(delivery)
            size += length
        self._send_deliveries(consumer, batch)

    def _send_deliveries(self, consumer: int, deliveries: list[Delivery]) -> None:
        try:
            self.wire.send(frames.Deliver(consumer, deliveries))
        except TooLarge as error:
            tags = [delivery.tag for delivery in deliveries]
            self._takings[consumer].nack(tags, requeue=False, reason=error.message)

    def _ack(self, link: Link, frame: frames.Ack) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.ack(frame.tags)

    def _nack(self, link: Link, frame: frames.Nack) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.nack(frame.tags, requeue=frame.requeue, reason=frame.reason)

    def _grant(self, link: Link, frame: frames.Grant) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.grant(min(frame.credit, CREDIT_MAX))

    def _stop(self, link: Link, frame: frames.Stop) -> None:
        taking = self._takings.pop(frame.consumer, None)
        if taking is not None:
            taking.end()
        self._confirm(frame.number)

    # --- fanouts

    def _subscribe(self, link: Link, frame: frames.Subscribe) -> None:
        self.rules.check_subscribe(frame.exchange)
        if frame.subscription in self._subscribers or len(self._subscribers) >= CONSUMERS_MAX:
            raise BrokerUnavailable("no more subscriptions on this link.")
        limit = min(max(frame.limit, 1), SUBSCRIPTION_MAX)
        hear = partial(self._hear, frame.subscription)
        self._subscribers[frame.subscription] = link.listen(frame.exchange, hear, limit)
        self._confirm(frame.number)

    def _hear(self, subscription: int, message: Message) -> None:
        self._heard.setdefault(subscription, []).append(message)
        self.wire.flush_soon()

    def _unsubscribe(self, link: Link, frame: frames.Unsubscribe) -> None:
        subscriber = self._subscribers.pop(frame.subscription, None)
        if subscriber is not None:
            subscriber.end()

    # --- questions that take a while

    def _request(self, link: Link, frame: frames.Request) -> None:
        self.rules.check_request(frame.queue, frame.message, link)

        async def ask() -> frames.Frame:
            seconds = min(max(frame.timeout_seconds, 0.0), 60.0)
            answer = await self._broker.request(frame.queue, frame.message, timeout_seconds=seconds)
            return frames.Reply(frame.number, answer)

        self._ask(frame.number, ask)

    def _stats(self, link: Link, frame: frames.AskStats) -> None:
        self.rules.check_look()

        async def ask() -> frames.Frame:
            return frames.Stats(frame.number, await self._broker.stats())

        self._ask(frame.number, ask)

    def _dead(self, link: Link, frame: frames.AskDead) -> None:
        self.rules.check_look()

        async def ask() -> frames.Frame:
            page = await self._broker.dead_letters(limit=frame.limit, before=frame.before)
            return frames.Dead(frame.number, page)

        self._ask(frame.number, ask)

    def _send_again(self, link: Link, frame: frames.SendAgain) -> None:
        self.rules.check_operate()

        async def ask() -> frames.Frame:
            return frames.Counted(frame.number, await self._broker.send_again(frame.seqs))

        self._ask(frame.number, ask)

    def _discard_dead(self, link: Link, frame: frames.DiscardDead) -> None:
        self.rules.check_operate()

        async def ask() -> frames.Frame:
            return frames.Counted(frame.number, await self._broker.discard_dead(frame.seqs))

        self._ask(frame.number, ask)

    def _set_paused(self, link: Link, frame: frames.SetPaused) -> None:
        self.rules.check_operate()
        self._broker.set_paused(frame.queue, on=frame.on)
        self._confirm(frame.number)

    def _ask(self, number: int, ask: Callable[[], Any]) -> None:
        if self._questions >= QUESTIONS_MAX:
            raise BrokerUnavailable("too many questions at a time on one link.")
        self._questions += 1
        self._tasks.start(self._answer(number, ask), "answer")

    async def _answer(self, number: int, ask: Callable[[], Any]) -> None:
        try:
            self.wire.send(await ask())
        except DtsError as error:
            self._fail(number, error)
        finally:
            self._questions -= 1

    def _bye(self, link: Link, frame: frames.Bye) -> None:
        self._is_leaving, self._comes_back = not frame.keeps, frame.keeps
        self.wire.close()


Welcome = Callable[[Session, frames.Hello], Any]
"""Gives (link, rules, mine) for a hello; see `link_server`."""

_HANDLERS: Final[dict[type[frames.Frame], Callable[[Session, Link, Any], None]]] = {
    frames.Publish: Session._publish,
    frames.Fanout: Session._fanout,
    frames.Declare: Session._declare,
    frames.Consume: Session._consume,
    frames.Ack: Session._ack,
    frames.Nack: Session._nack,
    frames.Grant: Session._grant,
    frames.Stop: Session._stop,
    frames.Subscribe: Session._subscribe,
    frames.Unsubscribe: Session._unsubscribe,
    frames.Request: Session._request,
    frames.AskStats: Session._stats,
    frames.AskDead: Session._dead,
    frames.SendAgain: Session._send_again,
    frames.DiscardDead: Session._discard_dead,
    frames.SetPaused: Session._set_paused,
    frames.Bye: Session._bye,
}
