"""What a worker may do that was launched over SSH: its session may have been stolen, so nothing it says is believed.

Who it is stands in its pass, which its gateway wrote. It may take from its queues, hear orders that concern it, report
for itself what it holds, and ask for functions that it was given. What else it tries is refused and counted; a session
that tries again is ended.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Delivery, Message, Outgoing, QueueSpec, claim_headers
from dts_core.brokers.frames import Hello
from dts_core.brokers.link_rules import Holder, Publication, WorkerRules
from dts_core.errors import CodecError, Forbidden
from dts_core.model import (
    BlobChunk,
    Cancel,
    Control,
    Drain,
    Heartbeat,
    JobMessage,
    JobResults,
    LogBatch,
    ProgressReport,
    Question,
    Reload,
    SourceRequest,
)
from dts_core.names import is_name
from dts_core.settings import QueueNames
from dts_core.states import JobEvent
from dts_core.text import one_line

__all__ = ["AgentRules", "Pass", "check_hello"]

GIVEN_MAX: Final = 10_000
"""Jobs, and versions of functions, of which it is remembered that the session was given them."""
CREDIT_MAX: Final = 2_000
"""Most deliveries that it may hold."""
ENDS: Final = frozenset(
    {JobEvent.FINISH, JobEvent.FAIL, JobEvent.CONFIRM_CANCEL, JobEvent.GIVE_BACK}
)
_ORDER: Any = Control
_QUESTION: Any = Question
_REPORT: Any = Heartbeat | ProgressReport


class Pass(msgspec.Struct, frozen=True):
    """Who a launched worker is, and what it is for."""

    host: str
    """The virtual host's id."""
    worker: str
    """Its name, given by whoever launched it."""
    queues: tuple[str, ...] = ("default",)
    """Queues of jobs, without their prefix; its host's own is added."""

    def __post_init__(self) -> None:
        if not all(is_name(queue) and queue != "dts" for queue in self.queues):
            raise ValueError("a queue that no worker takes from")


def check_hello(hello: Hello, own: Pass) -> None:
    """Whoever comes on a launched worker's stream has to be that worker, at its start.

    Raises:
        Forbidden: Another one, or one that says it holds something already.
    """
    if (hello.host, hello.worker) != (own.host, own.worker):
        raise Forbidden("this stream belongs to another worker.")
    if hello.holding or hello.stream > 1:
        raise Forbidden("a launched worker has one stream, and holds nothing when it begins.")


class _Given:
    """What was given lately, within bounds."""

    def __init__(self) -> None:
        self._things: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, thing: Hashable) -> None:
        self._things[thing] = None
        self._things.move_to_end(thing)
        if len(self._things) > GIVEN_MAX:
            self._things.popitem(last=False)

    def __contains__(self, thing: object) -> bool:
        return thing in self._things


