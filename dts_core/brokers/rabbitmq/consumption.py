"""One consumer on one queue, over every channel and connection that it ever has."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import structlog

from dts_core.brokers.base import Delivery, OnDeliveries, QueueSpec
from dts_core.brokers.rabbitmq.acks import AckBook
from dts_core.brokers.rabbitmq.bands import Band, Held, Source
from dts_core.brokers.rabbitmq.figures import Figures
from dts_core.brokers.rabbitmq.plane import Plane, PlaneDelivery
from dts_core.brokers.rabbitmq.vouching import vouched
from dts_core.errors import BrokerUnavailable, DtsError, QueueNotFound

RETRY_FIRST_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


class Home(Protocol):
    """What a consumption needs of its broker."""

    async def open_plane(self) -> Plane:
        """A channel of its own. Raises BrokerUnavailable."""
        ...

    async def count(self, band: str) -> tuple[int, int]:
        """(ready, consumers) of a queue on RabbitMQ. Raises QueueNotFound, BrokerUnavailable."""
        ...

    async def make(self, spec: QueueSpec) -> None:
        """Declare the queue when it is not there."""
        ...

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Publish a copy to the dead letters. Raises BrokerUnavailable."""
        ...

    def has_connection(self) -> bool:
        """Whether there is a connection to build on."""
        ...

    def is_paused(self, queue: str) -> bool:
        """Whether nothing is to be taken."""
        ...

    def may_hand_out(self, queue: str) -> bool:
        """Whether what has come may be handed out now."""
        ...


