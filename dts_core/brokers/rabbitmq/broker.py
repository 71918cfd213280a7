"""The broker on RabbitMQ; see Broker for each method.

    broker = await RabbitmqBroker.connect("amqp://user:secret@host/vhost", role="control", graves=store)

The control side reaches queues by the default exchange and makes them; a worker writes to `dts.up` alone. While there
is no connection, or the broker is out of memory or disk, calls wait for it up to their deadline. On each new connection
queues, subscriptions and consumptions are built anew; what was unacked is handed out again, under new tags.
"""

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from dts_core.brokers import base
from dts_core.brokers.base import (
    DeadLetter,
    Delivery,
    Message,
    OnDeliveries,
    OnMessage,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.rabbitmq import topology
from dts_core.brokers.rabbitmq.aiopika_plane import AioPikaPlane
from dts_core.brokers.rabbitmq.asking import Asker
from dts_core.brokers.rabbitmq.connecting import Connection
from dts_core.brokers.rabbitmq.consumption import RabbitConsumption
from dts_core.brokers.rabbitmq.figures import Counting
from dts_core.brokers.rabbitmq.framing.address import address_of, addresses_of
from dts_core.brokers.rabbitmq.framing.spec import BODY_MAX
from dts_core.brokers.rabbitmq.letters import letter_copy, may_go_again
from dts_core.brokers.rabbitmq.making import Maker
from dts_core.brokers.rabbitmq.overview import Overview
from dts_core.brokers.rabbitmq.patience import patiently
from dts_core.brokers.rabbitmq.plane import Plane
from dts_core.brokers.rabbitmq.publishing import Parcel, Publisher
from dts_core.brokers.rabbitmq.subscribing import RabbitSubscription
from dts_core.brokers.rabbitmq.supervisor import Supervisor
from dts_core.brokers.rabbitmq.tls import context_of
from dts_core.brokers.rabbitmq.topology import Topology, band_for
from dts_core.brokers.rabbitmq.vouching import passed_on
from dts_core.deadline import time_left
from dts_core.errors import BrokerUnavailable, DtsError, QueueNotFound, TooLarge
from dts_core.model import QueueStats
from dts_core.settings import QueueNames, RabbitSettings, TlsSettings

if TYPE_CHECKING:
    from dts_core.stores.base import DeadLetterStore

WATCH_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class RabbitmqBroker:
    """A Broker on RabbitMQ. Make it with `connect`; `close` hands back what is unacked.

    Args:
        url: amqp(s)://USER:PASSWORD@HOST:PORT/VHOST; HOST:PORT,HOST:PORT lists the nodes of a cluster.
        host: Of a worker: part of its subscriptions' names.
        worker: The worker's name, for the broker's list of connections.
        role: `control`, or `worker`.
        settings: Kinds, deadlines, window, plane.
        names: What the queues are called.
        tls: For amqps.
        graves: Where dead letters are kept; None: they cannot be shown here.
        watch_seconds: How often every consumer has to prove that it consumes.

    Attributes:
        on_state: Told when everything is built on a connection (True), and when that is lost (False), and why.
    """

    def __init__(
        self, url: str, *, host: str = "", worker: str = "", role: str = "control",
        settings: RabbitSettings | None = None, names: QueueNames | None = None,
        tls: TlsSettings | None = None, graves: "DeadLetterStore | None" = None,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:  # fmt: skip
        self.on_state: Callable[[bool, str], None] = lambda connected, why: None
        self._host = host
        self._name = f"dts {role} {worker or host or socket.gethostname()}"
        self._is_worker = role == "worker"
        self._settings = settings or RabbitSettings()
        self._deadline = self._settings.deadline_seconds
        self._address = address_of(url)
        self._topology = Topology(names or QueueNames(), self._settings)
        self._graves = graves
        is_tls = self._address.is_tls
        self._context = context_of(tls or TlsSettings()) if is_tls else None
        self._supervisor = Supervisor(
            addresses_of(url), name=self._name, settings=self._settings, context=self._context,
            rebuild=self._rebuild, lost=self._lost, watch=self._watch,
            built=self._built, watch_seconds=watch_seconds,
        )  # fmt: skip
        self._maker = Maker(self._supervisor, self._topology, self._settings.settle_seconds)
        self._publisher = Publisher(
            window=self._settings.window, deadline_seconds=self._deadline,
            in_doubt=self._supervisor.doubt, away_since=lambda: self._supervisor.away_since,
        )  # fmt: skip
        self._asker = Asker(self._supervisor.doubt)
        self._specs: dict[str, QueueSpec] = {}
        """What was declared here, and what was found."""
        self._consumptions: list[RabbitConsumption] = []
        self._figures = Counting(self._topology, self._maker.count, self._consumptions)
        self._subscriptions: list[RabbitSubscription] = []
        self._paused: set[str] = set()
        self._overview = Overview(
            "" if self._is_worker else self._settings.management, self._address,
            ca_file=tls.ca_file if tls is not None else "", seconds=self._deadline / 2,
        )  # fmt: skip
        self._is_told = False
        self._is_closed = False

    @classmethod
    async def connect(
        cls, url: str, *, timeout_seconds: float = 10.0, **options: Any
    ) -> "RabbitmqBroker":
        """Make a broker and wait for its first connection.

        Args:
            url: As of the class.
            timeout_seconds: How long to wait.
            options: As of the class.

        Raises:
            BrokerUnavailable: Nobody there in time; says what was met last.
        """
        broker = cls(url, **options)
        try:
            await broker.start(timeout_seconds=timeout_seconds)
        except BaseException:
            await broker.close()
            raise
        return broker

    async def start(self, *, timeout_seconds: float = 10.0) -> None:
        """Begin, and wait for the first connection; it is tried for on after a failure, until `close`.

        Raises:
            BrokerUnavailable: Nobody there in time.
        """
        await self._supervisor.start(timeout_seconds)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now, with everything built on it."""
        return self._supervisor.ready.is_set()

    @property
    def state(self) -> str:
        """In words: connecting, connected, blocked, away, closed; and why."""
        return self._supervisor.state

    # --- the Broker's interface

    async def declare(self, spec: QueueSpec) -> None:
        """See Broker. One that is there stays as it is, whatever its arguments."""
        known = self._specs.get(spec.name, spec)

        async def make() -> None:
            await self._connected()
            await self._maker.queue(known)

        await self._patiently(make)
        self._specs[spec.name] = known

    async def publish(self, items: Sequence[Outgoing]) -> None:
        """See Broker. After QueueNotFound over a queue that was deleted meanwhile, the other items are published."""
        parcels: list[Parcel] = []
        for item in items:
            if len(item.message.body) > BODY_MAX:
                raise TooLarge(f"a body of {len(item.message.body)} bytes; at most {BODY_MAX}.")
            parcels.append(await self._parcel(item))
        await self._maker.settled([parcel.routing_key for parcel in parcels])
        await self._publisher.publish(parcels)
        for item in items:
            self._figures.of(item.queue).published += 1

    async def fanout(self, exchange: str, message: Message) -> None:
        """See Broker."""
        name = topology.fanout_name(exchange)
        if not self._is_worker:  # an exchange that is not there would cost the channel
            await self._maker.fanout(exchange)
        await self._publisher.publish([Parcel(name, "", self._signed(message), False, False)])

    async def consume(
        self, queue: str, on_deliveries: OnDeliveries, *, prefetch: int
    ) -> RabbitConsumption:
        """See Broker; goes on by itself over every later connection."""
        spec = await self._known(queue)
        consumption = RabbitConsumption(
            self, spec, self._topology.bands(spec), on_deliveries, credit=prefetch,
            figures=self._figures.of(queue), deadline_seconds=self._deadline,
            ended=self._consumptions.remove,
        )  # fmt: skip
        self._consumptions.append(consumption)

        async def begin() -> None:
            await self._connected()
            try:
                await consumption.tend()
            except (
                QueueNotFound
            ):  # deleted since it was declared: that is no reason to end whoever needs it
                await consumption.tend()

        try:
            await self._patiently(begin)
        except BaseException:
            await consumption.close()
            raise
        asyncio.get_running_loop().call_soon(consumption.begin)
        return consumption

    async def subscribe(
        self, exchange: str, on_message: OnMessage, *, limit: int = 1000
    ) -> RabbitSubscription:
        """See Broker; goes on by itself over every later connection. What is dropped cannot be counted."""
        queue = topology.subscription_queue(self._host, secrets.token_hex(8))
        subscription = RabbitSubscription(
            queue, exchange, on_message, limit, self._subscriptions.remove
        )

        async def build() -> None:
            await self._connected()
            if not self._is_worker:
                await self._maker.fanout(exchange)
            await self._build_subscription(subscription)

        await self._patiently(build)
        self._subscriptions.append(subscription)  # from now on each new connection builds it
        return subscription

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker. The question itself stays in its queue a while if nobody takes it."""
        exchange, key, _ = self._way(queue, message)
        return await self._asker.ask(
            exchange, key, self._signed(message), timeout_seconds=timeout_seconds
        )

    async def stats(self) -> list[QueueStats]:
        """See Broker. AMQP tells what is ready and who consumes, the management API the rest.

        Without that the rest is what this process has counted, and marked as partial.
        """
        await self._connected()
        dead = await self._graves.count_dead() if self._graves is not None else {}
        told = await self._overview.take()
        return [
            await self._figures.stats(
                spec, dead=dead.get(name, 0), is_paused=name in self._paused, told=told
            )
            for name, spec in sorted(self._specs.items())
        ]

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See Broker."""
        return await self._grave().dead_letters(limit=limit, before=before)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """See Broker. The letters are removed once their messages are confirmed.

        What came from a worker's user goes on in its name, and stays when that user could not have sent it there.
        """
        found = await self._grave().get_dead(list(dict.fromkeys(seqs)))
        letters = [letter for letter in found if may_go_again(letter, self._topology.up)]
        if not letters:
            return 0
        await self.publish(
            [Outgoing(letter.queue, passed_on(letter.message)) for letter in letters]
        )
        return await self._grave().discard_dead([letter.seq for letter in letters])

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        return await self._grave().discard_dead(list(dict.fromkeys(seqs)))

    async def pause(self, queue: str) -> None:
        """See Broker; in this process."""
        await self._known(queue)
        self._paused.add(queue)
        self._wake(queue)

    async def resume(self, queue: str) -> None:
        """See Broker; in this process."""
        await self._known(queue)
        self._paused.discard(queue)
        self._wake(queue)

    async def close(self) -> None:
        """See Broker."""
        if self._is_closed:
            return
        self._is_closed = True
        for consumption in list(self._consumptions):
            await consumption.close()
        for subscription in list(self._subscriptions):
            await subscription.close()
        plane = self._publisher.plane
        self._publisher.stop()
        if plane is not None:
            await plane.close()
        await self._supervisor.close()

    # --- for the consumptions

    async def open_plane(self) -> Plane:
        """A channel of its own for messages, in the way that the settings name."""
        if self._settings.plane == "framing":
            return await self._framing_plane()
        return await self._control_plane()

    async def count(self, band: str) -> tuple[int, int]:
        """See Maker."""
        return await self._maker.count(band)

    async def make(self, spec: QueueSpec) -> None:
        """See Maker."""
        await self._maker.queue(spec)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Publish a copy to the dead letters."""
        letter = self._signed(letter_copy(delivery, reason))
        await self._publisher.publish([Parcel(topology.UP, base.DEAD, letter, True, True)])

    def has_connection(self) -> bool:
        """Whether there is a connection to build on."""
        return self._supervisor.connection is not None

    def is_paused(self, queue: str) -> bool:
        """Whether nothing is taken from this queue."""
        return queue in self._paused

    def may_hand_out(self, queue: str) -> bool:
        """Whether what has come from this queue may be handed out now."""
        return self._is_told and queue not in self._paused

    # --- each connection

    async def _rebuild(self) -> None:
        """Everything that this broker has, on a new connection."""
        if not self._is_worker:
            await self._maker.exchanges()
        for spec in list(self._specs.values()):
            await self._made(spec)
        asking = await self._control_plane()
        asking.on_lost = self._supervisor.doubt
        await self._asker.use(asking)
        publishing = await self.open_plane()
        publishing.on_lost = self._publishing_lost
        self._publisher.use(publishing)
        for subscription in self._subscriptions:
            await self._build_subscription(subscription)
        await asyncio.gather(*(self._tended(each) for each in list(self._consumptions)))

    async def _made(self, spec: QueueSpec) -> None:
        """A classic queue is away with the node of a cluster that it is on; the others must not wait for it."""
        try:
            await self._maker.queue(spec)
        except QueueNotFound as error:
            log.warning("a queue is away", queue=spec.name, reason=str(error))

    async def _tended(self, consumption: RabbitConsumption) -> None:
        """A queue that is gone, or still without a leader, must not keep the others from working."""
        try:
            await consumption.tend()
        except (QueueNotFound, BrokerUnavailable) as error:
            log.warning("a consumer cannot start", queue=consumption.spec.name, reason=str(error))
            consumption.wake()

    def _publishing_lost(self, reason: str) -> None:
        self._publisher.stop()
        self._supervisor.doubt(reason)

    def _built(self) -> None:
        """Nothing of a connection is handed out before its coming was told."""
        self.on_state(True, "")
        self._is_told = True
        for consumption in list(self._consumptions):
            consumption.hand_out()

    def _lost(self, why: str) -> None:
        self._is_told = False
        self._publisher.stop()
        self._asker.stop()
        for consumption in self._consumptions:
            consumption.forget()
        if not self._is_closed:
            self.on_state(False, why)

    async def _watch(self) -> None:
        try:
            for consumption in list(self._consumptions):
                await consumption.watch()
        except DtsError as error:
            self._supervisor.doubt(error.message)

    async def _control_plane(self) -> AioPikaPlane:
        return await AioPikaPlane.open(self._connection(), deadline_seconds=self._deadline)

    async def _framing_plane(self) -> Plane:
        """On a connection of its own, which ends with the driver's."""
        from dts_core.brokers.rabbitmq.framing import open_plane

        connection = self._connection()
        plane = await open_plane(
            self._supervisor.address, heartbeat_seconds=self._settings.heartbeat_seconds,
            deadline_seconds=self._deadline, tls=self._context, name=self._name,
        )  # fmt: skip
        if connection is not self._supervisor.connection:  # lost meanwhile
            plane.end("the connection ended.")
            raise self._supervisor.unavailable()
        connection.companions.add(plane)
        return plane

    def _connection(self) -> Connection:
        connection = self._supervisor.connection
        if connection is None:
            raise self._supervisor.unavailable()
        return connection

    async def _build_subscription(self, subscription: RabbitSubscription) -> None:
        plane = await self._control_plane()
        plane.on_lost = self._supervisor.doubt
        plane.on_cancelled = lambda tag: self._supervisor.doubt("a subscription was ended")
        await subscription.build(self._maker, plane)

    # --- small things

    async def _connected(self) -> None:
        if self._is_closed:
            raise BrokerUnavailable("the broker is closed.")
        seconds = time_left(self._deadline, away_since=self._supervisor.away_since)
        try:
            async with asyncio.timeout(seconds):
                await self._supervisor.ready.wait()
        except TimeoutError:
            raise self._supervisor.unavailable() from None

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        """See `patiently`; a broker that has long been away is told to whoever waits for an answer."""
        await patiently(act, time_left(self._deadline, away_since=self._supervisor.away_since))

    async def _known(self, queue: str) -> QueueSpec:
        """What a queue is; looked for when it was not declared here. Raises QueueNotFound."""
        spec = self._specs.get(queue)
        if spec is None:
            spec = self._topology.spec_of(queue)
            bands = self._topology.bands(spec)

            async def look() -> None:
                await self._connected()
                for band in bands:
                    await self._maker.count(band)

            await self._patiently(look)
            self._specs[queue] = spec
        return spec

    async def _parcel(self, item: Outgoing) -> Parcel:
        queue, message = item.queue, self._signed(item.message)
        if topology.is_reply(queue):
            return Parcel(topology.DEFAULT_EXCHANGE, queue, message, False, False)
        if not (self._is_worker and queue in self._topology.up):
            await self._known(queue)
        exchange, key, spec = self._way(queue, message)
        return Parcel(exchange, key, message, spec.kind is QueueKind.WORK, True)

    def _way(self, queue: str, message: Message) -> tuple[str, str, QueueSpec]:
        """Exchange and routing key to a queue, and what it is."""
        spec = self._specs.get(queue) or self._topology.spec_of(queue)
        if self._is_worker and queue in self._topology.up:
            return topology.UP, queue, spec
        band = band_for(self._topology.bands(spec), message.priority)
        return topology.DEFAULT_EXCHANGE, band, spec

    def _signed(self, message: Message) -> Message:
        """With our user, which RabbitMQ verifies."""
        return msgspec.structs.replace(message, user_id=self._address.user)

    def _grave(self) -> "DeadLetterStore":
        if self._graves is None:
            raise BrokerUnavailable(
                "dead letters are kept in the store, which this process does not have.", advice=""
            )
        return self._graves

    def _wake(self, queue: str) -> None:
        for consumption in self._consumptions:
            if consumption.spec.name == queue:
                consumption.wake()
