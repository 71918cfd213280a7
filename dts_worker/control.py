"""Orders of the control side: cancel, reload, drain, pauses."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog

from dts_core import codec
from dts_core.brokers.base import CONTROL, Broker, Message, Subscription
from dts_core.children import Call, Children, EndKind
from dts_core.errors import BrokerUnavailable, CodecError, FunctionRefused
from dts_core.model import Ahead, Cancel, Control, Drain, LogRecord, Pauses, Readied, Reload
from dts_core.names import is_name, new_id
from dts_core.text import clean_lines, one_line
from dts_worker.environments import EnvironmentFailed
from dts_worker.executor import Executor
from dts_worker.loader import Loader, is_hash
from dts_worker.ports import LogSink
from dts_worker.readied import ReadiedVersions

CHECK_SECONDS = 10.0
"""Longest time that importing a function may take."""
RELOADS_MAX = 4
"""Versions that are fetched and tried at once; further orders wait, the last one of each function."""
WAITING_MAX = 1_000
_ORDER: Any = Control
"""To the decoder a union is a type like any other."""
log = structlog.get_logger(__name__)


class Orders:
    """Listens to the fanout `control`.

    Args:
        broker: Where to listen.
        executor: Holds the jobs.
        children: Try new versions.
        loader: Fetches them.
        logs: Told of a version that is refused.
        host: Of this worker.
        worker: Its name.
        on_drain: Called with whether to take nothing new.
        on_readied: Called when there is an answer to a deploy to be said.
        on_pauses: Called with every queue that is paused, without the prefix.
    """

    def __init__(
        self,
        broker: Broker,
        executor: Executor,
        children: Children,
        loader: Loader,
        *,
        logs: LogSink,
        host: str,
        worker: str,
        on_drain: Callable[[bool], None],
        on_pauses: Callable[[Iterable[str]], None] = lambda queues: None,
        on_readied: Callable[[], None] = lambda: None,
    ) -> None:
        self.readied = ReadiedVersions()
        self._broker = broker
        self._executor = executor
        self._children = children
        self._loader = loader
        self._logs = logs
        self._host = host
        self._worker = worker
        self._on_drain = on_drain
        self._on_pauses = on_pauses
        self._on_readied = on_readied
        self._reloads: dict[tuple[str, str], Reload] = {}
        self._deploying: set[str] = set()
        self._wake = asyncio.Event()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Start to listen."""
        self._subscription = await self._broker.subscribe(CONTROL, self._on_message)

    async def close(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.close()

    async def run(self) -> None:
        """Fetch and try new versions until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(RELOADS_MAX):
                tasks.create_task(self._reload_on(), name=f"reload-{number}")

    def _on_message(self, message: Message) -> None:
        try:
            order: Control = codec.decode(message.body, _ORDER)
        except CodecError as error:
            log.warning("an order cannot be read", reason=str(error))
            return
        self.obey(order)

    def obey(self, order: Control) -> None:
        """Carry out one order; those for other hosts or for jobs that are not here change nothing."""
        if isinstance(order, Cancel):
            if self._executor.cancel(order.job):
                log.info("a job is told to stop", job=order.job, by=order.by)
        elif isinstance(order, Drain):
            if order.host == self._host:
                self._on_drain(order.on)
        elif isinstance(order, Pauses):
            self._on_pauses(order.queues)
        elif is_hash(order.hash):
            self._reload_soon(order)

    def _reload_soon(self, order: Reload) -> None:
        """Of a function the last order counts; a deploy that is told again is answered again, and done once."""
        ahead = order.ahead or Ahead(is_default=True)
        namespace, _, name = order.function.partition("/")
        if not is_name(namespace) or not is_name(name):
            return
        if ahead.hosts and self._host not in ahead.hosts:
            return
        if ahead.order in self.readied:
            self._on_readied()
        elif ahead.order not in self._deploying and len(self._reloads) < WAITING_MAX:
            if ahead.order:
                self._deploying.add(ahead.order)
            self._reloads[order.function, ahead.order or str(ahead.is_default)] = order
            self._wake.set()

    async def _reload_on(self) -> None:
        while True:
            await self._wake.wait()
            if not self._reloads:
                self._wake.clear()
                continue
            await self._reload(self._reloads.pop(next(iter(self._reloads))))

    async def _reload(self, order: Reload) -> None:
        """Have a version ready before its first job; one that does not import is reported, the old one stays."""
        try:
            why = await self._make_ready(order)
        except BrokerUnavailable as error:
            why = f"its source cannot be fetched now: {error}"
            log.warning(
                "a version cannot be fetched now", function=order.function, reason=str(error)
            )
        else:
            if why:
                self._refused(order, why)
            elif order.ahead is None or order.ahead.is_default:
                self._executor.functions[order.function] = order.hash
        self._answer(order, why)

    async def _make_ready(self, order: Reload) -> str:
        """Fetch a version, make its environment, and import it once; why that cannot be, or empty.

        Raises:
            BrokerUnavailable: Its source cannot be had now.
        """
        try:
            source = await self._loader.source(order.function, order.hash)
            python = await self._executor.interpreter(order.function, order.hash, source)
        except (FunctionRefused, EnvironmentFailed) as error:
            return str(error)
        ended = await self._children.run(
            Call(
                id=f"check-{new_id()}",
                function=order.function,
                hash=order.hash,
                source=source,
                python=python,
                timeout_seconds=CHECK_SECONDS,
                grace_seconds=0.5,
                check_only=True,
            )
        )
        if ended.kind is EndKind.RETURNED:
            log.info("a version is ready", function=order.function, version=order.hash[:12])
            return ""
        return "it was not tried: the worker ends" if ended.error is None else ended.error.message

    def _answer(self, order: Reload, why: str) -> None:
        """Let the deploy know that waits for it, if one does."""
        if order.ahead is None or not order.ahead.order:
            return
        self._deploying.discard(order.ahead.order)
        self.readied.add(
            Readied(
                order=order.ahead.order,
                worker=self._worker,
                function=order.function,
                hash=order.hash,
                why=one_line(why),
                runs=self._executor.functions.get(order.function, ""),
            )
        )
        self._on_readied()

    def _refused(self, order: Reload, reason: str) -> None:
        text = f"version {order.hash[:12]} is refused: {reason}"
        log.warning("a version is refused", function=order.function, reason=one_line(reason))
        now = datetime.now(UTC)
        record = LogRecord(
            now, self._host, "worker", 40, clean_lines(text), function=order.function
        )
        self._logs.add(record)
