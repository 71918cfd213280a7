"""The messages that invite to jobs and tell what changed; one place for all who send them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dts_core import codec
from dts_core.brokers.base import (
    CONTROL,
    EVENTS,
    JOBS,
    Broker,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.model import RESULT_MAX, Change, Changes, Control, Job, JobMessage

CHANGES_MAX: Final = 1000
"""Most changes in one message."""


def job_message(
    job: Job, *, at: datetime, attempt: int = 0, result_max: int = RESULT_MAX
) -> Outgoing:
    """The invitation to a job, for the queue `jobs.<queue>`.

    Args:
        job: As it stands; its options are copied.
        at: When it is published.
        attempt: The attempt that it invites to; 0 = the one after those charged so far.
        result_max: Largest result the worker may send, in bytes.

    Raises:
        TooLarge: The arguments do not fit one message.
    """
    body = codec.encode(
        JobMessage(
            id=job.id,
            function=job.function,
            version=job.version,
            is_async=job.is_async,
            args=job.args,
            kwargs=job.kwargs,
            attempt=attempt or job.attempt + 1,
            timeout_seconds=job.timeout_seconds,
            grace_seconds=job.grace_seconds,
            submitter=job.submitter,
            retries=job.retries,
            result_max=result_max,
            trial=job.trial,
            sealed=job.sealed,
            envelope=job.envelope,
        ),
    )
    return Outgoing(
        JOBS + job.queue,
        Message(
            body,
            type="JobMessage",
            message_id=job.id,
            priority=job.priority,
            timestamp=at.timestamp() // 1,  # AMQP's own; a fraction would be a header of each job
        ),
    )


async def declare_queues(broker: Broker, jobs: Sequence[Job]) -> None:
    """Have the queues of these jobs: one host's own may not have been declared since the broker started."""
    for queue in sorted({job.queue for job in jobs}):
        await broker.declare(jobs_queue(queue))


def jobs_queue(queue: str) -> QueueSpec:
    """The queue that jobs name `queue`."""
    return QueueSpec(JOBS + queue, QueueKind.WORK, claimed=True)


async def send_order(broker: Broker, order: Control) -> None:
    """Give every worker an order; the fanout may lose it.

    Raises:
        BrokerUnavailable: It was not sent.
    """
    await broker.fanout(CONTROL, Message(codec.encode(order), type=type(order).__name__))


async def publish_changes(broker: Broker, changes: Sequence[Change], *, at: datetime) -> None:
    """Tell every server what changed; the fanout may lose, its hearers re-read the store."""
    for start in range(0, len(changes), CHANGES_MAX):
        part = Changes(list(changes[start : start + CHANGES_MAX]))
        message = Message(codec.encode(part), type="Changes", timestamp=at.timestamp())
        await broker.fanout(EVENTS, message)
