"""One process of ours as a service manager sees it: when it is ready, how it is, that it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dts_core.hosting.notify import Notifier
from dts_core.hosting.watchdog import Probe, keep_watchdog

__all__ = ["told"]

_log = logging.getLogger(__name__)


@asynccontextmanager
async def told(
    notifier: Notifier, *, ready: asyncio.Event, stop: asyncio.Event, probe: Probe, status: str
) -> AsyncIterator[None]:
    """For the length of the block: READY once `ready` is set, pings from then on, STOPPING once `stop` is.

    Args:
        notifier: Closed by the caller.
        ready: Everything works.
        stop: The end has begun; pings go on until the block ends.
        probe: A real round trip, for the watchdog.
        status: The first line of status.
    """
    if not notifier.is_heard:
        yield
        return
    tasks = [
        asyncio.create_task(_keep(notifier, ready, probe, status), name="watchdog"),
        asyncio.create_task(_last(notifier, stop), name="stopping"),
    ]
    for task in tasks:
        task.add_done_callback(_report)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(notifier: Notifier, ready: asyncio.Event, probe: Probe, status: str) -> None:
    await ready.wait()
    notifier.ready(status)
    await keep_watchdog(notifier, probe)


async def _last(notifier: Notifier, stop: asyncio.Event) -> None:
    await stop.wait()
    notifier.stopping()


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the service manager is told nothing more: %r", error, exc_info=error)
