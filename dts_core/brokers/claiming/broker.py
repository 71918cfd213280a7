"""The Broker of a worker on RabbitMQ: queues of jobs hand over claimed deliveries only, everything else passes."""

import asyncio
from collections.abc import Callable, Sequence

from dts_core.brokers.base import (
    CONTROL,
    HOLDERS,
    JOBS,
    Broker,
    Consumption,
    Message,
    OnDeliveries,
    OnMessage,
    Subscription,
)
from dts_core.brokers.claiming.asking import Asking, Resumed
from dts_core.brokers.claiming.consumption import ClaimedConsumption
from dts_core.brokers.claiming.questions import Questions
from dts_core.brokers.claiming.returns import Returns
from dts_core.brokers.passing import PassingBroker
from dts_core.clock import Clock, SystemClock

SWEEP_MAX_SECONDS = 5.0
"""How often the age of deliveries is looked at, at least."""


class ClaimingBroker(PassingBroker):
    """Adds claims to a broker that knows none.

        claiming = ClaimingBroker(NamedBroker(rabbit, names), host="a", worker="a-1", ack_after_seconds=600)
        rabbit.on_state = claiming.on_link

    A delivery is asked about before it is handed over: granted ones carry their epoch, what is over is acked, what a
    live lease stands against is asked about again. What the worker hands back is given back uncharged, by a result.
    A delivery that grows old is acked on the strength of its claim. After a lost connection the messages of jobs that
    still run here are bound to their claims again, and the control side is asked which of these still stand. So it is
    when it calls for the holders of jobs whose messages came back to somebody: that renews their leases.

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
        super().__init__(broker)
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

    # --- what differs from the broker below

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """See Broker; on a queue of jobs, only what is claimed is handed over."""
        if not queue.startswith(JOBS):
            return await super().consume(queue, on_deliveries, prefetch=prefetch)
        self._start()
        taken = ClaimedConsumption(
            self._asking, queue, on_deliveries, prefetch, self._clock.monotonic
        )
        self._asking.consumptions.append(taken)
        try:
            inner = await super().consume(queue, taken.arrived, prefetch=0)
        except BaseException:
            self._asking.remove(taken)
            raise
        taken.begin(inner)
        return taken

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """See Broker; calls for holders are answered here."""
        if exchange != CONTROL:
            return await super().subscribe(exchange, on_message, limit=limit)

        def hear(message: Message) -> None:
            if message.type == HOLDERS:
                self._asking.called(message.body)
            else:
                on_message(message)

        return await super().subscribe(exchange, hear, limit=limit)

    async def close(self) -> None:
        """Give every claim back uncharged and disconnect. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        consumptions = list(self._asking.consumptions)
        await asyncio.gather(*(each.close() for each in consumptions), return_exceptions=True)
        await self._stop()
        await super().close()

    async def abandon(self) -> None:
        """Disconnect and give no claim back: what ran is gone, and others may have it when its leases end."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._stop()
        await super().close()

    # --- inside

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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
