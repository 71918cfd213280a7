"""The Broker of a worker on RabbitMQ: queues of jobs hand over claimed deliveries only, everything else passes."""

import asyncio
from collections.abc import Callable, Sequence

from dts_core.brokers.base import (
    JOBS,
    Broker,
    Consumption,
    DeadLetter,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueSpec,
    Subscription,
)
from dts_core.brokers.claiming.asking import Asking, Resumed
from dts_core.brokers.claiming.consumption import ClaimedConsumption
from dts_core.brokers.claiming.questions import Questions
from dts_core.brokers.claiming.returns import Returns
from dts_core.clock import Clock, SystemClock
from dts_core.model import QueueStats

SWEEP_MAX_SECONDS = 5.0
"""How often the age of deliveries is looked at, at least."""


class ClaimingBroker:
    """Adds claims to a broker that knows none; see Broker for each method.

        claiming = ClaimingBroker(NamedBroker(rabbit, names), host="a", worker="a-1", ack_after_seconds=600)
        rabbit.on_state = claiming.on_link

    A delivery is asked about before it is handed over: granted ones carry their epoch, what is over is acked, what a
    live lease stands against is asked about again. What the worker hands back is given back uncharged, by a result.
    A delivery that grows old is acked on the strength of its claim. After a lost connection the messages of jobs that
    still run here are bound to their claims again, and the control side is asked which of these still stand.

    Args:
        broker: The broker below, which must never use a tag of a consumption twice; called by the names that the code
            knows. Closed with this one.
        host: Of this worker.
        worker: Its name, unique for each start.
        ack_after_seconds: Age of a delivery that is acked before its job has ended.
        holding: Gives the (job, epoch) that still run here.
        clock: For the age.

    Attributes:
        on_resumed: Told, whenever it was asked, which of those are still this worker's own.
        on_state: Told when the connection comes (True) and goes (False), and why.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        host: str,
        worker: str,
        ack_after_seconds: float,
        holding: Callable[[], Sequence[tuple[str, int]]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._broker = broker
        self._clock = clock or SystemClock()
        self._ack_after = ack_after_seconds
        self._returns = Returns(
            broker, host, worker, lambda claim: claim.consumption.returned(claim)
        )
        self._asking = Asking(Questions(broker, host, worker), self._returns, self._clock.monotonic)
        self.holding = holding
        self.on_resumed: Callable[[Resumed], None] | None = None
        self.on_state: Callable[[bool, str], None] = lambda connected, why: None
        self._asking.holding = self._held
        self._asking.on_resumed = self._resumed
        self._tasks: list[asyncio.Task[None]] = []
        self._was_lost = False
        self._is_closed = False

    def on_link(self, connected: bool, why: str) -> None:
        """The connection below comes or goes; on the loop's thread, before any delivery of a new one."""
        self._asking.is_linked = connected
        if connected and self._was_lost:
            self._asking.doubt()
        elif not connected:
            self._was_lost = True
            for consumption in self._asking.consumptions:
                consumption.lost()
        self.on_state(connected, why)

    def sweep(self) -> int:
        """Ack what has grown old; returns how many deliveries."""
        before = self._clock.monotonic() - self._ack_after
        return sum(consumption.sweep(before) for consumption in self._asking.consumptions)

    # --- the Broker's interface

    async def declare(self, spec: QueueSpec) -> None:
        """See Broker."""
        await self._broker.declare(spec)

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """See Broker."""
        await self._broker.publish(items)

    async def fanout(self, exchange: str, message: Message) -> None:
        """See Broker."""
        await self._broker.fanout(exchange, message)

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """See Broker; on a queue of jobs, only what is claimed is handed over."""
        if not queue.startswith(JOBS):
            return await self._broker.consume(queue, on_deliveries, prefetch=prefetch)
        self._start()
        taken = ClaimedConsumption(
            self._asking, queue, on_deliveries, prefetch, self._clock.monotonic
        )
        self._asking.consumptions.append(taken)
        try:
            inner = await self._broker.consume(queue, taken.arrived, prefetch=0)
        except BaseException:
            self._asking.remove(taken)
            raise
        taken.begin(inner)
        return taken

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """See Broker."""
        return await self._broker.subscribe(exchange, on_message, limit=limit)

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        return await self._broker.request(queue, message, timeout_seconds=timeout_seconds)

    async def stats(self) -> list[QueueStats]:
        """See Broker."""
        return await self._broker.stats()

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See Broker."""
        return await self._broker.dead_letters(limit=limit, before=before)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._broker.send_again(seqs)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._broker.discard_dead(seqs)

    async def pause(self, queue: str) -> None:
        """See Broker."""
        await self._broker.pause(queue)

    async def resume(self, queue: str) -> None:
        """See Broker."""
        await self._broker.resume(queue)

    async def close(self) -> None:
        """Give every claim back uncharged and disconnect. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        consumptions = list(self._asking.consumptions)
        await asyncio.gather(*(each.close() for each in consumptions), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._broker.close()

    # --- inside

    def _start(self) -> None:
        if self._tasks:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._asking.run(), name="claims-ask"),
            loop.create_task(self._returns.run(), name="claims-return"),
            loop.create_task(self._keep_sweeping(), name="claims-sweep"),
        ]

    async def _keep_sweeping(self) -> None:
        every = min(self._ack_after / 20, SWEEP_MAX_SECONDS)
        while True:
            await asyncio.sleep(every)
            self.sweep()

    def _held(self) -> Sequence[tuple[str, int]]:
        return () if self.holding is None else self.holding()

    def _resumed(self, claims: Resumed) -> None:
        if self.on_resumed is not None:
            self.on_resumed(claims)
