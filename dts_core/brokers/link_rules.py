"""What the far end of a link may do: everything for an administrator's process, its own work for a worker.

The role is given by whoever serves the stream, never by the client.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from dts_core import codec
from dts_core.brokers.base import (
    CONTROL,
    REQUESTS,
    Delivery,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
    claim_of,
)
from dts_core.errors import BrokerUnavailable, CodecError, Forbidden, ResultRefused, TooLarge
from dts_core.model import Heartbeat, JobResult, JobResults, ProgressReport
from dts_core.names import is_name
from dts_core.settings import QueueNames

PROPERTIES_MAX: Final = 4_096
"""Most bytes of a worker's message beside its body."""
UPLOADS_MAX: Final = 8
"""Most results of one link that come in chunks and are not reported yet."""


class Holder(Protocol):
    """Who holds claims."""

    def holds(self, job: str, epoch: int) -> bool:
        """Whether a result for this claim may come from there."""
        ...


class Publication(msgspec.Struct):
    """What of a publication passes, the claims that it reports, and those that were refused."""

    items: list[Outgoing]
    reported: list[tuple[str, int]] = []
    refused: list[tuple[str, int]] = []


class Rules:
    """An administrator's process: no limits.

    Attributes:
        refusals_max: Forbidden things that end the session with the next one; None: it is told each time, and goes on.
        credit_max: Most deliveries that one consumer may hold.
    """

    refusals_max: int | None = None
    credit_max: int = 100_000

    def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """These are about to be handed over."""

    def may_hear(self, message: Message) -> bool:
        """Whether a message of a fanout passes."""
        return True

    def asked(self, message: Message) -> Message:
        """A question that passed, as it goes on."""
        return message

    def publication(self, items: Sequence[Outgoing], holder: Holder) -> Publication:
        """What passes.

        Raises:
            Forbidden: A queue that this link may not publish to; nothing passes.
            CodecError: A body that cannot be what its queue carries; nothing passes.
        """
        return Publication(list(items))

    def declared(self, spec: QueueSpec) -> QueueSpec:
        """The spec as it may be declared.

        Raises:
            Forbidden: Not by this link.
        """
        return spec

    def check_consume(self, queue: str) -> None:
        """Raises Forbidden when this link may not take from the queue."""

    def check_subscribe(self, exchange: str) -> None:
        """Raises Forbidden when this link may not hear the fanout."""

    def check_fanout(self, exchange: str) -> None:
        """Raises Forbidden when this link may not send to the fanout."""

    def check_request(self, queue: str, message: Message, holder: Holder) -> None:
        """Whether the question may be asked.

        Raises:
            Forbidden: This link may not ask there.
            ResultRefused: It is asked for a claim that the link does not hold.
            BrokerUnavailable: Too many results come in chunks already.
        """

    def check_look(self) -> None:
        """Raises Forbidden when this link may not see queues and dead letters."""

    def check_operate(self) -> None:
        """Raises Forbidden when this link may not pause queues, nor send dead letters again or discard them."""


