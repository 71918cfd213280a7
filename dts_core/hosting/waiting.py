"""A partner that is not there yet: it is waited for, in any order of starts, and never past a request to stop."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dts_core.errors import BrokerUnavailable, StoreUnavailable

__all__ = ["Stopped", "patiently", "unless_stopped"]

T = TypeVar("T")
PAUSE_FIRST_SECONDS: Final = 0.2
PAUSE_MAX_SECONDS: Final = 5.0
SAY_SECONDS: Final = 60.0
"""How often the same reason is said again."""
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The process was asked to stop before it was ready."""


async def unless_stopped(work: Awaitable[T], stop: asyncio.Event) -> T:
    """What `work` returns; when `stop` is set first, it is cancelled and waited for.

    Raises:
        Stopped: It was.
    """
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
    if task.cancelled():
        raise Stopped
    return task.result()


async def patiently(
    what: str,
    connect: Callable[[], Awaitable[T]],
    stop: asyncio.Event,
    *,
    tell: Callable[[str], None] = lambda words: None,
) -> T:
    """Try `connect` until it succeeds, with growing pauses.

    Args:
        what: For the log: `the broker`.
        connect: Leaves nothing open when it fails or is cancelled.
        stop: Ends the wait.
        tell: Is told in words what is waited for, each time the reason changes.

    Raises:
        Stopped: `stop` was set meanwhile.
    """
    loop = asyncio.get_running_loop()
    pause, said, said_at, began = PAUSE_FIRST_SECONDS, "", 0.0, loop.time()
    while True:
        try:
            found = await unless_stopped(connect(), stop)
        except (BrokerUnavailable, StoreUnavailable) as error:
            reason = error.message
        else:
            if said:
                _log.info("%s is there after %.0f s", what, loop.time() - began)
            return found
        if reason != said or loop.time() - said_at > SAY_SECONDS:
            said, said_at = reason, loop.time()
            words = f"waiting for {what}: {reason}"
            _log.warning("%s It is tried again until it is there.", words)
            tell(words)
        await unless_stopped(asyncio.sleep(pause * random.uniform(0.5, 1.0)), stop)
        pause = min(pause * 2, PAUSE_MAX_SECONDS)
