"""Questions to the owner of a link, by number, and those who wait for their answers."""

import asyncio
from collections.abc import Callable
from typing import Any

from dts_core.brokers import frames
from dts_core.brokers.wire import Wire
from dts_core.errors import BrokerUnavailable, DtsError


class Questions:
    """What was asked over the stream and is not answered yet."""

    def __init__(self) -> None:
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    def number(self) -> int:
        """A number that this end has not used yet, over all its streams."""
        self._last += 1
        return self._last

    def ask(self, wire: Wire, make: Callable[[int], frames.Frame]) -> "asyncio.Future[Any]":
        """Send what `make` makes of a new number; the future has the answer, or why there is none.

        Raises:
            TooLarge: The frame exceeds the limit; nothing was sent.
        """
        number = self.number()
        frame = make(number)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wire.send(frame)
        self._waiting[number] = future
        return future

    def settle(self, number: int, answer: Any) -> None:
        """An answer came; one to a number that nobody waits for is ignored."""
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def fail(self, number: int, error: DtsError) -> None:
        """The owner refused; ignored when nobody waits."""
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def lose(self) -> None:
        """The stream is gone, and with it every answer."""
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(
                    BrokerUnavailable("the link was lost before an answer; the outcome is unknown.")
                )
                future.exception()  # whoever still waits gets it; nobody else has to
