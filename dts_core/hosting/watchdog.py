"""The watchdog's ping, tied to real work: no timer keeps a process alive that does nothing any more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from dts_core.errors import DtsError
from dts_core.hosting.notify import Notifier

__all__ = ["Probe", "keep_watchdog"]

PINGS: Final = 3
"""Pings in one of the manager's intervals: one may be late and one lost."""
LOOK_SECONDS: Final = 10.0
"""How often the line of status is brought up to date where no watchdog waits."""
Probe = Callable[[], Awaitable[str]]
"""Goes a real round trip through store and broker, and tells in words how they are.

A partner that is known to be away, and is tried again and again, is told in words: a new start would not bring it back,
and would end the jobs that run here. One that is said to be there and does not answer raises DtsError.
"""
_log = logging.getLogger(__name__)


async def keep_watchdog(notifier: Notifier, probe: Probe) -> None:
    """Ping after each round trip that came back, until cancelled. One that fails or takes too long pings nothing."""
    interval = notifier.watchdog_seconds / PINGS if notifier.watchdog_seconds else LOOK_SECONDS
    if not notifier.is_heard:
        await asyncio.Event().wait()
    while True:
        try:
            async with asyncio.timeout(interval):
                words = await probe()
        except TimeoutError:
            _tell(notifier, f"no answer within {interval:.1f} s")
            continue  # the interval is over already
        except DtsError as error:
            _tell(notifier, str(error))
        else:
            notifier.status(words)
            if notifier.watchdog_seconds:
                notifier.ping()
        await asyncio.sleep(interval)


def _tell(notifier: Notifier, why: str) -> None:
    _log.warning("no ping to the service manager: %s", why)
    notifier.status(f"in doubt: {why}")
