"""Publishing: in order, confirmed, within a window and a deadline."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.plane import Plane
from dts_core.brokers.rabbitmq.refusals import Refused, doubt_soon
from dts_core.deadline import time_left
from dts_core.errors import BrokerUnavailable

BLOCKED_LOOK_SECONDS: Final = 0.05


class Parcel(NamedTuple):
    """A message with its way."""

    exchange: str
    routing_key: str
    message: Message
    is_persistent: bool
    is_mandatory: bool


class Publisher:
    """Sends over whichever plane there is.

    Args:
        window: Most messages sent and not confirmed yet, of all callers together.
        deadline_seconds: For a plane to send on, and then for the confirms of each window.
        in_doubt: Told when confirms do not come in time: the connection is not to be trusted.
        away_since: Since when nothing can be sent, on the loop's clock; None while it can.
    """

    def __init__(
        self, *, window: int, deadline_seconds: float, in_doubt: Callable[[str], None],
        away_since: Callable[[], float | None] = lambda: None,
    ) -> None:  # fmt: skip
        self._window = window
        self._deadline = deadline_seconds
        self._in_doubt = in_doubt
        self._away_since = away_since
        self._open = 0
        self._changed = asyncio.Event()
        self._plane: Plane | None = None
        self._there = asyncio.Event()

    def use(self, plane: Plane) -> None:
        """Send over this plane from now on."""
        self._plane = plane
        self._there.set()

    def stop(self, plane: Plane | None = None) -> None:
        """Send nothing until there is another plane; with a plane given, only if it is the one in use."""
        if plane is None or plane is self._plane:
            self._plane = None
            self._there.clear()

    @property
    def plane(self) -> Plane | None:
        """The one in use."""
        return self._plane

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """Send in order; returns once everything is confirmed.

        Raises:
            QueueNotFound: A mandatory one had no queue; the others were published.
            BrokerUnavailable: No broker, a broker out of memory or disk, or no confirm, in time.
            TooLarge: A body above the limit.
        """
        for at in range(0, len(parcels), self._window):
            await self._publish_window(parcels[at : at + self._window])

    async def _publish_window(self, parcels: Sequence[Parcel]) -> None:
        count = len(parcels)
        plane: Plane | None = None
        futures: list[asyncio.Future[None]] = []
        is_in = False
        seconds = time_left(self._deadline, away_since=self._away_since())
        try:
            async with asyncio.timeout(seconds):
                while self._open + count > self._window:
                    self._changed.clear()
                    await self._changed.wait()
                self._open += count
                is_in = True
                plane = await self._unblocked()
                futures = [
                    plane.publish(
                        each.exchange, each.routing_key, each.message,
                        persistent=each.is_persistent, mandatory=each.is_mandatory,
                    )
                    for each in parcels
                ]  # fmt: skip
                await asyncio.wait(futures)
        except TimeoutError:
            self._doubt_after(self._deadline - seconds, plane, futures)
            raise BrokerUnavailable(self._late(seconds)) from None
        finally:
            if is_in:
                self._open -= count
                self._changed.set()
        if any(isinstance(future.exception(), Refused) for future in futures):
            doubt_soon(lambda: plane is self._plane, self._in_doubt)
        _raise_first(futures)

    async def _unblocked(self) -> Plane:
        while True:
            await self._there.wait()
            plane = self._plane
            if plane is None:
                continue
            if not plane.is_blocked:
                return plane
            await asyncio.sleep(BLOCKED_LOOK_SECONDS)

    def _late(self, seconds: float) -> str:
        if self._plane is None:
            return "no connection to RabbitMQ."
        if self._plane.is_blocked:
            return "RabbitMQ takes no messages: it is out of memory or disk."
        return f"RabbitMQ did not confirm within {seconds:.2g} s; the outcome is unknown."

    def _doubt_after(
        self, seconds: float, plane: Plane | None, futures: Sequence["asyncio.Future[None]"]
    ) -> None:
        """Doubt the connection unless these are confirmed by then: who asked may have had less time than it has."""

        def look() -> None:
            is_open = plane is not None and plane is self._plane and not plane.is_blocked
            if is_open and not all(future.done() for future in futures):
                self._in_doubt("a publication was not confirmed in time")

        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, look)
        else:
            look()


def _raise_first(futures: Sequence["asyncio.Future[None]"]) -> None:
    """The gravest of what went wrong: an unknown outcome before a known one."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if isinstance(error, BrokerUnavailable):
            raise error
    if errors:
        raise errors[0]
