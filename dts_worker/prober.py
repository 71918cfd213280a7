"""Measures the host and says "I am alive". The first heartbeat makes the host known."""

import asyncio
import contextlib
import logging
import platform
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.model import Disk, Heartbeat
from dts_core.settings import ProberSettings
from dts_worker.aside import Aside, Stuck
from dts_worker.measures import (
    HostFigures,
    Measures,
    boot_id,
    mounts,
    read_disk,
    system_name,
)
from dts_worker.ports import WorkerFacts

JITTER: Final = 0.2
"""Beats come at the interval, more or less this share: a thousand hosts started at once spread by themselves."""
READ_SECONDS: Final = 2.0
"""Longest wait for the figures of one beat; a beat without them is better than none."""
DISK_SECONDS: Final = 3.0
"""Longest wait for one file system."""
LAG_SECONDS: Final = 0.5
"""How often the loop's lag is probed."""
log = logging.getLogger(__name__)


class Prober:
    """Sends a heartbeat at once and then every interval, until cancelled.

    Args:
        settings: How often.
        facts: What the worker says about itself; asked on the loop's thread.
        publish: Sends one beat. A beat that is not sent within its interval is dropped, and the next one carries on.
        clock: Only for the instant that a beat names.
    """

    def __init__(
        self,
        settings: ProberSettings,
        facts: WorkerFacts,
        publish: Callable[[Heartbeat], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._facts = facts
        self._publish = publish
        self._clock = clock
        self._aside = Aside()
        self._measures = Measures()
        self._disks: dict[str, Disk] = {}
        self._disks_missing: list[str] = []
        self._sequence = 0
        self._lag = 0.0
        self._boot_id = ""
        self._constant: dict[str, Any] = {
            "python": platform.python_version(),
            "system": system_name(),
        }
        self._now = asyncio.Event()
        self.dropped = 0

    def beat_now(self) -> None:
        """Do not wait for the next beat's time: nobody has heard us for a while."""
        self._now.set()

    async def run(self) -> None:
        """Work until cancelled."""
        self._boot_id = await asyncio.to_thread(boot_id)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe_lag(), name="prober-lag")
            tasks.create_task(self._watch_disks(), name="prober-disks")
            tasks.create_task(self._beat(), name="prober-beat")

    async def beat(self) -> Heartbeat:
        """Measure, and make the next heartbeat. Never raises for a figure that cannot be had."""
        try:
            figures = await self._aside.run(
                "figures", self._measures.read, timeout_seconds=READ_SECONDS
            )
        except Stuck:
            figures = HostFigures(missing=["cpu", "load", "memory", "swap", "network", "uptime"])
        self._sequence += 1
        lag, self._lag = self._lag, 0.0
        facts = self._facts
        return Heartbeat(
            host=facts.host,
            worker=facts.worker,
            boot_id=self._boot_id,
            sequence=self._sequence,
            at=self._clock.now(),
            interval_seconds=self._settings.interval_seconds,
            version=facts.version,
            loop=facts.loop,
            disks=list(self._disks.values()),
            loop_lag_seconds=lag,
            slots=facts.slots,
            running=facts.running,
            draining=facts.draining,
            held=facts.held(),
            counts=facts.counts(),
            functions=facts.functions(),
            queues=list(facts.queues),
            missing=figures.missing + self._disks_missing,
            readied=facts.readied(),
            **self._constant,
            **_without_missing(figures),
        )

    async def say_goodbye(self) -> None:
        """Send one more beat, for a worker that stops; nothing happens when it cannot be sent."""
        await self._send(await self.beat())

    async def _beat(self) -> None:
        interval = self._settings.interval_seconds
        while True:
            started = time.monotonic()
            await self._send(await self.beat())
            pause = interval * random.uniform(1 - JITTER, 1 + JITTER)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause - (time.monotonic() - started))):
                    await self._now.wait()
            self._now.clear()

    async def _send(self, beat: Heartbeat) -> None:
        try:
            async with asyncio.timeout(self._settings.interval_seconds):
                await self._publish(beat)
        except (DtsError, TimeoutError, OSError) as error:
            self.dropped += 1
            # The next beat says all that this one would have said.
            log.debug("heartbeat %d was not sent: %s", beat.sequence, error)

    async def _probe_lag(self) -> None:
        while True:
            due = time.monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag = max(self._lag, time.monotonic() - due)

    async def _watch_disks(self) -> None:
        while True:
            await self._look_at_disks()
            await asyncio.sleep(self._settings.disks_seconds)

    async def _look_at_disks(self) -> None:
        """Ask each file system on its own, so that one that hangs hides no other; the last figures of it stay away."""
        try:
            names = await self._aside.run("mounts", mounts, timeout_seconds=DISK_SECONDS)
        except Exception:  # noqa: BLE001 - however a platform fails at it, the beats go on
            self._disks, self._disks_missing = {}, ["disks"]
            return
        found: dict[str, Disk] = {}
        missing = []
        for mount in names:
            try:
                disk = await self._aside.run(
                    f"disk {mount}",
                    partial(read_disk, mount),
                    timeout_seconds=DISK_SECONDS,
                )
            except Exception:  # noqa: BLE001 - as above
                missing.append(f"disk:{mount}")
                continue
            if disk is not None:
                found[mount] = disk
        self._disks, self._disks_missing = found, missing


def _without_missing(figures: HostFigures) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(figures)
    del fields["missing"]
    return fields
