"""The connection to RabbitMQ: opened, watched, given up on doubt, opened again, until it is closed.

It is aio-pika's plain connection, held here: its robust one is not used (docs/decisions/0008), since a connection that
was only half restored is worse than none. Whoever depends on it is told of each new one and builds everything anew.
"""

import asyncio
import itertools
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractChannel

from dts_core.brokers.rabbitmq.connecting import Connection, why_closed
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.framing.address import Address
from dts_core.errors import BrokerUnavailable, DtsError, LoginRefused
from dts_core.settings import RabbitSettings

BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_MAX_SECONDS: Final = 2.0
REFUSED_BACKOFF_MAX_SECONDS: Final = 15.0
"""Once the login is refused: somebody has to change something, and RabbitMQ logs each try."""
LOOK_SECONDS: Final = 0.25
"""How often `blocked` is looked for: the driver does not tell."""

log = structlog.get_logger(__name__)


class Supervisor:
    """One connection at a time.

    Args:
        addresses: Where; one node after the other is tried, from any of them on.
        name: What the connection is called in the broker's lists.
        settings: Heartbeat and deadline.
        context: For amqps.
        rebuild: Builds everything on a new connection; a DtsError of it gives the connection up.
        built: Told when everything is built.
        lost: Told why a connection ended on which everything had been built.
        watch: Called every `watch_seconds`; whatever is in doubt gives the connection up by `doubt`.
        watch_seconds: How often.

    Attributes:
        address: Of the node that is connected, or tried.
        state: In words: connecting, connected, blocked, away, closed; and why.
        away_since: On the loop's clock, since when nothing can be sent; None while it can.
        connection: aio-pika's connection, from before `rebuild` until its end.
    """

    def __init__(
        self, addresses: Sequence[Address], *, name: str, settings: RabbitSettings,
        context: ssl.SSLContext | None, rebuild: Callable[[], Awaitable[None]],
        lost: Callable[[str], None], watch: Callable[[], Coroutine[Any, Any, None]],
        built: Callable[[], None], watch_seconds: float = 10.0,
    ) -> None:  # fmt: skip
        self._nodes = itertools.cycle(random.sample(addresses, len(addresses)))
        self.address = next(self._nodes)
        self.state = "connecting"
        self.away_since: float | None = None
        self.connection: Connection | None = None
        self.ready = asyncio.Event()
        self.deadline_seconds = settings.deadline_seconds
        self._name = name
        self._heartbeat = settings.heartbeat_seconds
        self._context = context
        self._rebuild = rebuild
        self._on_lost = lost
        self._watch = watch
        self._on_built = built
        self._watch_seconds = watch_seconds
        self._doubt: asyncio.Future[str] | None = None
        self._control: AbstractChannel | None = None
        self._control_lock = asyncio.Lock()
        self._failure: DtsError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether the broker takes no messages for want of memory or disk."""
        return self.connection is not None and self.connection.is_blocked

    async def start(self, timeout_seconds: float) -> None:
        """Begin, and wait for the first connection; it is tried for on after a failure, until `close`.

        Raises:
            BrokerUnavailable: None in time; says what was met last.
        """
        loop = asyncio.get_running_loop()
        self.away_since = loop.time()
        self._task = loop.create_task(self._run(), name="rabbitmq")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.ready.wait()
        except TimeoutError:
            why = self._failure.message if self._failure else "no answer."
            raise BrokerUnavailable(f"no RabbitMQ at {self.address}: {why}") from None

    def unavailable(self) -> BrokerUnavailable:
        """What to tell whoever cannot wait any longer for a connection."""
        why = self.state.partition(": ")[2] or "no answer yet"
        away = "away"
        if self.away_since is not None:
            seconds = asyncio.get_running_loop().time() - self.away_since
            away = f"away for {seconds:.0f} s"
        return BrokerUnavailable(f"RabbitMQ at {self.address} is {away}: {why}.")

    def doubt(self, why: str) -> None:
        """Give the connection up: something about it is not as it should be."""
        if self._doubt is not None and not self._doubt.done():
            self._doubt.set_result(why)

    async def control(self) -> AbstractChannel:
        """The channel for declarations; a new one after the broker closed it over a refusal.

        Raises:
            BrokerUnavailable: No connection, or no answer in time.
        """
        async with answered("opening a channel", self.deadline_seconds), self._control_lock:
            if self.connection is None:
                raise self.unavailable()
            if self._control is None or self._control.is_closed:
                self._control = await self.connection.channel(publisher_confirms=False)
            return self._control

    async def close(self) -> None:
        """End the connection. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        self.state = "closed"

    # --- one connection after the other

    async def _run(self) -> None:
        pause, said = BACKOFF_FIRST_SECONDS, ""
        while True:
            was_ready, why, longest = False, "", BACKOFF_MAX_SECONDS
            try:
                was_ready, why = await self._one_connection()
            except LoginRefused as error:
                self._failure, why, longest = error, str(error), REFUSED_BACKOFF_MAX_SECONDS
            except DtsError as error:
                self._failure, why = error, error.message
            except Exception as error:  # a mistake in one of our callbacks must not end it for good
                log.exception("a connection to RabbitMQ failed")
                why = f"{type(error).__name__} in this process"
            self.address = next(self._nodes)
            if self.away_since is None:
                self.away_since = asyncio.get_running_loop().time()
            self.state = f"away: {why.rstrip('.')}"
            if was_ready or why != said:  # it is tried often: each reason is said once
                said = why
                log.warning("RabbitMQ is away; it is tried again until it is there", reason=why)
            pause = BACKOFF_FIRST_SECONDS if was_ready else min(pause, longest)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, longest)

    async def _one_connection(self) -> tuple[bool, str]:
        """One connection from its opening to its end; whether everything was rebuilt on it, and why it ended."""
        connection = Connection(
            self.address, heartbeat_seconds=self._heartbeat, name=self._name, context=self._context
        )
        doubt: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        was_ready = False
        try:
            async with answered("connecting", self.deadline_seconds):
                await connection.connect()
            self.connection, self._doubt, self._failure = connection, doubt, None
            connection.underlay.closing.add_done_callback(
                lambda closing: self.doubt(why_closed(closing))
            )
            await self._rebuild()
            was_ready = True
            self._tell_back()
            self.ready.set()
            self._on_built()
            why = await self._watched(doubt)
        finally:
            self.ready.clear()
            self.connection, self._doubt, self._control = None, None, None
            if was_ready:
                self._on_lost(doubt.result() if doubt.done() else "the connection is closed")
            await connection.end()
        return was_ready, why

    def _tell_back(self) -> None:
        if self.away_since is not None:
            seconds = asyncio.get_running_loop().time() - self.away_since
            log.info("RabbitMQ is there", after_seconds=round(seconds, 1))
        self.state, self.away_since = "connected", None

    def _tell_blocked(self) -> None:
        if not self.is_blocked:
            self.state, self.away_since = "connected", None
        elif self.away_since is None:
            self.away_since = asyncio.get_running_loop().time()
            self.state = "blocked: out of memory or disk"

    async def _watched(self, doubt: "asyncio.Future[str]") -> str:
        """Look after the connection until it is in doubt; returns why."""
        loop = asyncio.get_running_loop()
        next_watch = loop.time() + self._watch_seconds
        while not doubt.done():
            await asyncio.wait((doubt,), timeout=LOOK_SECONDS)
            self._tell_blocked()
            if loop.time() >= next_watch and not doubt.done():
                watching = loop.create_task(self._watch(), name="rabbitmq-watch")
                try:
                    await asyncio.wait((watching, doubt), return_when=asyncio.FIRST_COMPLETED)
                    if watching.done():
                        watching.result()
                finally:
                    watching.cancel()
                    await asyncio.wait((watching,))
                next_watch = loop.time() + self._watch_seconds
        return doubt.result()
