"""What becomes of a job's hosts on its way to the store: many at a time, each durable before anybody hears of it."""

import asyncio
import hashlib
import logging
from typing import Final, Self

import msgspec

from dts_core.errors import StoreError
from dts_core.model import HostOutput, HostRun
from dts_core.model.remote import RUNNING
from dts_core.services.results import clean_error
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.stores.base import RunStore
from dts_core.text import one_line

__all__ = ["Ledger", "digest_of", "run_of"]

BATCH_MAX: Final = 100
"""Hosts of one write, with what they printed."""
RETRY_SECONDS: Final = 0.5
"""Wait before a write that failed is tried again."""
_log = logging.getLogger(__name__)


class _Line(msgspec.Struct, eq=False):
    """One host's record, and who waits until it is kept."""

    run: HostRun
    kept: "asyncio.Future[bool]"


class Ledger:
    """An async context manager; one run of one job writes by it.

    Args:
        store: Where to.
        job: Id of the job.
        epoch: Of its claim.
    """

    def __init__(self, store: RunStore, job: str, epoch: int) -> None:
        self._store = store
        self._job = job
        self._epoch = epoch
        self._seq = epoch << 32  # above all that an earlier claim has written
        self._waiting: list[_Line] = []
        self._writing: list[_Line] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write(), name=f"outcomes-{self._job}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        for line in (*self._writing, *self._waiting):
            line.kept.cancel()

    async def begin(self, host: str) -> bool:
        """Mark a host as begun; False: it is not ours to begin, nothing may be run there."""
        return await self._keep(host, RUNNING, None)

    async def end(self, outcome: Outcome) -> bool:
        """Keep how a host ended; False: its end is known already, and stays."""
        return await self._keep(outcome.host, outcome.state.value, outcome)

    async def _keep(self, host: str, state: str, outcome: Outcome | None) -> bool:
        bare = HostRun(job=self._job, host=host, epoch=self._epoch, seq=0, state=state)
        run = bare if outcome is None else run_of(bare, outcome)
        line = _Line(run, asyncio.get_running_loop().create_future())
        self._waiting.append(line)
        self._wake.set()
        return await line.kept

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._writing, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            if not self._waiting:
                self._wake.clear()
            runs = [self._numbered(line.run) for line in self._writing]
            for line, kept in zip(self._writing, await self._saved(runs), strict=True):
                if not line.kept.done():  # whoever waited may have given up
                    line.kept.set_result(kept)

    def _numbered(self, run: HostRun) -> HostRun:
        self._seq += 1
        return msgspec.structs.replace(run, seq=self._seq)

    async def _saved(self, runs: list[HostRun]) -> list[bool]:
        """Written, however long the store is away: the same again is the same."""
        while True:
            try:
                return await self._store.save_runs(runs)
            except StoreError as error:
                _log.warning("outcomes of job %s have to wait: %s", self._job, error)
                await asyncio.sleep(RETRY_SECONDS)


def run_of(run: HostRun, outcome: Outcome) -> HostRun:
    """The record of a host that ended so; its error made printable, its bytes as they came."""
    error = None if outcome.error is None else clean_error(outcome.error)
    return msgspec.structs.replace(
        run,
        state=outcome.state.value,
        exit_status=outcome.exit_status,
        exit_signal=outcome.exit_signal,
        error=error,
        digest=digest_of(outcome),
        output_total=outcome.output_total,
        fingerprint=one_line(outcome.fingerprint, 120),
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        output=HostOutput(
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            result=outcome.result,
            stdout_total=outcome.output_total - outcome.stderr_total,
            stderr_total=outcome.stderr_total,
        ),
    )


def digest_of(outcome: Outcome) -> str:
    """The same for hosts that ended in the same way with the same words."""
    error = outcome.error
    raised = ""
    if error is not None:  # the words of an unreachable host name its address
        raised = (
            f"{error.type}: {error.message}" if outcome.state is HostState.FAILED else error.type
        )
    ended = (outcome.state.value, outcome.exit_status, outcome.exit_signal, raised)
    said = (outcome.output_total, outcome.stdout, outcome.stderr, outcome.result)
    return hashlib.sha256(msgspec.msgpack.encode((ended, said))).hexdigest()
