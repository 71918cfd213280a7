"""The log agent: follows log files and sends their records of a level and above."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Final

from dts_core.clock import Clock
from dts_core.errors import ConfigError
from dts_core.settings import AgentSettings
from dts_worker.agent.follower import Follower
from dts_worker.agent.offsets import OffsetFile
from dts_worker.agent.rate import Allowance
from dts_worker.agent.reading import NAMES
from dts_worker.aside import Aside, Stuck
from dts_worker.ports import LogSink

__all__ = ["LogAgent"]

STEP_SECONDS: Final = 30.0
"""A look at the files that takes longer hangs in a file system that does not answer."""
MORE_SECONDS: Final = 0.02
"""Pause while more is waiting: leaves the processor to the others."""
SAVE_SECONDS: Final = 2.0
log = logging.getLogger(__name__)


class LogAgent:
    """Follows log files until cancelled; without any path it waits.

    Args:
        settings: Which files, which level, how many records.
        sink: Takes the records, on the loop's thread.
        host: Name of this host.
        state_folder: Keeps `offsets.json`; made when it is not there.
        clock: The time.

    Raises:
        ConfigError: The level is no level.
    """

    def __init__(
        self, settings: AgentSettings, sink: LogSink, host: str, state_folder: Path, clock: Clock
    ) -> None:
        level = NAMES.get(settings.level.lower())
        if level is None:
            raise ConfigError(
                f"{settings.level!r} is no level.",
                key="agent.level",
                advice="Take one of debug, info, warning, error, critical.",
            )
        self._settings = settings
        self._sink = sink
        self._aside = Aside()
        self._follower = Follower(
            settings.paths,
            level,
            allowance=Allowance(settings.records_per_second),
            offsets=OffsetFile(state_folder / "offsets.json"),
            scan_seconds=settings.scan_seconds,
            from_start=settings.from_start,
            host=host,
            clock=clock,
        )

    async def run(self) -> None:
        """Work until cancelled; what was sent by then is remembered."""
        if not self._settings.paths:
            await asyncio.Event().wait()
        hangs = False
        try:
            while True:
                self._hand_over()
                try:
                    more = await self._aside.run(
                        "logs", self._follower.step, timeout_seconds=STEP_SECONDS
                    )
                    hangs = False
                except Stuck:
                    if not hangs:
                        log.warning("log files cannot be read: a file system does not answer")
                    more, hangs = False, True
                self._hand_over()
                await asyncio.sleep(MORE_SECONDS if more else self._settings.poll_seconds)
        finally:
            await self._stop()

    def _hand_over(self) -> None:
        outbox = self._follower.outbox
        while outbox:
            self._sink.add(outbox.popleft())

    async def _stop(self) -> None:
        """Keep the offsets, unless a look at the files hangs: then those kept before it stand."""
        await self._aside.wait("logs", timeout_seconds=SAVE_SECONDS)
        self._hand_over()
        with contextlib.suppress(Stuck):
            await self._aside.run("logs", self._save, timeout_seconds=SAVE_SECONDS)

    def _save(self) -> None:
        self._follower.save()
        self._follower.close()