class RabbitConsumption:
    """See Consumption. Tags are its own numbers: those of a channel that was lost are nobody's any more.

    Args:
        home: The broker.
        spec: The queue.
        bands: Its queues on RabbitMQ, the most urgent first.
        on_deliveries: Who takes.
        credit: Most deliveries handed out and not ended. Of each more urgent band up to half as many more wait here,
            so that they are at hand when a place is free.
        figures: Counts what is delivered and acked.
        deadline_seconds: For the copies of dead letters when it closes.
        ended: Told when it closes.

    Attributes:
        on_lost: Called when a channel is lost that was open, whether or not its connection is.
    """

    def __init__(
        self, home: Home, spec: QueueSpec, bands: Sequence[str], on_deliveries: OnDeliveries, *,
        credit: int, figures: Figures, deadline_seconds: float,
        ended: Callable[["RabbitConsumption"], None],
    ) -> None:  # fmt: skip
        self.spec = spec
        self.bands = [Band(queue) for queue in bands]
        self.figures = figures
        self.on_lost: Callable[[], None] = lambda: None
        self._home = home
        self._on_deliveries = on_deliveries
        self._credit = max(credit, 0)
        self._deadline = deadline_seconds
        self._ended = ended
        self._plane: Plane | None = None
        self._book: AckBook[Held] = AckBook()
        self._base = 0
        """Our tag less the channel's."""
        self._last_tag = 0
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._is_early = True
        self._is_closed = False
        self._is_doubted = False
        """Its queue may be gone: declare it before anything else."""
        self._flush_planned = False
        self._retry_seconds = RETRY_FIRST_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()

    # --- for the caller

    def ack(self, tags: Sequence[int]) -> None:
        """See Consumption."""
        for tag in tags:
            held = self._book.end(tag - self._base)
            if held is not None:
                self.figures.acked += 1
                self._settled(held)
        self._flush_soon()

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """See Consumption."""
        for tag in sorted(tags):
            number = tag - self._base
            held = self._book.get(number)
            if held is None or held.is_burying or self._plane is None:
                continue
            if requeue:
                self._book.remove(number)
                self._plane.nack(number, requeue=True)
                self._settled(held)
            else:
                held.is_burying = True
                self._start_burial(self._plane, number, held.delivery, reason)
        self._flush_soon()

    def grant(self, credit: int) -> None:
        """See Consumption."""
        self._credit = max(credit, 0)
        self.wake()

    async def close(self) -> None:
        """See Consumption."""
        if self._is_closed:
            return
        self._is_closed = True
        self._ended(self)
        task, self._task = self._task, None
        if task is not None:
            # Cut short, a change of consumers would cost the channel, and with it the acks that wait.
            async with self._lock:
                task.cancel()
                await asyncio.wait((task,))
        if self._burials:
            _, late = await asyncio.wait(set(self._burials), timeout=self._deadline)
            for burial in late:
                burial.cancel()
        async with self._lock:
            plane = self._plane
            self._send_acks()
            self.forget()
            if plane is not None:
                await plane.close()

    # --- for the broker

    @property
    def unacked(self) -> int:
        """Deliveries that have not ended."""
        return len(self._book)

    @property
    def consumers(self) -> int:
        """Live AMQP consumers on its queues."""
        return sum(len(band.sources) for band in self.bands)

    def begin(self) -> None:
        """`consume` has returned: hand out from now on."""
        if self._is_closed:
            return
        self._is_early = False
        self._task = asyncio.get_running_loop().create_task(
            self._keep(), name=f"consume-{self.spec.name}"
        )
        self.hand_out()

    def wake(self) -> None:
        """Look again at what should be consumed."""
        self._wake.set()

    def forget(self) -> None:
        """The channel is lost: nothing of it counts any more."""
        self._plane = None
        self._base = self._last_tag
        self._book = AckBook()
        for band in self.bands:
            band.forget()

    async def tend(self) -> None:
        """Bring the consumers to where they should be, on a new channel if there is none.

        Raises:
            QueueNotFound: The queue is gone; the next call declares it.
            BrokerUnavailable: No answer in time.
        """
        async with self._lock:
            if self._is_closed or not self._home.has_connection():
                return
            try:
                await self._fit_all()
            except QueueNotFound:
                self._is_doubted = True
                await self._drop()
                raise
            except BaseException:
                await self._drop()
                raise
        self._retry_seconds = RETRY_FIRST_SECONDS
        self._send_acks()
        self.hand_out()

    async def watch(self) -> None:
        """Prove that it consumes; when it does not, start anew on another channel.

        Raises:
            BrokerUnavailable: The broker does not answer.
        """
        why = await self._doubt()
        if why:
            log.warning("a consumer is started anew", queue=self.spec.name, reason=why)
            async with self._lock:
                self._is_doubted = True
                await self._drop()
            self.wake()

    # --- inside

    async def _doubt(self) -> str:
        for band in self.bands:
            try:
                ready, consumers = await self._home.count(band.queue)
            except QueueNotFound:
                return "its queue is gone"
            if consumers < len(band.sources):
                return "the broker does not know it"
            if band.looks_stalled(ready):
                return "nothing comes, though there is something"
        return ""

    async def _keep(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.tend()
            except DtsError as error:
                log.warning("a consumer cannot start", queue=self.spec.name, reason=str(error))
                self._is_doubted = True
                await asyncio.sleep(self._retry_seconds)
                self._retry_seconds = min(self._retry_seconds * 2, RETRY_MAX_SECONDS)
                self._wake.set()

    async def _drop(self) -> None:
        plane = self._plane
        self.forget()
        if plane is not None:
            await plane.close()

    async def _fit_all(self) -> None:
        if self._is_doubted:
            await self._home.make(self.spec)
            self._is_doubted = False
        if self._plane is None:
            plane = self._plane = await self._home.open_plane()
            plane.on_lost = partial(self._lost, plane)
            plane.on_cancelled = self._cancelled
        added = [await self._fit(self._plane, band) for band in self.bands]
        if len(self.bands) > 1 and any(added):
            for band in (
                self.bands
            ):  # its answer comes behind the first deliveries, so the urgent ones are here
                await self._home.count(band.queue)
        if not self._wanted(self.bands[-1]):
            self._give_back_waiting()

    async def _fit(self, plane: Plane, band: Band) -> bool:
        """Whether a consumer was added."""
        wanted = self._wanted(band)
        for source in band.surplus(wanted):
            await plane.cancel(source.consumer_tag)
            band.end(source)
        limit = band.missing(wanted)
        if not limit:
            return False
        source = Source(plane, band, limit)
        band.sources.append(source)
        try:
            source.consumer_tag = await plane.consume(
                band.queue, partial(self._delivered, source), prefetch=limit
            )
        except BaseException:
            band.end(source)
            raise
        return True

    def _wanted(self, band: Band) -> int:
        if self._home.is_paused(self.spec.name):
            return 0
        if band is self.bands[-1] or not self._credit:
            return self._credit
        return max(self._credit // 2, 1)

    def _give_back_waiting(self) -> None:
        for band in self.bands:
            while band.waiting and self._plane is not None:
                held = band.waiting.popleft()
                number = held.delivery.tag - self._base
                if self._book.remove(number) is not None:
                    self._plane.nack(number, requeue=True)
                    self._settled(held)

    def _lost(self, plane: Plane, reason: str) -> None:
        if plane is self._plane:
            log.info("a consumer lost its channel", queue=self.spec.name, reason=reason)
            self.forget()
            self._is_doubted = True
            self.wake()
            self.on_lost()

    def _cancelled(self, consumer_tag: str) -> None:
        log.warning("the broker ended a consumer", queue=self.spec.name)
        for band in self.bands:
            for source in list(band.sources):
                if source.consumer_tag == consumer_tag:
                    band.end(source)
        self._is_doubted = True
        self.wake()

    def _delivered(self, source: Source, deliveries: list[PlaneDelivery]) -> None:
        if source.plane is not self._plane:
            return
        base, book, queue = self._base, self._book, self.spec.name
        for each in deliveries:
            delivery = Delivery(base + each.tag, queue, vouched(each.message), each.redelivered)
            held = Held(source, delivery)
            book.add(each.tag, held)
            source.band.waiting.append(held)
        source.unacked += len(deliveries)
        source.band.delivered += len(deliveries)
        self._last_tag = max(self._last_tag, base + deliveries[-1].tag)
        self.hand_out()

    def hand_out(self) -> None:
        """Hand over what waits, the most urgent first, up to the credit."""
        if self._is_early or self._is_closed or not self._home.may_hand_out(self.spec.name):
            return
        if len(self.bands) > 1 and self._lock.locked():
            return  # more urgent ones may be about to come
        room = self._credit - (len(self._book) - sum(len(band.waiting) for band in self.bands))
        batch: list[Delivery] = []
        for band in self.bands:
            while band.waiting and room > 0:
                batch.append(band.waiting.popleft().delivery)
                room -= 1
        if not batch:
            return
        self.figures.delivered += len(batch)
        try:
            self._on_deliveries(batch)
        except Exception:  # a consumer's mistake must not end the channel
            log.exception("a consumer failed", queue=self.spec.name)

    def _settled(self, held: Held) -> None:
        if held.source.band.settled(held.source):
            self.wake()

    def _flush_soon(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        # While consumers are being changed acks wait: room that they make would go to those that end.
        if not self._lock.locked() and not (self._wake.is_set() and self._plane is not None):
            self._send_acks()
        self.hand_out()

    def _send_acks(self) -> None:
        acks = self._book.acks()
        if self._plane is not None:
            for tag, multiple in acks:
                self._plane.ack(tag, multiple=multiple)

    def _start_burial(self, plane: Plane, number: int, delivery: Delivery, reason: str) -> None:
        burial = asyncio.get_running_loop().create_task(
            self._bury(plane, number, delivery, reason), name="bury"
        )
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)

    async def _bury(self, plane: Plane, number: int, delivery: Delivery, reason: str) -> None:
        """Copy first, ack then; while no copy can be made the message stays unacked, and comes again if need be."""
        pause = RETRY_FIRST_SECONDS
        while plane is self._plane:
            with contextlib.suppress(BrokerUnavailable, QueueNotFound):
                await self._home.bury(delivery, reason)
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_SECONDS)
        if plane is self._plane:
            held = self._book.end(number)
            if held is not None:
                self._settled(held)
                self._flush_soon()
