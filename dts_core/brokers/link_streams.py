"""One stream after another to the owner of a link: opened, greeted, lost, and opened anew after a pause."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from dts_core.brokers import frames
from dts_core.brokers.wire import OpenStream, Wire
from dts_core.errors import BrokerUnavailable, DtsError

BACKOFF_FIRST_SECONDS: Final = 0.05
BACKOFF_MAX_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class Streams:
    """Keeps one stream alive at a time, from `start` to `close`.

    Args:
        open_stream: Makes a new stream to the owner.
        ping_seconds: How often the owner hears from here at least.
        lost_seconds: The owner is lost after so long a silence.
        open_seconds: How long the opening may take.
        on_frame: Called with each frame but pings.
        before_flush: Called before what was sent is written.
        greet: Says hello on a new stream and builds everything on it; is given what ends with the stream.
        built: Called once that is done.
        over: Called at the end of each stream, whether or not it was ever built on.
        lost: Called after that with the reason, when it was; not after `close`.

    Attributes:
        wire: The stream that there is now.
        ready: Set while everything is built on it.
        failure: What was met last on the way to a stream.
    """

    def __init__(
        self, open_stream: OpenStream, *, ping_seconds: float, lost_seconds: float, open_seconds: float,
        on_frame: Callable[[Any], None], before_flush: Callable[[], None],
        greet: "Callable[[Wire, asyncio.Task[str]], Awaitable[None]]",
        built: Callable[[], None], over: Callable[[], None], lost: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.wire: Wire | None = None
        self.ready = asyncio.Event()
        self.failure: DtsError | None = None
        self._open_stream = open_stream
        self._ping_seconds = ping_seconds
        self._lost_seconds = lost_seconds
        self._open_seconds = open_seconds
        self._on_frame = on_frame
        self._before_flush = before_flush
        self._greet = greet
        self._built = built
        self._over = over
        self._lost = lost
        self._supervisor: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self, timeout_seconds: float) -> None:
        """Begin, and wait for the first stream; it is tried for on after a failure, until `close`.

        Raises:
            BrokerUnavailable: Nobody there in time.
        """
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="link")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.ready.wait()
        except TimeoutError:
            why = self.failure.message if self.failure else "no answer."
            raise BrokerUnavailable(f"no link: {why}") from None

    async def close(self) -> None:
        """Say good-bye and open no other."""
        self._is_closed = True
        if self.wire is not None:
            self.wire.last_word = frames.Bye()
            self.wire.close()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait((self._supervisor,))

    async def _supervise(self) -> None:
        pause = BACKOFF_FIRST_SECONDS
        while True:
            was_ready = False
            try:
                was_ready, why = await self._one_stream()
            except DtsError as error:
                self.failure, why = error, error.message
            except (OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}".rstrip(": ")
                self.failure = BrokerUnavailable(f"the owner is not there ({why}).")
            except (
                Exception
            ) as error:  # a mistake in one of our callbacks must not end the link for good
                log.exception("a stream of the link failed")
                why = f"{type(error).__name__} in this process"
            if self._is_closed:
                return
            if was_ready:
                pause = BACKOFF_FIRST_SECONDS
                self._lost(why)
            log.info("the link is away", reason=why)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, BACKOFF_MAX_SECONDS)

    async def _one_stream(self) -> tuple[bool, str]:
        """One stream from its opening to its end; whether it ever was ready, and why it ended."""
        async with asyncio.timeout(self._open_seconds):
            reader, writer = await self._open_stream()
        wire = Wire(
            reader, writer, frames.server_frames, self._on_frame,
            ping_seconds=self._ping_seconds, lost_seconds=self._lost_seconds,
        )  # fmt: skip
        wire.last_word = frames.Bye("this end gave the stream up.", keeps=True)
        wire.before_flush = self._before_flush
        self.wire = wire
        self.failure = None
        running = asyncio.get_running_loop().create_task(wire.run(), name="link-wire")
        was_ready = False
        try:
            await self._greet(wire, running)
            was_ready = True
            self.ready.set()
            self._built()
            why = await running
        finally:
            self.ready.clear()
            self.wire = None
            wire.close()
            await _end(running)
            self._over()
        return was_ready, why


async def _end(running: "asyncio.Task[str]") -> None:
    if not running.done():
        running.cancel()
        await asyncio.wait((running,))
