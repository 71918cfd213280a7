"""Takes jobs from the worker's queues: decodes them, and asks for as many as the slots can use."""

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from dts_core import codec
from dts_core.brokers.base import JOBS, Broker, Consumption, Delivery, QueueKind, QueueSpec
from dts_core.errors import CodecError, InvalidInput
from dts_core.model import JobMessage
from dts_core.names import split_function
from dts_worker.executor import Executor
from dts_worker.loader import is_hash

HORIZON_SECONDS = 0.25
"""Synchronous jobs are held ahead for about this time, so that a slow one does not wait here while others are idle."""
SECONDS_MIN = 0.0005
"""Shortest average that counts."""
ID_MAX = 64
log = structlog.get_logger(__name__)


class Credit:
    """How many deliveries may be unacked: grows while all of them find a slot, falls when synchronous ones queue up.

    Args:
        slots: Synchronous jobs at once.
        ceiling: Never more.
    """

    def __init__(self, slots: int, ceiling: int) -> None:
        self.floor = min(2 * slots, ceiling)
        self.ceiling = ceiling
        self.amount = self.floor
        self.slots = slots

    def allowed_waiting(self, sync_seconds: float) -> int:
        """How many synchronous jobs may wait here when one takes `sync_seconds`."""
        ahead = int(self.slots * HORIZON_SECONDS / max(sync_seconds, SECONDS_MIN))
        return min(max(ahead, self.slots), self.ceiling)

    def adjust(self, *, held: int, sync_waiting: int, sync_seconds: float) -> bool:
        """Look at what is held; True when `amount` changed."""
        before = self.amount
        allowed = self.allowed_waiting(sync_seconds)
        if sync_waiting > allowed:
            self.amount = self.floor
        elif held >= self.amount and sync_waiting <= allowed // 2:
            self.amount = min(self.amount * 2, self.ceiling)
        return self.amount != before


class Consumer:
    """The worker's consumptions, one a queue.

    Args:
        broker: Where the queues are.
        queues: Their names, without the prefix `jobs.`.
        executor: Takes the jobs.
        credit: How many deliveries may be unacked on each queue.
    """

    def __init__(
        self,
        broker: Broker,
        queues: list[str],
        executor: Executor,
        credit: Credit,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._executor = executor
        self._credit = credit
        self._slots = credit.slots
        self._consumptions: dict[str, Consumption] = {}
        self._stopped: frozenset[str] = frozenset()
        """Queues that are paused, for every worker."""
        self._functions: set[str] = set()
        self._later: asyncio.TimerHandle | None = None
        self.paused = False
        self.undecodable = 0
        """Messages that went to the dead letters."""

    async def open(self) -> None:
        """Declare the queues and start taking from them."""
        for name in self._queues:
            queue = JOBS + name
            await self._broker.declare(QueueSpec(queue, QueueKind.WORK, claimed=True))
            # No credit before the consumption is known here: a delivery may come before `consume` returns.
            taken = await self._broker.consume(
                queue, partial(self._on_deliveries, queue), prefetch=0
            )
            self._consumptions[queue] = taken
            taken.grant(self._amount(queue))

    def pause(self) -> None:
        """Take nothing new; what is held goes on."""
        self.paused = True
        self._grant()

    def resume(self) -> None:
        """Take again."""
        self.paused = False
        self._grant()

    def pause_queues(self, queues: Iterable[str]) -> None:
        """Take nothing from these queues (without the prefix), and again from every other one."""
        stopped = frozenset(JOBS + queue for queue in queues)
        changed, self._stopped = stopped ^ self._stopped, stopped
        for queue in changed & self._consumptions.keys():
            log.info("a queue is paused" if queue in stopped else "a queue goes on", queue=queue)
            self._consumptions[queue].grant(self._amount(queue))

    def adjust(self) -> None:
        """Ask for more or for less, after what is held has changed."""
        if self.paused:
            return
        credit, waiting = self._credit, self._sync_waiting()
        seconds = self._executor.sync_seconds
        if credit.adjust(held=len(self._executor), sync_waiting=waiting, sync_seconds=seconds):
            self._grant()
        if self._later is None and waiting > credit.allowed_waiting(seconds):
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(HORIZON_SECONDS, self._give_back_excess)

    def _sync_waiting(self) -> int:
        return max(self._executor.sync_active - self._slots, 0)

    def _give_back_excess(self) -> None:
        """Return the synchronous jobs that would still wait here for long; short ones have run meanwhile."""
        self._later = None
        allowed = self._credit.allowed_waiting(self._executor.sync_seconds)
        back = self._executor.give_back_waiting(allowed)
        if back:
            log.debug("jobs that would wait here too long went back", count=back)
        self.adjust()

    def _amount(self, queue: str) -> int:
        return 0 if self.paused or queue in self._stopped else self._credit.amount

    def _grant(self) -> None:
        for queue, consumption in self._consumptions.items():
            consumption.grant(self._amount(queue))

    async def close(self) -> None:
        """Stop taking; deliveries that are not acked go back uncharged."""
        if self._later is not None:
            self._later.cancel()
        for consumption in self._consumptions.values():
            await consumption.close()
        self._consumptions.clear()

    def _on_deliveries(self, queue: str, deliveries: list[Delivery]) -> None:
        consumption = self._consumptions[queue]
        for delivery in deliveries:
            try:
                job = self._decode(delivery)
            except (CodecError, InvalidInput) as error:
                self.undecodable += 1
                log.warning("a message cannot be read", queue=queue, reason=str(error))
                consumption.nack([delivery.tag], requeue=False, reason=str(error))
                continue
            self._executor.accept(job, delivery.epoch, consumption, delivery.tag)
        self.adjust()

    def _decode(self, delivery: Delivery) -> JobMessage:
        """The job of a delivery, with what becomes part of names checked.

        Raises:
            CodecError: Not a job.
            InvalidInput: Its function has no valid name.
        """
        job = codec.decode(delivery.message.body, JobMessage)
        if not is_hash(job.version):
            raise CodecError("the version of a job is no sha256.")
        if not 0 < len(job.id) <= ID_MAX:
            raise CodecError(f"the id of a job has {len(job.id)} characters.")
        if job.function not in self._functions:
            split_function(job.function)
            if len(self._functions) < 10_000:
                self._functions.add(job.function)
        return job
