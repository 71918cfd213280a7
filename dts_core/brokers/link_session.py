"""One link as the owner sees it: what the far end asks becomes calls on a broker's link of its own."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import structlog

from dts_core.brokers import frames
from dts_core.brokers.base import Delivery, Message
from dts_core.brokers.embedded.claiming import Tasks
from dts_core.brokers.link_policy import Pass, check_hello
from dts_core.brokers.link_rules import Publication, Rules
from dts_core.brokers.link_side import Heard, Side, Taken
from dts_core.brokers.wire import StreamReader, StreamWriter, Wire
from dts_core.errors import (
    BrokerUnavailable,
    CodecError,
    DtsError,
    Forbidden,
    ResultRefused,
    TooLarge,
)
from dts_core.text import one_line

QUESTIONS_MAX: Final = 256
"""Most questions of one link that are being answered at a time."""
CLOSE_SECONDS: Final = 2.0
SUBSCRIPTION_MAX: Final = 10_000
CONSUMERS_MAX: Final = 1_000

log = structlog.get_logger(__name__)


class Session:
    """Serves one stream.

    Args:
        reader: Bytes from the client.
        writer: Bytes to the client.
        welcome: Called with the hello; gives the link and its rules, and which held claims are still its own.
        on_refused: Called with the (job, epoch) of refused results.
        ping_seconds: How often the client hears from here at least.
        lost_seconds: The client is lost after so long a silence.
    """

    def __init__(
        self, reader: StreamReader, writer: StreamWriter, *,
        welcome: "Welcome", on_refused: Callable[["Session", list[tuple[str, int]]], None],
        ping_seconds: float, lost_seconds: float,
    ) -> None:  # fmt: skip
        self._welcome = welcome
        self._on_refused = on_refused
        self._writer = writer
        self._hello_seconds = lost_seconds
        self._tasks = Tasks()
        self._questions = 0
        self._takings: dict[int, Taken] = {}
        self._subscribers: dict[int, Heard] = {}
        self._heard: dict[int, list[Message]] = {}
        self._confirmed: list[int] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._is_leaving = False
        self._comes_back = False
        self.is_only = False
        """Whether this stream is the only one that its client will ever have."""
        self.instance = ""
        self.link: Side | None = None
        self.rules = Rules()
        self._greeted = False
        self.forbidden = 0
        """How often it tried what it may not."""
        self.on_forbidden: Callable[[DtsError], None] = lambda error: None
        self.wire = Wire(
            reader, writer, frames.client_frames, self._on_frame,
            ping_seconds=ping_seconds, lost_seconds=lost_seconds,
        )  # fmt: skip
        self.wire.before_flush = self._before_flush
        self.wire.on_congested = self._on_congested
        self.wire.on_silence = self._on_silence

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
                elif (self._comes_back and not self.is_only) or is_doubtful():
                    self.link.leave()
                else:
                    self.link.lose(f"the link was lost: {why}")
        return why

    async def closed(self) -> None:
        """Wait until the stream is closed; a peer that does not read any more is cut."""
        await _closed(self._writer)

    def _no_hello(self) -> None:
        if not self._greeted:
            self.refuse(BrokerUnavailable("no hello came."))

    def refuse(self, error: DtsError) -> None:
        """Tell the client why and end the link."""
        self.wire.send(frames.failure(0, error))
        self.wire.close()

    @property
    def held(self) -> int:
        """How many claims its client holds."""
        return 0 if self.link is None else self.link.held

    def dismiss(self, reason: str) -> None:
        """End the link from this side; what it holds goes back uncharged."""
        self._is_leaving = True
        self.wire.send(frames.Bye(one_line(reason)))
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
        except (Forbidden, CodecError) as error:
            self._forbid(frame, error)
        except DtsError as error:
            self._fail(getattr(frame, "number", 0), error)

    def _forbid(self, frame: Any, error: DtsError) -> None:
        """Refuse what may not be; whoever goes on trying is sent away."""
        self.forbidden += 1
        self._fail(getattr(frame, "number", 0), error)
        most = self.rules.refusals_max
        if most is None:
            return
        self.on_forbidden(error)
        if self.forbidden > most:
            self.refuse(Forbidden("it went on trying what it may not."))

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

    def _on_silence(self, is_silent: bool) -> None:
        if self.link is not None:
            self.link.silence(is_silent)

    def _confirm(self, number: int) -> None:
        self._confirmed.append(number)
        self.wire.flush_soon()

    def _confirm_when(self, number: int, future: asyncio.Future[None] | None) -> None:
        if future is None:
            self._confirm(number)
        else:
            future.add_done_callback(partial(self._settled, number))

    def _settled(self, number: int, future: asyncio.Future[None]) -> None:
        error = _error_of(future, "the owner failed.")
        if error is None:
            self._confirm(number)
        else:
            self._fail(number, error)

    # --- publishing

    def _publish(self, link: Side, frame: frames.Publish) -> None:
        passed = self.rules.publication(frame.items, link)
        future = link.publish_soon(passed.items) if passed.items else None
        if future is None:
            self._published(link, frame.number, passed, None)
        else:
            future.add_done_callback(partial(self._published, link, frame.number, passed))

    def _published(
        self, link: Side, number: int, passed: Publication, future: asyncio.Future[None] | None
    ) -> None:
        if future is not None and (error := _error_of(future, "the owner failed to publish.")):
            self._fail(number, error)
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

    def _fanout(self, link: Side, frame: frames.Fanout) -> None:
        self.rules.check_fanout(frame.exchange)
        link.fanout_now(frame.exchange, frame.message)
        self._confirm(frame.number)

    # --- consuming

    def _declare(self, link: Side, frame: frames.Declare) -> None:
        self._confirm_when(frame.number, link.declare_soon(self.rules.declared(frame.spec)))

    def _consume(self, link: Side, frame: frames.Consume) -> None:
        self.rules.check_consume(frame.queue)
        if frame.consumer in self._takings or len(self._takings) >= CONSUMERS_MAX:
            raise BrokerUnavailable("no more consumers on this link.")
        prefetch = min(frame.prefetch, self.rules.credit_max)
        self._takings[frame.consumer], begun = link.take_soon(
            frame.queue, partial(self._deliver, frame.consumer), prefetch,
            max(frame.first_tag, 1), frame.adopt,
        )  # fmt: skip
        self._confirm_when(frame.number, begun)

    def _deliver(self, consumer: int, deliveries: list[Delivery]) -> None:
        self.rules.delivered(deliveries)
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

    def _ack(self, link: Side, frame: frames.Ack) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.ack(frame.tags)

    def _nack(self, link: Side, frame: frames.Nack) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.nack(frame.tags, requeue=frame.requeue, reason=frame.reason)

    def _grant(self, link: Side, frame: frames.Grant) -> None:
        taking = self._takings.get(frame.consumer)
        if taking is not None:
            taking.grant(min(frame.credit, self.rules.credit_max))

    def _stop(self, link: Side, frame: frames.Stop) -> None:
        taking = self._takings.pop(frame.consumer, None)
        if taking is not None:
            taking.end()
        self._confirm(frame.number)

    # --- fanouts

    def _subscribe(self, link: Side, frame: frames.Subscribe) -> None:
        self.rules.check_subscribe(frame.exchange)
        if frame.subscription in self._subscribers or len(self._subscribers) >= CONSUMERS_MAX:
            raise BrokerUnavailable("no more subscriptions on this link.")
        limit = min(max(frame.limit, 1), SUBSCRIPTION_MAX)
        hear = partial(self._hear, frame.subscription)
        self._subscribers[frame.subscription], begun = link.listen_soon(frame.exchange, hear, limit)
        self._confirm_when(frame.number, begun)

    def tell(self, message: Message) -> None:
        """Hand this client alone what others hear by a fanout."""
        for subscription in self._subscribers:
            self._hear(subscription, message)

    def tell_gone(self, claims: list[tuple[str, int]]) -> None:
        """These are the client's no more."""
        self.wire.send(frames.Gone(claims))

    def _hear(self, subscription: int, message: Message) -> None:
        if not self.rules.may_hear(message):
            return
        self._heard.setdefault(subscription, []).append(message)
        self.wire.flush_soon()

    def _unsubscribe(self, link: Side, frame: frames.Unsubscribe) -> None:
        subscriber = self._subscribers.pop(frame.subscription, None)
        if subscriber is not None:
            subscriber.end()

    # --- questions that take a while

    def _request(self, link: Side, frame: frames.Request) -> None:
        self.rules.check_request(frame.queue, frame.message, link)
        question = self.rules.asked(frame.message)

        async def ask() -> frames.Frame:
            seconds = min(max(frame.timeout_seconds, 0.0), 60.0)
            answer = await link.request(frame.queue, question, timeout_seconds=seconds)
            return frames.Reply(frame.number, answer)

        self._ask(frame.number, ask)

    def _stats(self, link: Side, frame: frames.AskStats) -> None:
        self.rules.check_look()

        async def ask() -> frames.Frame:
            return frames.Stats(frame.number, await link.stats())

        self._ask(frame.number, ask)

    def _dead(self, link: Side, frame: frames.AskDead) -> None:
        self.rules.check_look()

        async def ask() -> frames.Frame:
            page = await link.dead_letters(limit=frame.limit, before=frame.before)
            return frames.Dead(frame.number, page)

        self._ask(frame.number, ask)

    def _send_again(self, link: Side, frame: frames.SendAgain) -> None:
        self.rules.check_operate()

        async def ask() -> frames.Frame:
            return frames.Counted(frame.number, await link.send_again(frame.seqs))

        self._ask(frame.number, ask)

    def _discard_dead(self, link: Side, frame: frames.DiscardDead) -> None:
        self.rules.check_operate()

        async def ask() -> frames.Frame:
            return frames.Counted(frame.number, await link.discard_dead(frame.seqs))

        self._ask(frame.number, ask)

    def _set_paused(self, link: Side, frame: frames.SetPaused) -> None:
        self.rules.check_operate()
        link.set_paused(frame.queue, on=frame.on)
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

    def _bye(self, link: Side, frame: frames.Bye) -> None:
        self._is_leaving, self._comes_back = not frame.keeps, frame.keeps
        self.wire.close()


