"""A whole `dts up` of its own for a measurement, and what its processes cost."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from dts_core.clients import AdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError

START_SECONDS = 30.0


class Stack:
    """A running stack: its client, its data folder, its processes."""

    def __init__(
        self, client: AdminClient, folder: Path, process: asyncio.subprocess.Process
    ) -> None:
        self.client = client
        self.folder = folder
        self.process = process
        self.owner = psutil.Process(process.pid)

    def workers(self) -> list[psutil.Process]:
        """The worker with its children."""
        return self.owner.children(recursive=True)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time used so far, by part."""
        return {"owner": _cpu(self.owner), "workers": sum(_cpu(each) for each in self.workers())}

    def memory_bytes(self) -> dict[str, int]:
        """Resident memory now, by part."""
        return {
            "owner": self.owner.memory_info().rss,
            "workers": sum(each.memory_info().rss for each in self.workers()),
        }


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


@contextlib.asynccontextmanager
async def running(*options: str, workers: int = 1) -> AsyncIterator[Stack]:
    """Start `dts up` in a folder of its own, with one worker; stop it by its own pid at the end."""
    with tempfile.TemporaryDirectory(prefix="dts-bench-") as name:
        folder = Path(name) / "data"
        log = (Path(name) / "up.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dts_core.cli", "up", "--data", str(folder), "--port", "0"),
            *("--workers", str(workers), *options),
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": name},
        )
        try:
            client = await _ready(folder, process, wait_for_worker=workers > 0)
            async with client:
                yield Stack(client, folder, process)
        finally:
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), 20)
            log.close()


async def _ready(
    folder: Path, process: asyncio.subprocess.Process, *, wait_for_worker: bool
) -> AdminClient:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.returncode is not None:
            log = (folder.parent / "up.log").read_text("utf-8", "replace")
            raise RuntimeError(f"dts up ended with {process.returncode}: {log[-2000:]}")
        with contextlib.suppress(DtsError):
            found = local_endpoint(folder)
            client = AdminClient(found.url, found.token)
            if not wait_for_worker or (await client.hosts()).items:
                return client
            await client.close()
        await asyncio.sleep(0.1)
    raise RuntimeError("dts up was not ready in time")
