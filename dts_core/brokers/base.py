"""The broker's contract, written once for every engine.

Queues of work keep a message until it is acked; a delivery belongs to its consumer's link until ack, nack, or the loss
of that link, never until a time has passed. Bounded queues drop their oldest message and count it. A fanout hands each
message to every subscriber's own bounded queue and may lose.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from dts_core.model import QueueStats

CONTROL: Final = "control"
"""Fanout: cancel, reload, drain; to every worker."""
HOLDERS: Final = "Holders"
"""Type of the message on `control` that calls for the holders of jobs."""
EVENTS: Final = "events"
"""Fanout: what changed; to every server."""
JOBS: Final = "jobs."
"""Prefix of the queues of work for workers: `jobs.<queue>`, `jobs.host.<host>`, `jobs.dts`."""
RESULTS: Final = "results"
HEARTBEATS: Final = "heartbeats"
LOGS: Final = "logs"
REQUESTS: Final = "requests"
SUBMIT: Final = "submit"
"""On RabbitMQ: where programs that know nothing of dts send jobs."""
DEAD: Final = "dead"
"""On RabbitMQ: where messages go that were given up; the undertaker keeps them in the store."""


class QueueKind(StrEnum):
    """What a queue promises."""

    WORK = "work"  # durable, dead-letters, priorities 0..9, strict order within a priority
    BOUNDED = "bounded"  # in memory, at most `limit` messages, the oldest dropped and counted
    REQUEST = "request"  # in memory, for request/reply: a request that nobody takes is refused


class QueueSpec(msgspec.Struct, frozen=True):
    """One queue as it is declared. Declaring the same again changes nothing."""

    name: str
    kind: QueueKind = QueueKind.WORK
    limit: int = 10_000
    """For bounded ones, in messages."""
    claimed: bool = False
    """Deliveries are claimed for the taker while they are handed over (queues of jobs)."""


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Body and properties, as AMQP names them."""

    body: bytes
    type: str = ""
    message_id: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    priority: int = 0
    """0..9"""
    timestamp: float = 0.0
    """Seconds since 1970."""
    app_id: str = "dts"
    content_type: str = "application/vnd.dts+msgpack"
    content_encoding: str = ""
    headers: dict[str, Any] = {}
    user_id: str = ""
    """Who published it, as the broker vouches for; empty where it keeps no users. Set by the adapter alone."""


def claim_headers(job: str, epoch: int) -> dict[str, Any]:
    """Headers of a question that is asked for a claim; a link passes them only for claims that it holds."""
    return {"job": job, "epoch": epoch}


def claim_of(message: Message) -> tuple[str, int] | None:
    """The claim that a question is asked for, None when it names none."""
    job, epoch = message.headers.get("job"), message.headers.get("epoch")
    return (job, epoch) if isinstance(job, str) and isinstance(epoch, int) else None


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """A message and the queue it goes to."""

    queue: str
    message: Message


class Delivery(msgspec.Struct, frozen=True, array_like=True):
    """One handing-over of a message. `tag` is the consumption's own number for it."""

    tag: int
    queue: str
    message: Message
    redelivered: bool = False
    epoch: int = 0
    """For claimed queues: the epoch granted to this link; 0 elsewhere."""
    attempt: int = 0
    """For claimed queues: the attempt this is, from 1."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up, with the reason."""

    seq: int
    queue: str
    died: datetime
    reason: str
    message: Message


class Consumption(Protocol):
    """One consumer on one queue.

    Acks and nacks are sent in order, coalesced, and not waited for: a lost one redelivers.
    """

    def ack(self, tags: Sequence[int]) -> None:
        """End deliveries for good. Unknown tags are ignored (their link was lost meanwhile)."""
        ...

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """Hand deliveries back, to the front of their queue, or (`requeue` False) to the dead letters with `reason`.

        A requeued delivery of a claimed queue gives its claim back uncharged.
        """
        ...

    def grant(self, credit: int) -> None:
        """Set how many deliveries may be unacked from now on; 0 pauses."""
        ...

    async def close(self) -> None:
        """Take no more; deliveries not acked go back to the queue uncharged. A second call does nothing."""
        ...


class Subscription(Protocol):
    """One subscriber of a fanout; `dropped` counts what its bounded queue lost."""

    dropped: int

    async def close(self) -> None:
        """Take no more. A second call does nothing."""
        ...


