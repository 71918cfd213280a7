"""Sessions by host: one connection for each, made once however many ask, kept warm, within bounds."""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from dts_core.errors import HostUnreachable
from dts_core.ssh.asking import Asking
from dts_core.ssh.connect import Connector
from dts_core.ssh.login import Login
from dts_core.ssh.session import Session
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Target

__all__ = ["Sessions"]

LOOK_SECONDS: Final = 30.0
"""Most between two looks for connections that nobody has used for long."""


class _Place:
    """A connection to be, or one that is there."""

    __slots__ = ("idle_since", "making", "session", "users")

    def __init__(self, making: "asyncio.Task[Session]") -> None:
        self.making = making
        self.session: Session | None = None
        self.users = 0
        self.idle_since = 0.0


class Sessions:
    """The one place that keeps connections; an async context manager.

    Args:
        settings: Times and limits.
        asking: Who answers what hosts ask; None: nobody.
    """

    def __init__(self, settings: SshSettings | None = None, asking: Asking | None = None) -> None:
        self._settings = settings or SshSettings()
        self._connector = Connector(self._settings, asking)
        self._places: OrderedDict[tuple[str, ...], _Place] = OrderedDict()
        self._waiting: set[asyncio.Future[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self.spare: Callable[[], None] | None = None
        """Asked to let go of a connection when all are in use."""
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(self._sweep(), name="ssh-sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for place in list(self._places.values()):
            place.making.cancel()
        self._drop(*self._places)
        making = [self._sweeper] if self._sweeper is not None else []
        await asyncio.gather(*making, *self._closing, return_exceptions=True)

    @property
    def count(self) -> int:
        """Connections that are there or being made."""
        return len(self._places)

    @asynccontextmanager
    async def session(self, target: Target) -> AsyncIterator[Session]:
        """The connection to a host, for the length of a block; made when there is none, kept afterwards.

        Several may use it at once. It may end while it is used: then what uses it raises SessionLost, and the next who
        asks gets a new one.

        Raises:
            HostUnreachable: It cannot be reached, or so many connections are in use that none is free in time.
            HostKeyRejected: It is not the host that is meant.
            LoginDenied: It does not let us in.
        """
        place = await self._hold(target)
        try:
            assert place.session is not None
            yield place.session
        finally:
            self._release(place)

    async def _hold(self, target: Target) -> _Place:
        """The place of a host with its session, counted as used."""
        place = await self._place(target)
        place.users += 1
        try:
            # Whoever gives up leaves the login to the others, or to the next who asks: its own times end it.
            place.session = await asyncio.shield(place.making)
        except asyncio.CancelledError:
            self._release(place)
            task = asyncio.current_task()
            if place.making.cancelled() and task is not None and not task.cancelling():
                why = "its connection was given up while it was made"
                raise HostUnreachable(why, host=target.id) from None
            raise
        except BaseException:
            self._release(place)
            raise
        return place

    def _release(self, place: _Place) -> None:
        place.users -= 1
        if not place.users:
            place.idle_since = asyncio.get_running_loop().time()
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def _place(self, target: Target) -> _Place:
        place = self._living(target.key)
        if place is None and not self._make_room():
            await self._wait_for_room(target)
            place = self._living(target.key)  # another may have made it meanwhile
        if place is None:
            making = asyncio.create_task(self._make(target), name=f"ssh-login-{target.id}")
            place = self._places[target.key] = _Place(making)
            making.add_done_callback(functools.partial(self._on_made, target.key, place))
        self._places.move_to_end(target.key)
        return place

    def _living(self, key: tuple[str, ...]) -> _Place | None:
        place = self._places.get(key)
        if place is not None and place.session is not None and not place.session.is_alive:
            self._drop(key)
            return None
        return place

    async def _wait_for_room(self, target: Target) -> None:
        loop = asyncio.get_running_loop()
        by = loop.time() + self._settings.wait_seconds
        while not self._make_room():
            waiter = loop.create_future()
            self._waiting.add(waiter)
            try:
                async with asyncio.timeout_at(by):
                    await waiter
            except TimeoutError:
                raise HostUnreachable(
                    f"all {self._settings.kept_max} connections are in use",
                    host=target.id,
                    is_retryable=True,
                    advice="Wait for the others, or allow more.",
                ) from None
            finally:
                self._waiting.discard(waiter)

    def _make_room(self) -> bool:
        """Whether one more may be made; the one that nobody has used for longest gives way for it."""
        if len(self._places) < self._settings.kept_max:
            return True
        for key, place in self._places.items():
            if not place.users and place.making.done():
                self._drop(key)
                return True
        if self.spare is not None:
            self.spare()
        return False

    # --- making and ending ------------------------------------------------------------------------

    async def _make(self, target: Target) -> Session:
        if target.jump is None:
            session, _ = await self._login(target, None)
            return session
        way = await self._hold(target.jump)
        try:
            assert way.session is not None
            session, login = await self._login(target, way.session)
        except BaseException:
            self._release(way)
            raise
        login.watch(lambda: self._release(way))
        return session

    async def _login(self, target: Target, way: Session | None) -> tuple[Session, Login]:
        through = way.through if way is not None else None
        connected = await self._connector.connect(target, through)
        return Session(target, connected, self._settings), connected.login

    def _on_made(
        self, key: tuple[str, ...], place: _Place, making: "asyncio.Task[Session]"
    ) -> None:
        if making.cancelled() or making.exception() is not None:
            if self._places.get(key) is place:
                del self._places[key]
            self._wake()
            return
        place.session = making.result()
        place.idle_since = asyncio.get_running_loop().time()
        self._wake()
        if self._places.get(key) is not place:  # the pool was closed meanwhile
            self._close(place.session)

    def _drop(self, *keys: tuple[str, ...]) -> None:
        for key in keys:
            place = self._places.pop(key)
            if place.session is not None:
                self._close(place.session)

    def _close(self, session: Session) -> None:
        task = asyncio.create_task(session.close(), name=f"ssh-close-{session.target.id}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _sweep(self) -> None:
        """Close what nobody has used for long, and forget what has ended."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self._settings.idle_seconds))
            self.sweep()

    def sweep(self) -> None:
        """Look once."""
        old = asyncio.get_running_loop().time() - self._settings.idle_seconds
        for key, place in list(self._places.items()):
            if place.users or place.session is None:
                continue
            if place.idle_since <= old or not place.session.is_alive:
                self._drop(key)
