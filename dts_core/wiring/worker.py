"""A worker's broker: a link to the owner of a data folder, or RabbitMQ with claims asked for on top.

Imports neither the server nor a store; each adapter only when its URL names it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from dts_core.brokers.base import CONTROL, JOBS, Broker, QueueSpec
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.brokers.wire import OpenStream
from dts_core.errors import BrokerUnavailable, QueueNotFound
from dts_core.hosting.roundtrips import RoundTrips, Trip
from dts_core.hosting.waiting import patiently
from dts_core.places import check_worker_url, is_amqp, is_stdio, socket_of
from dts_core.settings import LinkSettings
from dts_core.wiring.lines import Line, OnState

if TYPE_CHECKING:
    from dts_core.brokers.stdio import Stdio

__all__ = ["Hooks", "WorkerLine", "worker_line"]

Resumed = list[tuple[str, int, bool, int | None]]
"""(job, epoch, whether it is still ours, the tag of its delivery, None when it was acked)"""


class Hooks(Protocol):
    """What the two adapters ask of a worker, and tell it."""

    holding: Callable[[], Sequence[tuple[str, int]]] | None
    on_resumed: Callable[[Resumed], None] | None


class WorkerLine:
    """The broker of one worker. Attach the worker, `start`, and `close` in the end."""

    def __init__(
        self,
        broker: Broker,
        hooks: Hooks,
        line: Line,
        host: str,
        hear: Callable[[OnState], None],
    ) -> None:
        self.broker = broker
        """Under the names that the code knows, with claimed deliveries on queues of jobs."""
        self._hooks = hooks
        self._line = line
        self._hear = hear
        spec = QueueSpec(f"{JOBS}host.{host}", claimed=True)
        self.probe = RoundTrips({"broker": Trip(lambda: broker.declare(spec), line.away)})

    def attach(
        self,
        *,
        holding: Callable[[], Sequence[tuple[str, int]]],
        on_resumed: Callable[[Resumed], None],
        on_state: OnState,
    ) -> None:
        """Say whom to ask and to tell; before `start`."""
        self._hooks.holding = holding
        self._hooks.on_resumed = on_resumed
        self._hear(on_state)

    async def start(self, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Wait until the broker is there.

        Raises:
            Stopped: `stop` was set meanwhile.
        """
        await self._line.start(stop, tell)
        await patiently("the control side", self._meet, stop, tell=tell)

    async def _meet(self) -> None:
        """On an empty virtual host there is nothing to hear orders from before a server or daemon was there once."""
        try:
            heard = await self.broker.subscribe(CONTROL, lambda message: None)
        except QueueNotFound as error:
            raise BrokerUnavailable("no server or daemon has been there yet.") from error
        await heard.close()

    async def close(self) -> None:
        """Give back what is held, and disconnect. A second call does nothing."""
        await self.broker.close()


def worker_line(
    settings: LinkSettings, *, host: str, worker: str, stdio: "Stdio | None" = None
) -> WorkerLine:
    """The line that `[broker] url` names.

    Args:
        settings: `[broker]` of worker.toml.
        host: Name of this host.
        worker: Name of this worker, unique for each start.
        stdio: For `link+stdio:`, taken when the process began.

    Raises:
        ConfigError: The URL is none of a worker's, or the files of TLS cannot be used.
    """
    check_worker_url(settings.url, settings.tls)
    if is_amqp(settings.url):
        return _rabbitmq(settings, host, worker)
    return _link(settings, host, worker, stdio)


def _link(settings: LinkSettings, host: str, worker: str, stdio: "Stdio | None") -> WorkerLine:
    from dts_core.brokers.link import LinkBroker, unix_stream

    if is_stdio(settings.url):
        assert stdio is not None
        open_stream: OpenStream = stdio.open
    else:
        open_stream = unix_stream(socket_of(settings.url, key="broker.url"))
    link = LinkBroker(open_stream, host=host, worker=worker)
    broker = NamedBroker(link, Names(settings.mq))
    line = Line(link)
    return WorkerLine(broker, link, line, host, line.then)


def _rabbitmq(settings: LinkSettings, host: str, worker: str) -> WorkerLine:
    from dts_core.brokers.claiming import ClaimingBroker
    from dts_core.brokers.rabbitmq.broker import RabbitmqBroker

    rabbit = RabbitmqBroker(
        settings.url,
        host=host,
        worker=worker,
        role="worker",
        settings=settings.rabbitmq,
        names=settings.mq,
        tls=settings.tls,
    )
    claiming = ClaimingBroker(
        NamedBroker(rabbit, Names(settings.mq)),
        host=host,
        worker=worker,
        ack_after_seconds=settings.rabbitmq.ack_after_seconds,
    )
    line = Line(rabbit)
    line.then(claiming.on_link)

    def hear(on_state: OnState) -> None:
        claiming.on_state = on_state

    return WorkerLine(claiming, claiming, line, host, hear)
