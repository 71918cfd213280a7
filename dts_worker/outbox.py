"""The worker's log records on their way to the queue `logs`: bounded, in batches, oldest dropped and counted."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from dts_core.errors import BrokerError, TooLarge
from dts_core.model import LogBatch, LogRecord

RECORDS_MAX = 5_000
"""Most records waiting; above it the oldest goes."""
BATCH_MAX = 200
"""Most records in one message."""
BATCH_CHARACTERS = 200_000
"""Characters from which a message gets no further record: 4 bytes each must stay below 1 MiB."""
FLUSH_SECONDS = 0.1
"""Longest wait of a record for company."""
RETRY_SECONDS = 0.5
"""Wait after a failed publish."""

Publish = Callable[[LogBatch], Awaitable[None]]
"""Sends one batch to `logs`; raises BrokerError when it did not get through."""


class LogOutbox:
    """Collects log records of jobs, log agent and worker; `run` sends them.

    `add` and `note_dropped` belong to the loop's thread. Logs are the first thing to go when the broker cannot keep up:
    they never hold up a job.
    """

    def __init__(self, publish: Publish, *, host: str, worker: str) -> None:
        self._publish = publish
        self._host = host
        self._worker = worker
        self._records: deque[LogRecord] = deque()
        self._dropped = 0
        self._wake = asyncio.Event()
        self._full = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: LogRecord) -> None:
        """Send the record soon; the oldest waiting one is dropped and counted when there are RECORDS_MAX."""
        records = self._records
        if len(records) >= RECORDS_MAX:
            records.popleft()
            self._dropped += 1
        records.append(record)
        if len(records) == 1:
            self._wake.set()
        elif len(records) == BATCH_MAX:
            self._full.set()

    def note_dropped(self, count: int) -> None:
        """Report `count` records that were dropped before they got here."""
        self._dropped += count
        if self._dropped:
            self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; a broker that is away only makes it wait."""
        while True:
            await self._wake.wait()
            if len(self._records) < BATCH_MAX:
                await self._linger()
            if not await self._send_one():
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Send what waits, once; for the end of the worker. Stops at the first failure."""
        while (self._records or self._dropped) and await self._send_one():
            pass

    async def _linger(self) -> None:
        self._full.clear()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._full.wait()
        except TimeoutError:
            return

    async def _send_one(self) -> bool:
        """Send one batch; False when the broker did not take it (its records wait again, newest kept)."""
        records = self._records
        batch = self._take()
        size = len(batch)
        dropped, self._dropped = self._dropped, 0
        if not records:
            self._wake.clear()
        if not batch and not dropped:
            return True
        try:
            await self._publish(LogBatch(self._host, self._worker, batch, dropped))
        except TooLarge:
            self.note_dropped(dropped + size)
            return True
        except BrokerError:
            self._keep(batch, dropped)
            return False
        except asyncio.CancelledError:
            self._keep(batch, dropped)
            raise
        return True

    def _take(self) -> list[LogRecord]:
        """The next records, as many as fit one message whatever their characters are."""
        records, room = self._records, BATCH_CHARACTERS
        batch: list[LogRecord] = []
        while records and len(batch) < BATCH_MAX and room > 0:
            record = records.popleft()
            room -= len(record.text)
            batch.append(record)
        return batch

    def _keep(self, batch: list[LogRecord], dropped: int) -> None:
        room = max(RECORDS_MAX - len(self._records), 0)
        kept = batch[len(batch) - room :] if room else []
        self._records.extendleft(reversed(kept))
        self.note_dropped(dropped + len(batch) - len(kept))
        self._wake.set()