def begin_launched(
    session: Session, hello: frames.Hello, own: Pass, on_forbidden: Callable[[DtsError], None]
) -> None:
    """The start of a session with a worker that was launched from here.

    Raises:
        Forbidden: Somebody else came.
    """
    session.is_only = True
    session.on_forbidden = on_forbidden
    try:
        check_hello(hello, own)
    except Forbidden as error:
        on_forbidden(error)
        raise


def _error_of(future: asyncio.Future[None], otherwise: str) -> DtsError | None:
    if future.cancelled():
        return BrokerUnavailable("the owner stops.")
    error = future.exception()
    if error is None or isinstance(error, DtsError):
        return error
    log.error("what a link asked for failed", exc_info=error)
    return BrokerUnavailable(otherwise)


async def _closed(writer: Any) -> None:
    """Wait until the stream is closed; a peer that does not read any more is cut."""
    if not hasattr(writer, "wait_closed"):
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
    except TimeoutError:
        transport = getattr(writer, "transport", None)
        if transport is not None:
            transport.abort()
    except OSError:
        return  # it broke while closing: closed all the same


Welcome = Callable[[Session, frames.Hello], Any]
"""Gives (link, rules, mine) for a hello; see `link_server`."""

_HANDLERS: Final[dict[type[frames.Frame], Callable[[Session, Side, Any], None]]] = {
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
