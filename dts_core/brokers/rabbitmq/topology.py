"""What the queues and exchanges are called on RabbitMQ, and how each is made. No input or output here.

A work queue of jobs that is a quorum queue is one queue for each band of priorities, since quorum queues have none of
their own: `jobs.default` (0), `jobs.default:high` (1 to 4) and `jobs.default:urgent` (5 to 9). A classic queue is one,
with ten strict priorities.
"""

from fnmatch import fnmatchcase
from typing import Any, Final

from dts_core.brokers import base
from dts_core.brokers.base import QueueKind, QueueSpec
from dts_core.settings import QueueNames, RabbitSettings

UP: Final = "dts.up"
"""Direct: the one exchange that a worker writes to; each of its queues is bound under its own name."""
DLX: Final = "dts.dead"
"""Fanout: where queues send what they give up; the queue `dead` is bound to it."""
EXCHANGES: Final = {UP: "direct", DLX: "fanout"}
DEFAULT_EXCHANGE: Final = ""
REPLY_QUEUE: Final = "amq.rabbitmq.reply-to"
"""RabbitMQ's direct reply-to: a name to consume from and to put into `reply_to`; the broker makes it one's own."""
REPLIES: Final = (f"{REPLY_QUEUE}.", "reply.", "amq.gen-")
"""How names begin that lead to who asked; an answer to somebody who has gone is dropped."""
HIGH: Final = ":high"
URGENT: Final = ":urgent"
BOUNDED_SECONDS: Final = 600
"""A heartbeat or a batch of logs older than this is of no use any more."""
REQUEST_SECONDS: Final = 30
"""Nobody waits for an answer any longer."""
PRIORITY_MAX: Final = 9
KNOWN_MAX: Final = 10_000
"""Most queues whose kind is remembered."""
_HIGH_FROM: Final = 1
_URGENT_FROM: Final = 5

Arguments = dict[str, Any]


class Topology:
    """Names and arguments, as the settings want them.

    Args:
        names: What the queues are called.
        settings: Which kinds they are.
    """

    def __init__(self, names: QueueNames, settings: RabbitSettings) -> None:
        self._settings = settings
        self._jobs = f"{names.jobs}."
        self._codes = {names.heartbeats: base.HEARTBEATS, names.logs: base.LOGS}
        self._bounded = frozenset((names.heartbeats, names.logs))
        self.up: Final = frozenset(
            (names.results, names.heartbeats, names.logs, base.REQUESTS, base.DEAD)
        )
        """Queues that are bound to the exchange UP."""
        self._kinds: dict[str, str] = {}
        """What the patterns say of the queues that were asked about: each message asks."""

    def spec_of(self, queue: str) -> QueueSpec:
        """What a queue is that this process did not declare itself."""
        if queue in self._bounded:
            return QueueSpec(queue, QueueKind.BOUNDED)
        if queue == base.REQUESTS:
            return QueueSpec(queue, QueueKind.REQUEST)
        return QueueSpec(queue)

    def is_quorum(self, spec: QueueSpec) -> bool:
        """Whether it is made as a quorum queue. Patterns know the queue by the name of the code.

        Queues of questions, heartbeats and logs are where they are named outright: patterns mean queues of work.
        """
        kind = self._kinds.get(spec.name)
        if kind is None:
            kind = self._kind_of(spec)
            if len(self._kinds) < KNOWN_MAX:
                self._kinds[spec.name] = kind
        return kind == "quorum"

    def _kind_of(self, spec: QueueSpec) -> str:
        known = spec.name
        if spec.kind is not QueueKind.WORK:
            code = self._codes.get(known, known)
            return self._settings.kinds.get(code, "classic")
        if known.startswith(self._jobs):
            known = base.JOBS + known.removeprefix(self._jobs)
        for pattern, kind in self._settings.kinds.items():
            if fnmatchcase(known, pattern):
                return kind
        return "quorum"

    def bands(self, spec: QueueSpec) -> tuple[str, ...]:
        """The queues on RabbitMQ, the most urgent first."""
        name = spec.name
        if name.startswith(self._jobs) and self.is_quorum(spec):
            return (name + URGENT, name + HIGH, name)
        return (name,)

    def _replicated(self, spec: QueueSpec) -> Arguments:
        return {"x-queue-type": "quorum"} if self.is_quorum(spec) else {}

    def arguments(self, spec: QueueSpec) -> Arguments:
        """What a queue, or each of its bands, is declared with."""
        if spec.kind is QueueKind.BOUNDED:
            # No x-single-active-consumer: one that stands still would keep everything from those that stand by, for as
            # long as its connection lives, while what waits is dropped at the head.
            return {
                **self._replicated(spec),
                "x-max-length": max(spec.limit, 1),
                "x-overflow": "drop-head",
                "x-message-ttl": BOUNDED_SECONDS * 1000,
            }
        if spec.kind is QueueKind.REQUEST:
            return {**self._replicated(spec), "x-message-ttl": REQUEST_SECONDS * 1000}
        dead: Arguments = {} if spec.name == base.DEAD else {"x-dead-letter-exchange": DLX}
        if not self.is_quorum(spec):
            return {**dead, "x-max-priority": PRIORITY_MAX}
        arguments: Arguments = {"x-queue-type": "quorum", **dead}
        if dead:
            # At least once: what is given up stays until `dead` has confirmed it; it asks for reject-publish.
            arguments |= {
                "x-delivery-limit": self._settings.delivery_limit,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        return arguments


def band_for(bands: tuple[str, ...], priority: int) -> str:
    """Which of the queues takes a message of this priority."""
    if len(bands) == 1:
        return bands[0]
    urgent, high, rest = bands
    if priority >= _URGENT_FROM:
        return urgent
    return high if priority >= _HIGH_FROM else rest


def queue_of(band: str) -> str:
    """The queue that a band belongs to."""
    return band.removesuffix(URGENT).removesuffix(HIGH)


def fanout_name(exchange: str) -> str:
    """What a fanout is called on RabbitMQ."""
    return f"dts.{exchange}"


def subscription_queue(host: str, number: str) -> str:
    """The queue of one subscriber; a worker's user may make those of its own host alone."""
    return f"dts.sub.{host or 'control'}.{number}"


def subscription_arguments(limit: int) -> Arguments:
    """The oldest are dropped beyond `limit`."""
    return {"x-max-length": max(limit, 1), "x-overflow": "drop-head"}


def is_reply(queue: str) -> bool:
    """Whether a name leads to who asked a question."""
    return queue.startswith(REPLIES)
