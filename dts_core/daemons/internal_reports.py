"""Progress and log records of the internal worker's jobs on their way to their queues: bounded, in batches."""

import asyncio
import logging
from collections import deque
from typing import Final

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, LOGS, Broker, Message, Outgoing
from dts_core.clock import Clock
from dts_core.errors import BrokerError
from dts_core.model import JobMessage, LogBatch, LogRecord, Progress, ProgressReport
from dts_core.sealed import Secrets
from dts_core.text import clean, clean_lines

__all__ = ["Reports"]

FLUSH_SECONDS: Final = 0.1
RECORDS_MAX: Final = 2_000
"""Most records that wait; the oldest goes, and is counted."""
BATCH_MAX: Final = 200
TEXT_MAX: Final = 16_384
_log = logging.getLogger(__name__)


class Reports:
    """Collects; `run` sends. Losing some delays what people see and nothing else."""

    def __init__(
        self, broker: Broker, clock: Clock, *, host: str, worker: str, secrets: Secrets
    ) -> None:
        self._secrets = secrets
        self._broker = broker
        self._clock = clock
        self._host = host
        self._worker = worker
        self._records: deque[LogRecord] = deque()
        self._dropped = 0
        self._progress: dict[str, Progress] = {}
        self._wake = asyncio.Event()

    def log(self, job: JobMessage, level: int, text: str) -> None:
        """Send one record of a job soon."""
        if len(self._records) >= RECORDS_MAX:
            self._records.popleft()
            self._dropped += 1
        self._records.append(
            LogRecord(
                self._clock.now(),
                self._host,
                "job",
                level,
                clean_lines(self._secrets.veil(job.id, text), TEXT_MAX),
                job.id,
                job.function,
            )
        )
        self._wake.set()

    def progress(self, job_id: str, epoch: int, fraction: float, text: str) -> None:
        """Send how far a job is soon; only the last word counts."""
        share = min(max(fraction, 0.0), 1.0)
        shown = clean(self._secrets.veil(job_id, text), 200)
        self._progress[job_id] = Progress(job_id, epoch, share, shown)
        self._wake.set()

    def finished(self, job_id: str) -> None:
        """A job has ended: its progress is no news any more."""
        self._progress.pop(job_id, None)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._wake.clear()
            outgoing = self._take()
            try:
                await self._broker.publish(outgoing)
            except BrokerError as error:
                _log.info("progress and logs of jobs of dts/ were lost: %s", error)

    def _take(self) -> list[Outgoing]:
        outgoing = []
        if self._progress:
            report = ProgressReport(
                host=self._host, worker=self._worker, items=list(self._progress.values())
            )
            self._progress.clear()
            body = codec.encode(report)
            outgoing.append(Outgoing(HEARTBEATS, Message(body, type="ProgressReport")))
        if self._records:
            count = min(len(self._records), BATCH_MAX)
            records = [self._records.popleft() for _ in range(count)]
            batch = LogBatch(self._host, self._worker, records, self._dropped)
            self._dropped = 0
            outgoing.append(Outgoing(LOGS, Message(codec.encode(batch), type="LogBatch")))
            if self._records:
                self._wake.set()
        return outgoing