class WorkerRules(Rules):
    """A worker of one host: takes jobs, reports only for itself and only what it holds."""

    def __init__(self, names: QueueNames, host: str) -> None:
        self._host = host
        self._results = names.results
        self._heartbeats = names.heartbeats
        self._logs = names.logs
        self._jobs = f"{names.jobs}."
        self._uploads: set[tuple[str, int]] = set()

    def publication(self, items: Sequence[Outgoing], holder: Holder) -> Publication:
        """What passes: results of claims that the link holds, heartbeats and logs of its own host, answers."""
        passed = Publication([])
        for item in items:
            _check_size(item.message)
            if item.queue == self._results:
                self._add_results(passed, item.message, holder)
            elif item.queue == self._heartbeats:
                passed.items.append(self._own_report(item, holder))
            elif item.queue == self._logs:
                self._check_host(codec.decode(item.message.body, _Batch).host)
                passed.items.append(item)
            elif item.queue.startswith("reply."):
                passed.items.append(item)
            else:
                raise Forbidden(f"a worker may not publish to {item.queue[:120]!r}.")
        return passed

    def _add_results(self, passed: Publication, message: Message, holder: Holder) -> None:
        results = codec.decode(message.body, JobResults)
        own = results.host == self._host
        kept: list[JobResult] = []
        for result in results.results:
            claim = (result.id, result.epoch)
            if own and holder.holds(*claim):
                kept.append(result)
                passed.reported.append(claim)
                self._uploads.discard(claim)
            else:
                passed.refused.append(claim)
        if len(kept) == len(results.results):
            passed.items.append(Outgoing(self._results, message))
        elif kept:
            body = codec.encode(JobResults(results.host, results.worker, kept))
            passed.items.append(
                Outgoing(self._results, msgspec.structs.replace(message, body=body))
            )

    def _own_report(self, item: Outgoing, holder: Holder) -> Outgoing:
        """The report without claims that are not held here: nobody renews or moves another worker's job."""
        report = codec.decode(item.message.body, _Report)
        self._check_host(report.host)
        claims = [*report.held, *((each.id, each.epoch) for each in report.items)]
        if all(holder.holds(*claim) for claim in claims):
            return item
        whole: Heartbeat | ProgressReport = codec.decode(item.message.body, _REPORTS)
        if isinstance(whole, Heartbeat):
            held = [claim for claim in whole.held if holder.holds(*claim)]
            own: Heartbeat | ProgressReport = msgspec.structs.replace(whole, held=held)
        else:
            items = [each for each in whole.items if holder.holds(each.id, each.epoch)]
            own = msgspec.structs.replace(whole, items=items)
        return Outgoing(item.queue, msgspec.structs.replace(item.message, body=codec.encode(own)))

    def _check_host(self, host: str) -> None:
        if host != self._host:
            raise Forbidden(f"a worker of {self._host!r} may not report for another host.")

    def declared(self, spec: QueueSpec) -> QueueSpec:
        """Queues of jobs only, and only as such."""
        self.check_consume(spec.name)
        return QueueSpec(spec.name, QueueKind.WORK, claimed=True)

    def check_consume(self, queue: str) -> None:
        """Queues of jobs, but not those of other hosts and not the trusted one."""
        name = queue.removeprefix(self._jobs) if queue.startswith(self._jobs) else ""
        is_shared = is_name(name) and name != "dts" and not name.startswith("host.")
        if not is_shared and name != f"host.{self._host}":
            raise Forbidden(f"a worker of {self._host!r} may not take from {queue[:120]!r}.")

    def check_subscribe(self, exchange: str) -> None:
        """Only the control fanout."""
        if exchange != CONTROL:
            raise Forbidden(f"a worker may not hear {exchange[:120]!r}.")

    def check_fanout(self, exchange: str) -> None:
        """None."""
        raise Forbidden("a worker may not send to a fanout.")

    def check_request(self, queue: str, message: Message, holder: Holder) -> None:
        """Only the queue of requests; there for no other claims than those that the link holds."""
        if queue != REQUESTS:
            raise Forbidden(f"a worker may not ask {queue[:120]!r}.")
        _check_size(message)
        claim = claim_of(message)
        if claim is None:
            return
        if not holder.holds(*claim):
            raise ResultRefused("it is sent for a claim that is not held here.", refused=[claim])
        if claim not in self._uploads:
            self._uploads = {each for each in self._uploads if holder.holds(*each)}
            if len(self._uploads) >= UPLOADS_MAX:
                raise BrokerUnavailable(f"{UPLOADS_MAX} large results of this link come already.")
            self._uploads.add(claim)

    def check_look(self) -> None:
        """Not at all."""
        raise Forbidden("a worker may not look at the queues.")

    def check_operate(self) -> None:
        """Not at all."""
        raise Forbidden("a worker may not operate the queues.")


def _check_size(message: Message) -> None:
    """No body is above a message's limit; what is around it stays small, since the bounds of queues count bodies."""
    if len(message.body) > codec.WIRE_MAX:
        raise TooLarge(f"{len(message.body)} bytes exceed a message's limit of {codec.WIRE_MAX}.")
    size = sum(map(len, (
        message.type, message.message_id, message.correlation_id, message.reply_to, message.app_id,
        message.content_type, message.content_encoding,
    )))  # fmt: skip
    if message.headers:
        size += len(msgspec.msgpack.encode(message.headers))
    if size > PROPERTIES_MAX:
        raise TooLarge(f"properties of {size} bytes exceed a worker's limit of {PROPERTIES_MAX}.")


class _Claim(msgspec.Struct, array_like=True):
    id: str
    epoch: int


class _Report(msgspec.Struct):
    """What is looked at of a Heartbeat or ProgressReport."""

    host: str
    held: list[tuple[str, int]] = []
    items: list[_Claim] = []


class _Batch(msgspec.Struct, array_like=True):
    """What is looked at of a LogBatch."""

    host: str


_REPORTS: Any = Heartbeat | ProgressReport


def rules_for(role: str, names: QueueNames, host: str) -> Rules:
    """The rules of a role, `worker` or `admin`.

    Raises:
        CodecError: Another role.
    """
    if role == "admin":
        return Rules()
    if role == "worker":
        return WorkerRules(names, host)
    raise CodecError(f"there is no role {role!r} on a link.")
