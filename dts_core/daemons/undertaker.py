"""Keeps what the broker gave up where people can see it, and has the jobs of such messages be dead.

On RabbitMQ dead letters stand in a queue like any other: a refused message comes there as a copy with its reason, one
that a queue gave up comes by itself, with the queue's own words.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from dts_core.brokers.base import DEAD, Broker, DeadLetter, Delivery, Message
from dts_core.brokers.consumer import Consumer, HandBack
from dts_core.brokers.senders import host_of
from dts_core.clock import Clock
from dts_core.errors import BrokerUnavailable, DtsError, StoreUnavailable
from dts_core.model import Job
from dts_core.services.claims import changes_of, undeliverable
from dts_core.services.messages import publish_changes
from dts_core.states import FINAL, HELD
from dts_core.stores.base import DeadLetterStore
from dts_core.stores.jobstore import JobStore

__all__ = ["Undertaker"]

AGAIN_SECONDS: Final = 5.0
"""When a letter that cannot be kept is tried again."""
RECORD_SECONDS: Final = 15.0
"""So much later than its message a job may be recorded as queued by it: the broker confirms in between."""
JOB: Final = "JobMessage"
log = logging.getLogger(__name__)


class Graves(DeadLetterStore, JobStore, Protocol):
    """What it needs of the store."""


class LetterOf(Protocol):
    """Reads a message of `dead`: the same one gives the same key, however often it comes."""

    def __call__(self, message: Message, *, now: datetime) -> tuple[str, DeadLetter]: ...


class Undertaker(Consumer[bytes]):
    """Consumes `dead`.

    Args:
        broker: Where the letters come.
        store: Keeps them, and the jobs.
        clock: For those that do not say when they died.
        letter_of: Reads one, as its broker writes them.
        is_refusal: Whether a message was refused by a consumer, rather than given up by its queue.
        prefetch: Most letters at a time.
    """

    name = "undertaker"
    queue = DEAD
    message_class = None

    def __init__(
        self,
        broker: Broker,
        store: Graves,
        clock: Clock,
        *,
        letter_of: LetterOf,
        is_refusal: Callable[[Message], bool],
        prefetch: int = 50,
    ) -> None:
        super().__init__(broker, prefetch=prefetch)
        self._store = store
        self._clock = clock
        self._letter_of = letter_of
        self._is_refusal = is_refusal

    async def operate(self, message: bytes, delivery: Delivery) -> None:
        """Keep one letter, and bury its job.

        Raises:
            StoreUnavailable: It is tried again. So with BrokerUnavailable.
            HandBack: It cannot be kept; a dead letter cannot become one, so it comes again.
        """
        try:
            key, letter = self._letter_of(delivery.message, now=self._clock.now())
            await self._store.add_dead([(key, letter)])
            if delivery.message.type == JOB:
                await self._end_job(delivery.message, letter)
        except (StoreUnavailable, BrokerUnavailable):
            raise
        except Exception as error:
            log.exception("a dead letter cannot be kept")
            await asyncio.sleep(AGAIN_SECONDS)
            raise HandBack("it cannot be kept") from error

    async def _end_job(self, message: Message, letter: DeadLetter) -> None:
        for job in await self._store.get_jobs([message.message_id]):
            if not self._is_over(job, message):
                log.info("job %s goes on without a message that died: %s", job.id, letter.reason)
                continue
            now = self._clock.now()
            outcomes = await self._store.apply(
                [undeliverable(job.id, letter.reason, now, epoch=job.epoch)]
            )
            try:
                await publish_changes(self.broker, changes_of(outcomes), at=now)
            except DtsError as error:
                log.warning("changes could not be announced: %s", error)

    def _is_over(self, job: Job, message: Message) -> bool:
        """Whether a job ends with this message. A worker's user ends only what its host holds."""
        if job.state in FINAL:
            return False
        host = host_of(message.user_id)
        if host is not None:
            return job.state in HELD and job.host == host
        if self._is_refusal(message):
            return True
        # What a queue gives up may be a second message of a job that runs: when that is lost, it gets another one.
        return job.state not in HELD and not _is_invited_since(job, message)


def _is_invited_since(job: Job, message: Message) -> bool:
    """Whether a job was queued anew after this message invited to it: another one does so by now."""
    if job.queued_at is None or not message.timestamp:
        return False
    return job.queued_at.timestamp() - message.timestamp > RECORD_SECONDS
