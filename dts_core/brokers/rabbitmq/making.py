"""Exchanges and queues as they are made, looked at and counted, over the channel for declarations."""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from dts_core.brokers import base
from dts_core.brokers.base import QueueSpec
from dts_core.brokers.rabbitmq import topology
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.supervisor import Supervisor
from dts_core.brokers.rabbitmq.topology import Topology
from dts_core.errors import Forbidden, QueueNotFound

FANOUTS: Final = (base.CONTROL, base.EVENTS)

log = structlog.get_logger(__name__)


class Maker:
    """Makes what is not there, and takes what is there as it is.

    Args:
        supervisor: Has the channel.
        topology: Knows the names and arguments.
        settle_seconds: Until RabbitMQ finds a new quorum queue again after a crash.
    """

    def __init__(self, supervisor: Supervisor, topology: Topology, settle_seconds: float) -> None:
        self._supervisor = supervisor
        self._topology = topology
        self._deadline = supervisor.deadline_seconds
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
        folder with its confirmed messages.
        """
        loop = asyncio.get_running_loop()
        while self._young and not self._young.isdisjoint(bands):
            left = self._settled_at - loop.time()
            if left <= 0:
                self._young.clear()
                return
            await asyncio.sleep(left)

    async def count(self, band: str) -> tuple[int, int]:
        """(ready, consumers) of a queue on RabbitMQ.

        Raises:
            QueueNotFound: It is not there.
        """
        channel = await self._supervisor.control()
        async with answered(f"looking at {band}", self._deadline):
            queue = await channel.declare_queue(band, passive=True)
        answer = queue.declaration_result
        return answer.message_count or 0, answer.consumer_count or 0

    async def fanout(self, exchange: str) -> None:
        """An exchange for a fanout, once a connection."""
        if exchange not in self._fanouts:
            await self._exchange(topology.fanout_name(exchange), "fanout")
            self._fanouts.add(exchange)

    async def _declare(self, band: str, spec: QueueSpec) -> None:
        channel = await self._supervisor.control()
        async with answered(f"making {band}", self._deadline):
            await channel.declare_queue(
                band, durable=True, arguments=self._topology.arguments(spec)
            )
        log.info("a queue was made", queue=band)
        if self._topology.is_quorum(spec):
            self._young.add(band)
            self._settled_at = asyncio.get_running_loop().time() + self._settle_seconds

    async def _bind(self, queue: str, exchange: str) -> None:
        channel = await self._supervisor.control()
        try:
            async with answered(f"binding {queue}", self._deadline):
                found = await channel.get_queue(queue, ensure=False)
                await found.bind(exchange, routing_key=queue)
        except Forbidden:  # a worker's user: the control side binds it
            log.debug("a queue is not bound by this user", queue=queue)

    async def _exchange(self, name: str, kind: str) -> None:
        channel = await self._supervisor.control()
        async with answered(f"making the exchange {name}", self._deadline):
            await channel.declare_exchange(name, kind, durable=True)
