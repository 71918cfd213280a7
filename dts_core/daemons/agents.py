"""One host in mode `agent`: its worker is launched, served, and launched again when it is lost, until it is let go."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from dts_core import codec
from dts_core.brokers.base import Message
from dts_core.brokers.link_policy import Pass
from dts_core.brokers.wire import StreamReader, StreamWriter
from dts_core.errors import DtsError
from dts_core.model import Drain, VirtualHost
from dts_core.settings import GatewaySettings
from dts_core.text import one_line

__all__ = ["Agent", "Far", "Launch", "Serve", "Served"]

BACKOFF_FIRST_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 30.0
"""A link that held for so long is no failed try."""
IDLE_LOOK_SECONDS: Final = 0.1
CLOSE_SECONDS: Final = 5.0
"""For a session to end that was dismissed."""
LOST_SECONDS: Final = 2.0
"""For a worker to end by itself whose link was lost."""
log = logging.getLogger(__name__)


class Served(Protocol):
    """What serves one launched worker."""

    @property
    def held(self) -> int:
        """How many claims it holds."""
        ...

    def tell(self, message: Message) -> None:
        """Hand it alone an order."""
        ...

    def dismiss(self, reason: str) -> None:
        """End it; what it holds goes back uncharged."""
        ...


class Far(Protocol):
    """A worker that was launched; its end ends the block that it stands for."""

    patience: float
    """Seconds that it has to end by itself."""

    @property
    def reader(self) -> StreamReader:
        """What it writes."""
        ...

    @property
    def writer(self) -> StreamWriter:
        """What it reads."""
        ...

    @property
    def last_words(self) -> str:
        """How it ended, as far as is known: printable."""
        ...


class Serve(Protocol):
    """Serves a launched worker to its end; returns why that came. See `LinkServer.serve_launched`."""

    def __call__(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        own: Pass,
        *,
        on_session: Callable[[Served], None],
        on_forbidden: Callable[[DtsError], None],
    ) -> Awaitable[str]:
        """See above."""
        ...


Launch = Callable[[VirtualHost, Pass], AbstractAsyncContextManager[Far]]
"""Logs in and starts the worker. Raises a DtsError that says what is wrong."""


class Agent:
    """Keeps one worker alive. Run it as a task; `let_go` ends it in peace, cancelling it at once.

    Args:
        vhost: Where.
        launch: Starts the worker.
        serve: Serves its link.
        settings: `[gateway]`.
        on_forbidden: Told of what it tried and may not do.
    """

    def __init__(
        self,
        vhost: VirtualHost,
        launch: Launch,
        serve: Serve,
        settings: GatewaySettings,
        on_forbidden: Callable[[str, DtsError], None] = lambda host, error: None,
    ) -> None:
        self.vhost = vhost
        self._launch = launch
        self._serve = serve
        self._settings = settings
        self._on_forbidden = on_forbidden
        self._let_go = asyncio.Event()
        self._is_launched = False
        self._session: Served | None = None
        self._state, self._why = "connecting", ""
        self._since = time.monotonic()

    @property
    def is_linked(self) -> bool:
        """Whether its worker is there."""
        return self._session is not None

    @property
    def words(self) -> str:
        """`up`, `connecting`, or since when it is lost and why: printable."""
        seconds = time.monotonic() - self._since
        if self._state == "linked":
            return "up"
        if not self._why:
            return self._state
        return f"{self._state} for {seconds:.0f} s: {self._why}"

    def let_go(self) -> None:
        """Let its worker finish what runs, within the settings' time, and launch no other."""
        self._let_go.set()

    async def run(self) -> None:
        """Launch and serve until it is let go."""
        pause = BACKOFF_FIRST_SECONDS
        while not self._let_go.is_set():
            begun = time.monotonic()
            why = await self._unless_let_go(self._once())
            if self._let_go.is_set():
                return
            self._told("lost", why)
            log.warning("the worker of host %s is lost: %s", self.vhost.id, why)
            if time.monotonic() - begun >= STEADY_SECONDS:
                pause = BACKOFF_FIRST_SECONDS
            await _first(self._let_go.wait(), pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, self._settings.backoff_max_seconds)

    async def _unless_let_go(self, once: Coroutine[Any, Any, str]) -> str:
        """To its end; let go while nothing is launched yet, nothing is launched."""
        task = asyncio.ensure_future(once)
        try:
            await _first(self._let_go.wait(), None, task)
            if not self._is_launched:
                task.cancel()
            await asyncio.wait((task,))
        finally:
            await _ended(task)
        return "" if task.cancelled() else task.result()

    async def _once(self) -> str:
        """One worker from its launch to its end; why it ended."""
        own = Pass(
            self.vhost.id,
            f"{self.vhost.worker_prefix}{secrets.token_hex(4)}",
            tuple(self._settings.queues),
        )
        try:
            async with self._launch(self.vhost, own) as far:
                self._is_launched = True
                why = await self._served(far, own)
            return one_line(f"{why} {far.last_words}", 300)
        except DtsError as error:
            return one_line(str(error), 300)
        except Exception as error:  # one host's trouble must not take the others along
            log.exception("launching on host %s failed", self.vhost.id)
            return f"{type(error).__name__} in this process"
        finally:
            self._is_launched = False

    async def _served(self, far: Far, own: Pass) -> str:
        serving = asyncio.ensure_future(
            self._serve(
                far.reader,
                far.writer,
                own,
                on_session=self._linked,
                on_forbidden=lambda error: self._on_forbidden(self.vhost.id, error),
            )
        )
        try:
            await _first(self._let_go.wait(), None, serving)
            if not serving.done():
                await self._drained(serving)
            else:
                far.patience = LOST_SECONDS
        finally:
            session, self._session = self._session, None
            if not serving.done() and session is not None:
                far.patience = CLOSE_SECONDS
                session.dismiss("the gateway ends this link.")
                await asyncio.wait((serving,), timeout=CLOSE_SECONDS)
            await _ended(serving)
        return serving.result() if not serving.cancelled() else "it was ended here."

    def _linked(self, session: Served) -> None:
        self._session = session
        self._told("linked", "")
        log.info("the worker of host %s is linked", self.vhost.id)

    async def _drained(self, serving: "asyncio.Future[str]") -> None:
        """It takes nothing new; wait for what it holds."""
        session = self._session
        if session is None:
            return
        session.tell(Message(codec.encode(Drain(self.vhost.id)), type="Drain"))
        until = time.monotonic() + self._settings.drain_seconds
        while session.held and time.monotonic() < until:
            await asyncio.wait((serving,), timeout=IDLE_LOOK_SECONDS)
            if serving.done():
                return

    def _told(self, state: str, why: str) -> None:
        if state != self._state or state == "linked":
            self._since = time.monotonic()
        self._state, self._why = state, why


async def _first(
    event: Coroutine[Any, Any, object], seconds: float | None, *others: "asyncio.Future[str]"
) -> None:
    """Wait for whatever comes first."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(event)
    all_of_them: list[asyncio.Future[Any]] = [waiting, *others]
    try:
        await asyncio.wait(all_of_them, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _ended(task: "asyncio.Future[str]") -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
