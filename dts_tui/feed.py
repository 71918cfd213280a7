"""From the clients to messages: one status poll, streams on demand, calls with one guard. Knows no widget.

Everything here runs as workers of the app. A server that is gone is a state, not an error: the
poll goes on with a capped
backoff, finds the endpoint again (it may have moved), and what is shown says since when it is old.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from textual.message import Message

from dts_core.clock import Clock, SystemClock
from dts_core.errors import ApiError, ConfigError, DtsError, ServerUnreachable
from dts_core.views import JobView, LogLine, SampleList, StreamEvent
from dts_tui.messages import JobsChanged, LinesCame, Notice, WorldChanged
from dts_tui.state import World

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

T = TypeVar("T")
RETRY_MAX_SECONDS = 8.0
STATUS_SECONDS = 6.0
"""Longest wait for a status: a server that stands still is said to be gone soon, long before a call gives up."""
JOBS_FLUSH_SECONDS = 0.2
LINES_FLUSH_SECONDS = 1 / 15
JOBS_WAITING_MAX = 2_000
LINES_WAITING_MAX = 2_000
"""Most log lines between two paintings; of more, the newest are shown and the rest counted."""


class ReadOnly(DtsError):
    """The console was started so that it changes nothing."""

    code = "read_only"


class Feed:
    """The only place of the console that talks to the server.

    Args:
        connect: Makes a client for the server as it can be found now; blocking, run in a thread.
        world: The shared state, written only here.
        post: Takes messages for the app.
        read_only: Refuse every write before it leaves.
        interval: Seconds between two polls of the status.
    """

    def __init__(
        self,
        connect: "Callable[[], AdminClient]",
        world: World,
        post: Callable[[Message], object],
        *,
        read_only: bool = False,
        interval: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self._connect = connect
        self.world = world
        self._post = post
        self.read_only = read_only
        self.interval = interval
        self._clock = clock or SystemClock()
        self._client: AdminClient | None = None
        self._opening = asyncio.Lock()
        self._wake = asyncio.Event()
        world.stamp.interval = interval

    # --- calls ----------------------------------------------------------------------------------

    async def call(
        self, make: "Callable[[AdminClient], Awaitable[T]]", *, writes: bool = False
    ) -> T:
        """Make one call.

        Raises:
            ReadOnly: It writes, and this console must not.
            ApiError: The server refused; ServerUnreachable: it did not answer (the connection's state says so too).
        """
        if writes and self.read_only:
            raise ReadOnly("this console is read-only.", advice="Start it without --read-only.")
        client = await self.client()
        try:
            return await make(client)
        except ServerUnreachable as error:
            self._lost(error, 1.0)
            raise

    async def client(self) -> "AdminClient":
        """The client, made at the first call. Raises ServerUnreachable when no server can be found."""
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await asyncio.to_thread(self._connect)
                except ConfigError as error:
                    raise ServerUnreachable(error.message, advice=error.advice) from error
            return self._client

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # --- the status -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Ask now, whatever the backoff says."""
        self._wake.set()

    async def poll(self) -> None:
        """Keep the world up to date, for ever."""
        failures = 0
        while True:
            wait = self.interval
            try:
                if self.world.paused_at is None or self._wake.is_set():
                    await self._ask()
                failures = 0
            except ApiError as error:
                failures += 1
                wait = _backoff(failures)
                self._lost(error, wait)
                await self._look_again(failures)
            except Exception as error:  # noqa: BLE001 - a defect in one answer must not end the poll
                failures += 1
                wait = _backoff(failures)
                self._post(
                    Notice(f"the status cannot be shown: {type(error).__name__}: {error}", "bad")
                )
            await self._sleep(wait)

    async def _ask(self) -> None:
        client = await self.client()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                if self.world.connection.up is not True or not self.world.user:
                    session = await client.session()
                    self.world.user, self.world.role = session.user, session.role
                status = await client.status()
        except TimeoutError:
            raise ServerUnreachable(
                f"the server has not answered for {STATUS_SECONDS:g} seconds.",
                advice="It may be stopped or overloaded.",
            ) from None
        now = time.monotonic()
        self.world.take(status, self._clock.now(), now)
        if self.world.connection.back(self._clock.now(), now - begun):
            self._post(JobsChanged([], missed=True))
        self._post(WorldChanged())

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    def _lost(self, error: ApiError, wait: float) -> None:
        answered = not isinstance(error, ServerUnreachable)
        self.world.connection.lost(
            self._clock.now(), str(error), time.monotonic() + wait, answered=answered
        )
        self._post(WorldChanged())

    async def _look_again(self, failures: int) -> None:
        """After two failures forget the client: a restarted server may have another port and token."""
        if failures % 2 == 0:
            async with self._opening:
                await self.close()

    async def histories(self, names: list[str]) -> None:
        """Fetch the last five minutes of hosts that have not been asked for yet, at most 30 at a time."""
        for name in names[:30]:
            history = self.world.history.get(name)
            if history is None or history.loaded:
                continue
            try:
                answer = await self.call(partial(_samples, name=name))
            except DtsError:
                return
            history.load(answer.items)
            self._post(WorldChanged())

    # --- streams --------------------------------------------------------------------------------

    async def jobs(self, **filters: Any) -> None:
        """Post changed jobs, each at most once in JOBS_FLUSH_SECONDS, for ever."""
        waiting: dict[str, JobView] = {}
        missed = False

        def take(event: StreamEvent) -> None:
            nonlocal missed
            if event.topic == "reset" or len(waiting) >= JOBS_WAITING_MAX:
                missed = True
                waiting.clear()
            elif event.topic == "jobs":
                job = msgspec.convert(event.data, JobView)
                waiting.pop(job.id, None)
                waiting[job.id] = job

        def flush() -> None:
            nonlocal waiting, missed
            if waiting or missed:
                self._post(JobsChanged(list(waiting.values()), missed))
                waiting, missed = {}, False

        await self._follow(["jobs"], filters, take, flush, JOBS_FLUSH_SECONDS)

    async def lines(self, owner: str, **filters: Any) -> None:
        """Post log lines for a view, at most LINES_WAITING_MAX every LINES_FLUSH_SECONDS, for ever."""
        waiting: list[LogLine] = []
        dropped = 0
        missed = False

        def take(event: StreamEvent) -> None:
            nonlocal dropped, missed
            if event.topic == "reset":
                missed = True
            elif event.topic == "logs":
                items = event.data if isinstance(event.data, list) else [event.data]
                room = LINES_WAITING_MAX - len(waiting)
                if len(items) > room:
                    surplus = len(items) - max(room, 0)
                    dropped += surplus
                    del waiting[: min(surplus, len(waiting))]
                    items = items[-LINES_WAITING_MAX:]
                waiting.extend(msgspec.convert(items, list[LogLine]))

        def flush() -> None:
            nonlocal waiting, dropped, missed
            if waiting or missed:
                self._post(LinesCame(owner, waiting, dropped, missed))
                waiting, dropped, missed = [], 0, False

        await self._follow(["logs"], filters, take, flush, LINES_FLUSH_SECONDS)

    async def _follow(
        self,
        topics: list[str],
        filters: dict[str, Any],
        take: Callable[[StreamEvent], None],
        flush: Callable[[], None],
        every: float,
    ) -> None:
        failures = 0
        while True:
            try:
                client = await self.client()
                async with AsyncExitStack() as stack:
                    ticker = asyncio.create_task(_flush_often(flush, every))
                    stack.callback(ticker.cancel)
                    events = client.stream(topics, **filters)
                    if isinstance(events, AsyncGenerator):
                        await stack.enter_async_context(aclosing(events))
                    async for event in events:
                        failures = 0
                        if client is not self._client:
                            break
                        _take_safely(take, event)
            except DtsError as error:
                failures += 1
                if not isinstance(error, ServerUnreachable):
                    self._post(Notice(f"the live stream was refused: {error}", "bad"))
            await asyncio.sleep(_backoff(max(failures, 1)))


def _samples(client: "AdminClient", *, name: str) -> Awaitable[SampleList]:
    return client.samples(name, seconds=300)


def _take_safely(take: Callable[[StreamEvent], None], event: StreamEvent) -> None:
    """An event of a newer server that does not fit is passed over; the next list shows what it meant."""
    try:
        take(event)
    except msgspec.ValidationError:
        return


async def _flush_often(flush: Callable[[], None], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        flush()


def _backoff(failures: int) -> float:
    return float(min(RETRY_MAX_SECONDS, 0.5 * 2**failures) * random.uniform(0.8, 1.0))
