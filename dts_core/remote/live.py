"""What hosts print while they run, on its way to the store: the newest of each, as much a second as the store bears."""

import asyncio
import logging
from typing import Final, Self

from dts_core.errors import StoreError
from dts_core.model import HostOutput, HostRun
from dts_core.model.remote import RUNNING
from dts_core.ssh.channel import STDERR
from dts_core.stores.base import RunStore

__all__ = ["BUDGET_BYTES", "FLUSH_SECONDS", "LiveHost", "LiveOutputs", "Window"]

FLUSH_SECONDS: Final = 0.5
BUDGET_BYTES: Final = 512 << 10
"""Of one write, of all hosts of the job together."""
BATCH_MAX: Final = 100
"""Hosts of one write."""
WINDOW_MOST: Final = 128 << 10
"""Bytes of one stream that whoever follows may be behind."""
WINDOW_LEAST: Final = 4 << 10
_log = logging.getLogger(__name__)


class Window:
    """The newest bytes of a stream, and how many there were."""

    __slots__ = ("_bytes", "_most", "total")

    def __init__(self, most: int) -> None:
        self._bytes = bytearray()
        self._most = most
        self.total = 0

    def take(self, data: bytes) -> None:
        """One more piece."""
        self.total += len(data)
        self._bytes += data[-self._most :]
        if len(self._bytes) > 2 * self._most:
            del self._bytes[: -self._most]

    def newest(self) -> bytes:
        """What is held of it."""
        return bytes(self._bytes[-self._most :])


class LiveHost:
    """One host; made with the first thing that it prints."""

    __slots__ = ("stderr", "stdout")

    def __init__(self, most: int) -> None:
        self.stdout = Window(most)
        self.stderr = Window(most)

    def output(self) -> HostOutput:
        """As it is stored."""
        return HostOutput(
            stdout=self.stdout.newest(),
            stderr=self.stderr.newest(),
            stdout_total=self.stdout.total,
            stderr_total=self.stderr.total,
        )


class LiveOutputs:
    """An async context manager; of one run of one job. A host that prints nothing costs nothing.

    Args:
        store: Where to.
        job: Id of the job.
        epoch: Of its claim.
        hosts: How many there are: they share the memory and the writes.
    """

    def __init__(self, store: RunStore, job: str, epoch: int, hosts: int) -> None:
        self._store = store
        self._job = job
        self._epoch = epoch
        self._window = min(max(BUDGET_BYTES // max(hosts, 1), WINDOW_LEAST), WINDOW_MOST)
        self._hosts: dict[str, LiveHost] = {}
        self._changed: dict[str, None] = {}
        """In the order in which it is their turn."""
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def hear(self, host: str, stream: int, data: bytes) -> None:
        """A piece of what a host prints."""
        live = self._hosts.get(host)
        if live is None:
            live = self._hosts[host] = LiveHost(self._window)
        (live.stderr if stream == STDERR else live.stdout).take(data)
        self._changed[host] = None
        self._wake.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name=f"live-{self._job}")

    def forget(self, host: str) -> None:
        """It has ended: what it printed is kept with its end."""
        self._hosts.pop(host, None)
        self._changed.pop(host, None)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            if not (runs := self._next()):
                self._wake.clear()
                continue
            try:
                await self._store.show_runs(runs)
            except StoreError as error:
                _log.debug("what job %s prints is shown later: %s", self._job, error)
                self._changed |= {run.host: None for run in runs if run.host in self._hosts}

    def _next(self) -> list[HostRun]:
        """The hosts whose turn it is, as many as one write may hold."""
        runs: list[HostRun] = []
        left = BUDGET_BYTES
        while self._changed and left > 0 and len(runs) < BATCH_MAX:
            host = next(iter(self._changed))
            del self._changed[host]
            output = self._hosts[host].output()
            left -= len(output.stdout) + len(output.stderr)
            runs.append(
                HostRun(
                    job=self._job,
                    host=host,
                    epoch=self._epoch,
                    seq=0,
                    state=RUNNING,
                    output=output,
                )
            )
        return runs
