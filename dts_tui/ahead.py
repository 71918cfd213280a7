"""Keys that come faster than the screen follows, as over a slow line: each waits until the one before it is done."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from textual import events
from textual.message_pump import MessagePump

from dts_tui.widgets.confirm import Confirm

if TYPE_CHECKING:
    from dts_tui.app import Console

Typed: TypeAlias = "events.Key | events.Paste"

HELD_MAX: Final = 4096
"""Keys kept; more come only from a terminal that pours."""
PATIENCE_SECONDS: Final = 1.0
"""A key waits no longer for the one before it."""
QUIET_TURNS: Final = 2
"""Loop turns with nothing left to do, after which a key counts as done."""
EAGER_TURNS: Final = 50
POLL_SECONDS: Final = 0.002


class TypeAhead:
    """Holds keys back while the one before them still opens what they are meant for.

    Textual hands a key to what has the focus when the key comes, and what that key opens has it a little later:
    of `:jobs` in one piece all but the colon would be lost.

    Args:
        console: Whose keys.
        hand_on: Textual's own way of a key.
    """

    def __init__(self, console: "Console", hand_on: Callable[[Typed], Awaitable[None]]) -> None:
        self._console, self._hand_on = console, hand_on
        self._held: deque[Typed] = deque(maxlen=HELD_MAX)
        self._following: asyncio.Task[None] | None = None
        self._last = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether every key is done."""
        return self._following is None or self._following.done()

    @property
    def rest(self) -> float:
        """Seconds since the last key came."""
        return time.monotonic() - self._last

    async def take(self, event: Typed) -> None:
        """A key from the terminal: hand it on now, or after those before it."""
        self._last = time.monotonic()
        if not self.idle:
            self._held.append(event)
        elif self._console.opening:
            self._held.append(event)
            self._follow([], None)
        else:
            way, question = self._way(), self._question()
            await self._hand_on(event)
            self._follow(way, question)

    async def close(self) -> None:
        """Hand on no more."""
        self._held.clear()
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def _follow(self, way: Sequence[MessagePump], question: Confirm | None) -> None:
        self._following = asyncio.create_task(self._in_turn(way, question), name="keys")

    async def _in_turn(self, way: Sequence[MessagePump], question: Confirm | None) -> None:
        """Wait for the key that was handed on, then do the same with each that is held."""
        await self._done(way)
        while self._held:
            asked = self._question()
            if asked is not None and asked is not question:
                self._held.clear()  # typed before the question was seen: no answer to it
                return
            event, way, question = self._held.popleft(), self._way(), asked
            await self._hand_on(event)
            await self._done(way)

    def _question(self) -> Confirm | None:
        found = self._console.overlay
        return found if isinstance(found, Confirm) else None

    def _way(self) -> list[MessagePump]:
        """All that the next key passes: what has the focus, what is around it, the console."""
        frame = self._console.frame
        return [*(frame.focused or frame).ancestors_with_self, self._console]

    async def _done(self, way: Sequence[MessagePump]) -> None:
        """Return once a key and what it set off are through, or patience is over."""
        until, turns, quiet = time.monotonic() + PATIENCE_SECONDS, 0, 0
        while quiet < QUIET_TURNS and time.monotonic() < until:
            await asyncio.sleep(0 if turns < EAGER_TURNS else POLL_SECONDS)
            turns += 1
            busy = self._console.opening or any(pump.message_queue_size for pump in way)
            quiet = 0 if busy else quiet + 1