class AgentRules(WorkerRules):
    """The rules of one session."""

    refusals_max = 1
    credit_max = CREDIT_MAX

    def __init__(self, names: QueueNames, own: Pass) -> None:
        super().__init__(names, own.host)
        self._own = own
        queues = (*own.queues, f"host.{own.host}")
        self._queues = frozenset(f"{names.jobs}.{queue}" for queue in queues)
        self._short = frozenset(queues)
        self._jobs_given = _Given()
        self._versions_given = _Given()
        self._checks: Mapping[str, Callable[[bytes], None]] = {
            names.results: self._check_results,
            names.heartbeats: self._check_report,
            names.logs: self._check_logs,
        }

    # --- what it is given

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """It may ask for what these jobs need, and speak of them."""
        for delivery in deliveries:
            try:
                job = codec.decode(delivery.message.body, JobMessage).on(self._own.host)
            except CodecError:
                continue  # the worker cannot read it either
            self._jobs_given.add(delivery.message.message_id)
            self._give(job.function, job.version)

    def may_hear(self, message: Message) -> bool:
        """Whether an order concerns it. A function that it is to have ready is given to it."""
        try:
            order: Control = codec.decode(message.body, _ORDER)
        except CodecError:
            return False
        if isinstance(order, Reload):
            hosts = order.ahead.hosts if order.ahead is not None else []
            if hosts and self._own.host not in hosts:
                return False
            self._give(order.function, order.hash)
            return True
        if isinstance(order, Cancel):
            return order.job in self._jobs_given
        return order.host == self._own.host if isinstance(order, Drain) else True

    def _give(self, function: str, version: str) -> None:
        self._versions_given.add(version)
        self._versions_given.add((function, version))

    # --- what it sends

    def publication(self, items: Sequence[Outgoing], holder: Holder) -> Publication:
        """What passes: its own results, reports and logs, without anything around them that steers a broker."""
        for item in items:
            check = self._checks.get(item.queue)
            if check is None:
                raise Forbidden(f"a launched worker may not publish to {_shown(item.queue)}.")
            check(item.message.body)
        bare = [Outgoing(item.queue, _bare(item.message)) for item in items]
        return super().publication(bare, holder)

    def _check_results(self, body: bytes) -> None:
        results = codec.decode(body, JobResults)
        self._check_self(results.host, results.worker)
        for result in results.results:
            if result.event not in ENDS:
                raise Forbidden(f"{result.event!r} is no end of a job that a worker reports.")

    def _check_report(self, body: bytes) -> None:
        report: Heartbeat | ProgressReport = codec.decode(body, _REPORT)
        self._check_self(report.host, report.worker)
        if isinstance(report, Heartbeat):
            for each in report.readied:
                self._check_self(report.host, each.worker)

    def _check_logs(self, body: bytes) -> None:
        batch = codec.decode(body, LogBatch)
        self._check_self(batch.host, batch.worker)
        for record in batch.records:
            self._check_self(record.host, batch.worker)
            if record.job and record.job not in self._jobs_given:
                raise Forbidden(f"job {_shown(record.job)} was never given to this worker.")

    def _check_self(self, host: str, worker: str) -> None:
        if (host, worker) != (self._own.host, self._own.worker):
            told = f"{host[:120]}, {worker[:120]}"
            raise Forbidden(f"a worker speaks for itself alone, not as {_shown(told)}.")

    # --- what it asks for

    def declared(self, spec: QueueSpec) -> QueueSpec:
        """Its own queues of jobs."""
        self.check_consume(spec.name)
        return super().declared(spec)

    def check_consume(self, queue: str) -> None:
        """The queues of its pass."""
        if queue not in self._queues:
            raise Forbidden(f"this worker may not take from {_shown(queue)}.")

    def check_request(self, queue: str, message: Message, holder: Holder) -> None:
        """Source of what it was given, the keys of servers, and results of what it holds. Claims are granted to it."""
        if queue != REQUESTS:
            raise Forbidden(f"a launched worker may not ask {_shown(queue)}.")
        question: Question = codec.decode(message.body, _QUESTION)
        if isinstance(question, SourceRequest):
            self._check_source(question)
        elif not isinstance(question, BlobChunk):
            raise Forbidden("a launched worker asks for no claims.")
        elif message.headers != claim_headers(question.job, question.epoch):
            raise Forbidden("a chunk comes under the claim that it belongs to.")
        super().check_request(queue, message, holder)

    def _check_source(self, asked: SourceRequest) -> None:
        wanted = (asked.function, asked.hash) if asked.function else asked.hash
        if asked.hash and wanted not in self._versions_given:
            raise Forbidden(
                f"{_shown(asked.function or asked.hash)} was never given to this worker."
            )

    def asked(self, message: Message) -> Message:
        """The question without what steers a broker."""
        bare = _bare(message)
        claim = {
            name: message.headers[name] for name in ("job", "epoch") if name in message.headers
        }
        return msgspec.structs.replace(bare, headers=claim)


def _bare(message: Message) -> Message:
    return Message(
        message.body,
        type=one_line(message.type, 64),
        timestamp=message.timestamp,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )


def _shown(text: str) -> str:
    return repr(one_line(text, 120))