OnDeliveries = Callable[[list[Delivery]], None]
"""Called on the loop with 1 to `prefetch` deliveries; must return at once and must not raise."""
OnMessage = Callable[[Message], None]


class Broker(Protocol):
    """Queues, fanouts and requests. Every await has a deadline: BrokerUnavailable when it passes."""

    async def declare(self, spec: QueueSpec) -> None:
        """Make the queue when it is not there. Idempotent."""
        ...

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """Publish in order; returns once every item of a work queue is durable and every other one accepted.

        Raises:
            QueueNotFound: A queue was never declared; nothing is published.
            ResultRefused: `results` only, through a link: none of the refused results was published, the others were;
                the error's `refused` lists their (job id, epoch).
            BrokerUnavailable: The outcome is unknown; publishing again may duplicate.
        """
        ...

    async def fanout(self, exchange: str, message: Message) -> None:
        """Hand the message to every subscriber there is now."""
        ...

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> Consumption:
        """Start taking from a declared queue, at most `prefetch` unacked.

        Raises:
            QueueNotFound: It was never declared.
        """
        ...

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> Subscription:
        """Hear a fanout from now on, through a queue of at most `limit` messages, oldest dropped."""
        ...

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """Publish with a `reply_to` of our own and wait for the answer with our `correlation_id`.

        Raises:
            BrokerUnavailable: Nobody answered in time.
        """
        ...

    async def stats(self) -> list[QueueStats]:
        """Every declared queue, by name."""
        ...

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500."""
        ...

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Put dead letters back into the queues they came from; how many there were."""
        ...

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Throw dead letters away for good; how many there were."""
        ...

    async def pause(self, queue: str) -> None:
        """Hand nothing out from this queue until `resume`; what is out goes on. Not kept over a restart.

        Raises:
            QueueNotFound: It was never declared.
        """
        ...

    async def resume(self, queue: str) -> None:
        """Hand out again. One that is not paused stays as it is.

        Raises:
            QueueNotFound: It was never declared.
        """
        ...

    async def close(self) -> None:
        """End consumptions and subscriptions, hand deliveries back, disconnect. A second call does nothing."""
        ...


class ClaimVerdict(StrEnum):
    """What a claim is answered with."""

    GRANTED = "granted"
    FINISHED = "finished"  # over, cancelled, expired or unknown: drop the message
    HELD = "held"  # a live lease stands against it: come back when it lapses


class ClaimRequest(msgspec.Struct, frozen=True, array_like=True):
    """One job that a worker wants to start."""

    job: str
    host: str
    worker: str
    redelivered: bool = False
    """Its former delivery is known to be over, so a live lease counts no longer, save as `epoch` and `lease` say."""
    epoch: int = 0
    """Epoch of that former delivery, when known: a live lease of another epoch still counts. 0: unknown."""
    lease: int = 0
    """With epoch 0: the `lease` of the answer that it was given before. 0: asked for the first time."""
    returned: bool = False
    """That delivery was given back, and the store may not have been told: should its claim stand, it ends uncharged.
    Only the broker's own process says so."""


class ClaimAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The answer; `epoch` and `attempt` when granted, `retry_after_seconds` when held."""

    verdict: ClaimVerdict
    epoch: int = 0
    attempt: int = 0
    retry_after_seconds: float = 0.0
    lease: int = 0
    """When a redelivery is held by a claim whose holder may be gone: which claim it is, and when its lease ends, in a
    number. Asked with it once more, the claim is over if nobody has renewed it meanwhile."""


class ClaimDesk(Protocol):
    """Who grants claims while a claimed queue hands over; implemented by `services.claims`."""

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        """One answer each, in order; one guarded bulk write."""
        ...

    async def give_back(self, claims: Sequence[tuple[str, int]], reason: str) -> None:
        """(job, epoch) returned unharmed: queued again, nothing charged. Stale ones change nothing."""
        ...

    async def lose(self, claims: Sequence[tuple[str, int]], reason: str) -> list[str]:
        """(job, epoch) whose link is gone: a loss is charged. Returns the ids that were buried: drop their messages."""
        ...

    async def bury(self, jobs: Sequence[str], reason: str) -> None:
        """Jobs whose message went to the dead letters: they are dead, with `reason`. Finished ones are left alone."""
        ...

    async def held(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[bool]:
        """For a worker that reconnects: whether each (job, epoch) is still its own."""
        ...

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """For a worker that reconnects: what was granted to it and is not among what it holds."""
        ...
