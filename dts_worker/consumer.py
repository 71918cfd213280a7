"""Takes jobs from the worker's queues: decodes them, and asks for as many as the slots can use."""

import asyncio
import time
from collections.abc import Callable, Iterable
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
PATIENCE_SECONDS = 1.0
"""Asynchronous jobs that would wait here for longer go back."""
AHEAD_MAX = 1_000
"""Most deliveries held while asynchronous jobs are over at once: the larger the batches, the cheaper is each claim."""
AHEAD_BYTES = 32 << 20
"""Arguments held from which no more are held ahead."""
ID_MAX = 64
NAMES_MAX = 10_000
"""Most functions, and most versions, of which it is remembered that their names are in order."""
log = structlog.get_logger(__name__)


class Credit:
    """How many deliveries may be unacked: grows while all of them find a slot, falls when synchronous ones queue up.

    Args:
        slots: Synchronous jobs at once.
        ceiling: Never more, save for asynchronous jobs that are over at once.
        most: Never more even of these; 0: as the ceiling.
    """

    def __init__(self, slots: int, ceiling: int, most: int = 0) -> None:
        self.floor = min(2 * slots, ceiling)
        self.ceiling = ceiling
        self.most = max(most, ceiling)
        self.amount = self.floor
        self.slots = slots

    def allowed_waiting(self, sync_seconds: float) -> int:
        """How many synchronous jobs may wait here when one takes `sync_seconds`."""
        ahead = int(self.slots * HORIZON_SECONDS / max(sync_seconds, SECONDS_MIN))
        return min(max(ahead, self.slots), self.ceiling)

    def adjust(
        self, *, held: int, sync_waiting: int, sync_seconds: float, async_ahead: int = 0
    ) -> bool:
        """Look at what is held, `async_ahead` of which may wait beyond the ceiling; True when `amount` changed."""
        before = self.amount
        allowed = self.allowed_waiting(sync_seconds)
        if sync_waiting > allowed:
            self.amount = self.floor
        elif held >= self.amount and sync_waiting <= allowed // 2:
            limit = min(self.ceiling + async_ahead, self.most)
            self.amount = max(min(self.amount * 2, limit), self.amount)
        return self.amount != before

    def fall_back(self) -> None:
        """Asynchronous jobs wait here after all."""
        self.amount = min(self.amount, self.ceiling)


class Pace:
    """How many asynchronous jobs have ended within the last horizon, for how many may wait here.

    Args:
        monotonic: The time.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since = monotonic()
        self._before = 0
        self.ahead = 0

    def look(self, ended: int) -> int:
        """How many may wait, when so many have ended since the start."""
        now = self._monotonic()
        took = now - self._since
        if took >= HORIZON_SECONDS:
            self.ahead = int((ended - self._before) * HORIZON_SECONDS / took)
            self._since, self._before = now, ended
        return self.ahead


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
        self._versions: set[str] = set()
        """Names that were checked."""
        self._later: asyncio.TimerHandle | None = None
        self._pace = Pace(time.monotonic)
        self._patience: asyncio.TimerHandle | None = None
        self._is_adjusting = False
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

    def adjust_soon(self) -> None:
        """As `adjust`, once for everything that changes in this turn of the loop."""
        if not self._is_adjusting:
            self._is_adjusting = True
            asyncio.get_running_loop().call_soon(self._adjust_now)

    def _adjust_now(self) -> None:
        self._is_adjusting = False
        self.adjust()

    def adjust(self) -> None:
        """Ask for more or for less, after what is held has changed."""
        if self.paused:
            return
        credit, waiting = self._credit, self._sync_waiting()
        executor = self._executor
        seconds = executor.sync_seconds
        ahead = self._pace.look(executor.async_ended)
        if executor.held_bytes > AHEAD_BYTES:
            ahead = 0
        if credit.adjust(
            held=len(executor), sync_waiting=waiting, sync_seconds=seconds, async_ahead=ahead
        ):
            self._grant()
        if self._patience is None and credit.amount > credit.ceiling:
            self._wait_patiently()
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

    def _wait_patiently(self) -> None:
        self._patience = asyncio.get_running_loop().call_later(
            PATIENCE_SECONDS, self._lose_patience, self._executor.async_ended, time.monotonic()
        )

    def _lose_patience(self, ended_before: int, since: float) -> None:
        """Return the asynchronous jobs that would wait here for long, by what has ended since the last look."""
        self._patience = None
        executor = self._executor
        ended = executor.async_ended - ended_before
        stood_still = time.monotonic() - since > 2 * PATIENCE_SECONDS
        if executor.async_waiting > ended and not stood_still:
            self._credit.fall_back()
            back = executor.give_back_waiting(ended, is_async=True)
            log.debug("asynchronous jobs that would wait here too long went back", count=back)
            self._grant()
        if self._credit.amount > self._credit.ceiling:
            self._wait_patiently()

    def _amount(self, queue: str) -> int:
        return 0 if self.paused or queue in self._stopped else self._credit.amount

    def _grant(self) -> None:
        for queue, consumption in self._consumptions.items():
            consumption.grant(self._amount(queue))

    async def close(self) -> None:
        """Stop taking; deliveries that are not acked go back uncharged."""
        for timer in (self._later, self._patience):
            if timer is not None:
                timer.cancel()
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
            name = queue.removeprefix(JOBS)
            self._executor.accept(job, delivery.epoch, consumption, delivery.tag, queue=name)
        self.adjust()

    def _decode(self, delivery: Delivery) -> JobMessage:
        """The job of a delivery, with what becomes part of names checked.

        Raises:
            CodecError: Not a job.
            InvalidInput: Its function has no valid name.
        """
        job = codec.decode(delivery.message.body, JobMessage)
        self._check_version(job.version)
        if job.trial is not None:
            self._check_version(job.trial.version)
        if not 0 < len(job.id) <= ID_MAX:
            raise CodecError(f"the id of a job has {len(job.id)} characters.")
        if job.function not in self._functions:
            split_function(job.function)
            if len(self._functions) < NAMES_MAX:
                self._functions.add(job.function)
        return job

    def _check_version(self, version: str) -> None:
        if version in self._versions:
            return
        if not is_hash(version):
            raise CodecError("the version of a job is no sha256.")
        if len(self._versions) < NAMES_MAX:
            self._versions.add(version)
