"""The intake of a store and a broker that share no commit.

A record is durable first, then its message is published and confirmed, then the record says so. Whatever is cut off in
between leaves a job that is `pending`, or `queued` and owes its message: `pending_jobs` finds both, and whoever
publishes them again does it through `invite` with a PUBLISH. A message may so be published twice; the claim is granted
once.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec

from dts_core.brokers.base import Broker, Outgoing
from dts_core.clock import Clock
from dts_core.errors import BrokerError, StoreError
from dts_core.model import Job, Outcome, Transition
from dts_core.states import JobEvent, JobState
from dts_core.stores.jobstore import IdempotencyKey, OutboxStore

T = TypeVar("T")
_PENDING: Final = JobState.PENDING
_QUEUED: Final = JobState.QUEUED
log = logging.getLogger(__name__)


class OutboxIntake:
    """The Intake over any store that knows which messages are owed, and any broker.

    With the broker away its calls still return: the jobs are kept and published later.
    """

    def __init__(self, store: OutboxStore, broker: Broker, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self.left_behind = 0
        """Jobs whose message could not be published at once."""

    async def accept(
        self,
        jobs: Sequence[Job],
        messages: Sequence[Outgoing],
        *,
        key: IdempotencyKey | None = None,
    ) -> list[str]:
        """See Intake. A job whose message could not be published stands `pending`."""
        return await self._whole(self._accept(jobs, messages, key))

    async def invite(
        self, transitions: Sequence[Transition], messages: Sequence[Outgoing]
    ) -> list[Outcome]:
        """See Intake. A PUBLISH of a job that is queued already publishes the message that it may owe."""
        if len(transitions) != len(messages):
            raise ValueError(f"{len(transitions)} transitions, {len(messages)} messages")
        if not transitions:
            return []
        return await self._whole(self._invite(transitions, messages))

    async def close(self) -> None:
        """Finish what is under way, each within the deadlines of store and broker."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do all of it even when the caller stops waiting: a record is not left without its message."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("an intake failed: %s", error)

    async def _accept(
        self, jobs: Sequence[Job], messages: Sequence[Outgoing], key: IdempotencyKey | None
    ) -> list[str]:
        invited = {outgoing.message.message_id for outgoing in messages}
        kept = [_pending(job) if job.id in invited else job for job in jobs]
        before = await self._store.accept_jobs(kept, key)
        if before is not None:
            return before
        if messages and await self._publish(messages):
            published = [job for job in kept if job.id in invited and job.state is _PENDING]
            try:
                await self._store.mark_published(published, self._clock.now())
            except StoreError as error:
                # Accepted and published; only the record of it is missing, and is made up for later.
                log.warning("%d published jobs stay pending: %s", len(published), error)
        return [job.id for job in jobs]

    async def _invite(
        self, transitions: Sequence[Transition], messages: Sequence[Outgoing]
    ) -> list[Outcome]:
        outcomes = await self._store.apply_owing(transitions)
        invited = [
            (outgoing, outcome.epoch)
            for transition, outcome, outgoing in zip(transitions, outcomes, messages, strict=True)
            if outcome.state is JobState.QUEUED
            and (outcome.applied or transition.event is JobEvent.PUBLISH)
        ]
        if invited and await self._publish([outgoing for outgoing, _ in invited]):
            try:
                await self._store.settle_jobs(
                    [(outgoing.message.message_id, epoch) for outgoing, epoch in invited]
                )
            except StoreError as error:
                log.warning("%d published jobs still owe their message: %s", len(invited), error)
        return outcomes

    async def _publish(self, messages: Sequence[Outgoing]) -> bool:
        try:
            await self._broker.publish(messages)
        except BrokerError as error:
            self.left_behind += len(messages)
            log.warning("%d messages are published later: %s", len(messages), error)
            return False
        return True


def _pending(job: Job) -> Job:
    """The job as it stands until its message is confirmed."""
    return msgspec.structs.replace(job, state=_PENDING) if job.state is _QUEUED else job
