"""Daemons in one process, from their settings to a clean end."""

import asyncio
import contextlib
import logging
from typing import Final

from dts_core import loops
from dts_core.config import Loaded
from dts_core.daemons.base import running
from dts_core.hosting.notify import Notifier
from dts_core.hosting.service import told
from dts_core.hosting.stopping import stop_limit, stop_requests
from dts_core.hosting.waiting import Stopped
from dts_core.logs import log_to
from dts_core.settings import DaemonsFile
from dts_core.wiring.daemons import open_daemons
from dts_core.wiring.ports import Waiting

__all__ = ["run_daemons"]

STOP_SECONDS: Final = 15.0
"""After that long the process ends without ceremony."""
_log = logging.getLogger(__name__)


def run_daemons(names: tuple[str, ...], loaded: Loaded[DaemonsFile]) -> None:
    """Run them until the process is asked to stop.

    Raises:
        DtsError: They cannot start, or one of them died.
    """
    with log_to(loaded.settings.logging):
        loops.run(lambda: _run(names, loaded), loop=loaded.settings.loop)


async def _run(names: tuple[str, ...], loaded: Loaded[DaemonsFile]) -> None:
    with (
        contextlib.closing(Notifier.from_environment()) as notifier,
        stop_requests() as stop,
        contextlib.suppress(Stopped),
        stop_limit(stop, STOP_SECONDS),
    ):
        waiting = Waiting(stop, notifier.status)
        async with open_daemons(names, loaded.settings, waiting) as opened:
            _log.info("%s", loaded.story())
            ready = asyncio.Event()
            ready.set()
            status = f"ready: {', '.join(names)}"
            async with (
                told(notifier, ready=ready, stop=stop, probe=opened.probe, status=status),
                running(opened.parts),
            ):
                _log.info("%s", status)
                await stop.wait()
    _log.info("stopped")
