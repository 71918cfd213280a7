"""The one consumer base: worker, internal worker, porter, stethoscope, logtracer, requests and gateway stand on it.

    class Porter(Consumer[JobResults]):
        name, queue, message_class = "porter", "results", JobResults

        async def operate(self, message, delivery):
            ...

The ack comes last: after `operate` returned and after its answer, if the caller asked for one, was published. A body
that cannot be decoded, one that speaks for another host than its sender's, and an error go to the dead letters with
their reason. An outage (StoreUnavailable, BrokerUnavailable) does not: the messages are held and tried again, ever more
slowly, until it is over or the consumer is stopped; handing them back instead would count against them, and a long
outage would bury good messages.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

import structlog

from dts_core import codec
from dts_core.brokers.base import Broker, Consumption, Delivery, Message, Outgoing
from dts_core.brokers.senders import check_sender
from dts_core.errors import (
    BrokerError,
    BrokerUnavailable,
    CodecError,
    Forbidden,
    StoreUnavailable,
    TooLarge,
)
from dts_core.text import one_line

M = TypeVar("M")
PAUSE_FIRST_SECONDS: Final = 0.1
PAUSE_MAX_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 5.0
"""How long what is being operated on may take to end when the consumer is stopped."""

log = structlog.get_logger(__name__)


class HandBack(Exception):
    """Raised by `operate`: the delivery goes back to the front of its queue, with this reason."""


class Consumer(Generic[M]):
    """Takes messages from one queue and ends every delivery exactly once.

    Override `operate` for one message at a time (up to `prefetch` concurrently), or `operate_batch` for what is there
    (up to `batch` at once, one batch after the other, in order). Both must be idempotent: a delivery may come again.

    Args:
        broker: Where the queue is.
        prefetch: Most deliveries held.
        batch: Most messages in one call of `operate_batch`; a batch is never waited for.
        queue: Another queue than the class's.
        params: The consumer's own parameters, from its table of the configuration.
    """

    name: ClassVar[str] = ""
    """For logs and metrics."""
    queue: str = ""
    message_class: ClassVar[Any] = None
    """Type of the decoded body, also a union of tagged Structs; None: raw bytes."""
    body_max: ClassVar[int] = codec.WIRE_MAX
    """Largest body that is decoded, in bytes."""

    def __init__(
        self, broker: Broker, *, prefetch: int = 100, batch: int = 64, queue: str = "",
        params: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.broker = broker
        self.prefetch = max(prefetch, 1)
        self.batch = max(batch, 1)
        self.queue = queue or self.queue
        self.params = dict(params or {})
        self.counters = {
            "received": 0,
            "done": 0,
            "answered": 0,
            "dead": 0,
            "returned": 0,
            "retried": 0,
        }
        """Since the start; `retried` counts messages held over an outage, once a try."""
        self.consumption: Consumption | None = None
        """There while it runs; `grant` on it pauses and goes on."""
        self._is_batched = type(self).operate_batch is not Consumer.operate_batch
        self._waiting: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    # --- for the subclass

    async def operate(self, message: M, delivery: Delivery) -> Any:
        """Do the work of one message; what is returned answers its caller, None answers nothing.

        Raises:
            HandBack: Not now, or not here: the delivery goes back.
            StoreUnavailable: An outage: it is tried again here. So with BrokerUnavailable.
            Exception: Any other one: the message is a dead letter.
        """
        raise NotImplementedError(f"{type(self).__name__} operates on nothing.")

    async def operate_batch(self, messages: Sequence[M]) -> Sequence[Any] | None:
        """Do the work of several messages at once.

        An exception raised for the whole batch counts for each of its messages: those are then tried one by one, so
        that only the ones at fault become dead letters.

        Returns:
            One answer, None or Exception for each message, in order; None when all are done and nobody is answered.

        Raises:
            StoreUnavailable: An outage: the batch is tried again here. So with BrokerUnavailable.
        """
        raise NotImplementedError(f"{type(self).__name__} operates on no batch.")

    # --- running

    async def run(self) -> None:
        """Consume until cancelled; then what is being worked on may end, and the rest goes back.

        Raises:
            QueueNotFound: The queue was never declared.
        """
        consumption = self.consumption = await self._consume()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._failure is not None:
                    raise self._failure
                self._begin()
        finally:
            await self._stop(consumption)

    async def _consume(self) -> Consumption:
        pause = PAUSE_FIRST_SECONDS
        while True:
            try:
                return await self.broker.consume(self.queue, self._arrived, prefetch=self.prefetch)
            except BrokerUnavailable as error:
                log.warning("cannot consume yet", consumer=self.name, reason=str(error))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, PAUSE_MAX_SECONDS)

    def _arrived(self, deliveries: list[Delivery]) -> None:
        self.counters["received"] += len(deliveries)
        waiting = self._waiting
        waiting.extend(deliveries)
        while (
            len(waiting) > self.prefetch
        ):  # the oldest are a lost channel's: what was unacked there comes again
            waiting.popleft()
        self._wake.set()

    def _begin(self) -> None:
        """Start work on what waits, as far as it may run at once."""
        waiting = self._waiting
        size, most = (self.batch, 1) if self._is_batched else (1, self.prefetch)
        while waiting and len(self._running) < most:
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            task = asyncio.get_running_loop().create_task(
                self._handle(batch), name=f"{self.name or self.queue}-operate"
            )
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
        self._wake.set()

    async def _stop(self, consumption: Consumption) -> None:
        consumption.grant(0)
        self._return(list(self._waiting), "the consumer stops")
        self._waiting.clear()
        try:
            if self._running:
                await asyncio.wait(set(self._running), timeout=GRACE_SECONDS)
        finally:
            running = set(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self.consumption = None
            await consumption.close()

    # --- one batch

    async def _handle(self, batch: list[Delivery]) -> None:
        pending = self._decoded(batch)
        pause = PAUSE_FIRST_SECONDS
        try:
            while pending:
                answers = await self._operate_all(pending)
                pending = await self._settle(pending, answers)
                if pending:
                    self.counters["retried"] += len(pending)
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, PAUSE_MAX_SECONDS)
        except asyncio.CancelledError:
            self._return([delivery for _, delivery in pending], "the consumer stops")
            raise

    def _decoded(self, batch: list[Delivery]) -> list[tuple[M, Delivery]]:
        decoded: list[tuple[M, Delivery]] = []
        for delivery in batch:
            body: Any = delivery.message.body
            if self.message_class is not None:
                try:
                    body = codec.decode(body, self.message_class, wire_max=self.body_max)
                    check_sender(delivery.message.user_id, body)
                except (CodecError, Forbidden) as error:
                    self._bury(delivery, error)
                    continue
            decoded.append((body, delivery))
        return decoded

    async def _operate_all(self, pending: list[tuple[M, Delivery]]) -> Sequence[Any]:
        """One answer, None or Exception each."""
        try:
            if not self._is_batched:
                return [await self.operate(*pending[0])]
            answers = await self.operate_batch([message for message, _ in pending])
        except Exception as error:  # noqa: BLE001 - it ends the deliveries that it belongs to
            if len(pending) == 1 or _is_outage(error):
                return [error] * len(pending)
            singles = [await self._operate_all([one]) for one in pending]
            return [single[0] for single in singles]
        if answers is None:
            return [None] * len(pending)
        if len(answers) != len(pending):
            raise RuntimeError(
                f"{type(self).__name__} gave {len(answers)} answers to {len(pending)}."
            )
        return answers

    async def _settle(
        self, operated: list[tuple[M, Delivery]], answers: Sequence[Any]
    ) -> list[tuple[M, Delivery]]:
        """End the deliveries as their answers say; returns those that an outage kept from being worked on."""
        again: list[tuple[M, Delivery]] = []
        done: list[int] = []
        replies: list[Outgoing] = []
        for (message, delivery), answer in zip(operated, answers, strict=True):
            if not isinstance(answer, BaseException):
                if self._reply(delivery, answer, replies):
                    done.append(delivery.tag)
            elif _is_outage(answer):
                again.append((message, delivery))
            elif isinstance(answer, HandBack | asyncio.CancelledError):
                self._return([delivery], str(answer) or "not here")
            else:
                self._bury(delivery, answer)
        if replies:
            await self._publish_replies(replies)
        if done and self.consumption is not None:
            self.consumption.ack(done)
            self.counters["done"] += len(done)
        return again

    def _reply(self, delivery: Delivery, answer: Any, replies: list[Outgoing]) -> bool:
        """Add the answer that the caller asked for; False when it cannot be sent, and the delivery has ended."""
        question = delivery.message
        if answer is None or not question.reply_to:
            return True
        try:
            body = codec.encode(answer)
        except TooLarge as error:
            self._bury(delivery, error)
            return False
        reply = Message(body, type=type(answer).__name__, correlation_id=question.correlation_id)
        replies.append(Outgoing(question.reply_to, reply))
        return True

    async def _publish_replies(self, replies: list[Outgoing]) -> None:
        try:
            await self.broker.publish(replies)
            self.counters["answered"] += len(replies)
        except BrokerError as error:  # the caller asks again: its question is answered anew then
            log.warning("answers could not be sent", consumer=self.name, reason=str(error))

    def _bury(self, delivery: Delivery, error: BaseException) -> None:
        reason = one_line(f"{type(error).__name__}: {error}", 300)
        self.counters["dead"] += 1
        known = isinstance(error, CodecError | Forbidden)
        log.error(
            "a message is a dead letter", consumer=self.name, queue=self.queue, reason=reason,
            exc_info=None if known else error,
        )  # fmt: skip
        if self.consumption is not None:
            self.consumption.nack([delivery.tag], requeue=False, reason=reason)

    def _return(self, deliveries: list[Delivery], reason: str) -> None:
        if deliveries and self.consumption is not None:
            self.counters["returned"] += len(deliveries)
            tags = [delivery.tag for delivery in deliveries]
            self.consumption.nack(tags, requeue=True, reason=reason)


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable | BrokerUnavailable)
