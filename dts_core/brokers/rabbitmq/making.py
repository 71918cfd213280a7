"""Exchanges and queues as they are made, looked at and counted, over the channel for declarations."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

import structlog
from aio_pika.abc import AbstractChannel

from dts_core.brokers import base
from dts_core.brokers.base import QueueKind, QueueSpec
from dts_core.brokers.rabbitmq import topology
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.supervisor import Supervisor
from dts_core.brokers.rabbitmq.topology import Topology
from dts_core.deadline import apart, time_left
from dts_core.errors import BrokerUnavailable, Forbidden, QueueNotFound

FANOUTS: Final = (base.CONTROL, base.EVENTS)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Maker:
    """Makes what is not there, and takes what is there as it is.

    Args:
        supervisor: Has the channel.
        topology: Knows the names and arguments.
        settle_seconds: Until RabbitMQ finds a new durable queue again after a crash.
    """

    def __init__(self, supervisor: Supervisor, topology: Topology, settle_seconds: float) -> None:
        self._supervisor = supervisor
        self._topology = topology
        self._deadline = supervisor.deadline_seconds
        self._one = asyncio.Lock()
        self._fanouts: set[str] = set()
        """Made on this connection."""
        self._settle_seconds = settle_seconds
        self._young: set[str] = set()
        """Queues on RabbitMQ that were made here and may not have been written down yet."""
        self._settled_at = 0.0
        """On the loop's clock; each further queue puts it off for all."""

    async def exchanges(self) -> None:
        """The exchanges, and the queue of the dead letters; on each new connection."""
        self._fanouts.clear()
        for name, kind in topology.EXCHANGES.items():
            await self._exchange(name, kind)
        for name in FANOUTS:
            await self.fanout(name)
        await self.queue(self._topology.spec_of(base.DEAD))

    async def queue(self, spec: QueueSpec) -> None:
        """A queue with its bands and bindings.

        Raises:
            Forbidden: This user may not.
            BrokerUnavailable: No answer in time.
        """
        for band in self._topology.bands(spec):
            try:
                await self.count(band)
            except QueueNotFound:
                await self._declare(band, spec)
        if spec.name in self._topology.up:
            await self._bind(spec.name, topology.UP)
        if spec.name == base.DEAD:
            await self._bind(spec.name, topology.DLX)

    async def settled(self, bands: Collection[str]) -> None:
        """Wait until a crash of the broker does not cost what is put into these queues.

        RabbitMQ keeps in a table on disk which folder is which quorum queue's, and saves the table once it has not
        changed for half a second to a second. A node that is killed before that makes the queue anew, empty, beside the
        folder with its confirmed messages. A classic queue's very record can be lost, which is written late too.

        Raises:
            BrokerUnavailable: Whoever asked does not wait so long.
        """
        loop = asyncio.get_running_loop()
        while self._young and not self._young.isdisjoint(bands):
            left = self._settled_at - loop.time()
            if left <= 0:
                self._young.clear()
                return
            pause = time_left(left)
            await asyncio.sleep(pause)
            if pause < left:
                raise BrokerUnavailable("a queue is so new that RabbitMQ may still lose it.")

    async def count(self, band: str) -> tuple[int, int]:
        """(ready, consumers) of a queue on RabbitMQ.

        Raises:
            QueueNotFound: It is not there.
        """
        queue = await self._asked(
            f"looking at {band}", lambda channel: channel.declare_queue(band, passive=True)
        )
        answer = queue.declaration_result
        return answer.message_count or 0, answer.consumer_count or 0

    async def fanout(self, exchange: str) -> None:
        """An exchange for a fanout, once a connection."""
        if exchange not in self._fanouts:
            await self._exchange(topology.fanout_name(exchange), "fanout")
            self._fanouts.add(exchange)

    async def subscriber_queue(self, queue: str, exchange: str, limit: int) -> None:
        """A queue of one subscriber of a fanout; it goes with the connection.

        Raises:
            QueueNotFound: There is no such exchange; then no queue is left behind either.
            BrokerUnavailable: No answer in time.
        """
        name = topology.fanout_name(exchange)

        async def make(channel: AbstractChannel) -> None:
            await channel.get_exchange(name)
            made = await channel.declare_queue(
                queue, exclusive=True, auto_delete=True,
                arguments=topology.subscription_arguments(limit),
            )  # fmt: skip
            await made.bind(name, routing_key="")

        await self._asked(f"subscribing to {exchange}", make)

    async def _declare(self, band: str, spec: QueueSpec) -> None:
        arguments = self._topology.arguments(spec)
        await self._asked(
            f"making {band}",
            lambda channel: channel.declare_queue(band, durable=True, arguments=arguments),
        )
        log.info("a queue was made", queue=band)
        if self._topology.is_quorum(spec) or spec.kind is QueueKind.WORK:
            self._young.add(band)
            self._settled_at = asyncio.get_running_loop().time() + self._settle_seconds

    async def _bind(self, queue: str, exchange: str) -> None:
        async def bind(channel: AbstractChannel) -> None:
            found = await channel.get_queue(queue, ensure=False)
            await found.bind(exchange, routing_key=queue)

        try:
            await self._asked(f"binding {queue}", bind)
        except Forbidden:  # a worker's user: the control side binds it
            log.debug("a queue is not bound by this user", queue=queue)

    async def _exchange(self, name: str, kind: str) -> None:
        await self._asked(
            f"making the exchange {name}",
            lambda channel: channel.declare_exchange(name, kind, durable=True),
        )

    async def _asked(self, what: str, act: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        """The broker's answer on the channel for declarations.

        One question at a time, and each to its end: over a refusal RabbitMQ closes the channel, over one that is cut
        short the driver does, and with it ends every other question there.
        """

        async def ask() -> T:
            async with answered(what, self._deadline), self._one:
                return await act(await self._supervisor.control())

        async with answered(what, self._deadline):
            return await apart(ask())
