"""A worker on a road of tests: in this process, or as a `dts-worker` of its own."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.sealed import Opener
from dts_core.settings import ProberSettings, TrustSettings, WorkerFile, WorkerSettings
from dts_core.signing import Trust
from dts_worker.worker import Worker
from tests.support.processes import environment
from tests.support.worker_road import Road

STOP_SECONDS = 60.0


class InProcess:
    """A worker in this process, on a link of its own."""

    def __init__(
        self,
        road: Road,
        trust: Trust | None = None,
        opener: Opener | None = None,
        *,
        signed_jobs: bool = False,
        **settings: Any,
    ) -> None:
        given: dict[str, Any] = {"slots": 2, "drain_seconds": 5.0}
        self.road = road
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()
        self.link = LinkBroker(unix_stream(road.socket), host="a", worker="a-1")
        self.worker = Worker(
            WorkerFile(
                worker=WorkerSettings(**(given | settings)),
                prober=ProberSettings(interval_seconds=0.2),
                signing=TrustSettings(jobs=signed_jobs),
            ),
            self.link,
            host="a",
            worker="a-1",
            folder=road.folder / "worker",
            trust=trust,
            opener=opener,
        )
        self.link.holding = self.worker.held
        self.link.on_resumed = self.worker.on_resumed

    async def run(self) -> None:
        await self.link.start()
        try:
            await self.worker.run(self.stop, at_once=self.at_once)
        finally:
            await self.link.close()


@asynccontextmanager
async def in_process(
    road: Road, trust: Trust | None = None, opener: Opener | None = None, **settings: Any
) -> AsyncIterator[InProcess]:
    """A running worker for the length of a test, which verifies when it is told whom to trust; it drains at the end."""
    found = InProcess(road, trust, opener, **settings)
    running = asyncio.ensure_future(found.run())
    try:
        await road.until_linked()
        yield found
    finally:
        found.stop.set()
        async with asyncio.timeout(STOP_SECONDS):
            await running


class WorkerProcess:
    """A `dts-worker` process."""

    def __init__(self, process: asyncio.subprocess.Process, output: Path) -> None:
        self.process = process
        self.output = output

    def said(self) -> str:
        return self.output.read_text("utf-8", "replace")

    async def ends(self) -> int:
        """Its exit status, once it has ended."""
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def a_process(
    road: Road, *arguments: str, pass_fds: tuple[int, ...] = (), **variables: str
) -> AsyncIterator[WorkerProcess]:
    """A `dts-worker` for the length of a test, ready when this returns; killed at the end if it still runs."""
    output = road.folder / "worker.out"
    command = [sys.executable, "-m", "dts_worker.cli", "--url", f"link+unix://{road.socket}"]
    options = ["--host", "a", "--data", str(road.folder / "worker"), "--slots", "2", *arguments]
    given = {"DTS_PROBER_INTERVAL_SECONDS": "0.2", "DTS_WORKER_DRAIN_SECONDS": "5"} | variables
    with output.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment(road.folder) | given,
            pass_fds=pass_fds,
        )
    found = WorkerProcess(process, output)
    try:
        await road.until_linked()
        yield found
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
