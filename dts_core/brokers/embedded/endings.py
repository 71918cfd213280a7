"""How messages leave a consumer: forgotten for good, ready again, or dead."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.claiming import Desk, Tasks
from dts_core.brokers.embedded.outlets import Outlet
from dts_core.brokers.embedded.queues import Entry
from dts_core.clock import Clock
from dts_core.errors import StoreUnavailable
from dts_core.sqlite import Database
from dts_core.text import one_line

RETURNS_MAX: Final = 20
"""A message that came back charged this often is a dead letter."""
FLUSH_SECONDS: Final = 0.002
"""How long acks gather before their rows are deleted: a commit for each batch would cost more than the deletes."""
FLUSH_MAX: Final = 1_000

log = structlog.get_logger(__name__)


class Endings:
    """Ends deliveries in memory at once and in the file a little later.

    Args:
        wake: Has a queue hand out again.
    """

    def __init__(
        self, database: Database, clock: Clock, *, desk: Desk, tasks: Tasks, wake: Callable[[Outlet], None]
    ) -> None:  # fmt: skip
        self._database = database
        self._clock = clock
        self._desk = desk
        self._tasks = tasks
        self._wake = wake
        self._deletes: list[int] = []

    def forget(self, outlet: Outlet, entries: Sequence[Entry]) -> None:
        """Forget messages for good; their rows go a little later, with those of other acks in one write."""
        outlet.queue.figures.unacked -= len(entries)
        if not entries or not outlet.queue.durable:
            return
        if not self._deletes:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._deletes += [entry.seq for entry in entries]
        if len(self._deletes) >= FLUSH_MAX:
            self.flush()

    def flush(self) -> None:
        """Send the collected deletes to the file; not waited for, since a lost one only redelivers."""
        seqs, self._deletes = self._deletes, []
        if seqs:
            self._write_soon(partial(journal.delete, seqs=seqs))

    def put_back(self, outlet: Outlet, entries: Sequence[Entry]) -> None:
        """Make messages ready again, nothing charged."""
        if entries:
            outlet.queue.figures.unacked -= len(entries)
            outlet.queue.put_back(entries)
            self._wake(outlet)

    def charge(self, outlet: Outlet, entries: Sequence[Entry]) -> None:
        """Make messages ready again, one return charged; those that came back too often are dead."""
        for entry in entries:
            entry.deliveries += 1
        poison = [entry for entry in entries if entry.deliveries >= RETURNS_MAX]
        if poison:
            self.bury(outlet, poison, f"came back {RETURNS_MAX} times without an end")
            entries = [entry for entry in entries if entry.deliveries < RETURNS_MAX]
        if entries and outlet.queue.durable:
            counts = [(entry.deliveries, entry.seq) for entry in entries]
            self._write_soon(partial(journal.set_deliveries, counts=counts))
        self.put_back(outlet, entries)

    def bury(self, outlet: Outlet, entries: Sequence[Entry], reason: str) -> None:
        """Make messages dead letters, and the jobs of a claimed queue dead."""
        queue = outlet.queue
        reason = one_line(reason, 300)
        queue.figures.unacked -= len(entries)
        queue.figures.dead += len(entries)
        if not queue.durable:
            queue.figures.dead = min(queue.figures.dead, journal.DEAD_IN_MEMORY_QUEUES_MAX)
        died = int(self._clock.now().timestamp() * 1_000_000)
        letters = [(entry.seq, reason, journal.pack(entry.message)) for entry in entries]
        self._write_soon(
            partial(
                journal.bury, queue=queue.name, died=died, letters=letters, durable=queue.durable
            )
        )
        log.warning(
            "messages became dead letters", queue=queue.name, count=len(entries), reason=reason
        )
        if queue.claimed:
            jobs = [entry.message.message_id for entry in entries]
            self._tasks.start(self._desk.bury(jobs, reason), "bury")
        self._wake(outlet)

    def _write_soon(self, work: Callable[..., None]) -> None:
        try:
            self._database.write_soon(work)
        except (
            StoreUnavailable
        ) as error:  # closing: the rows stay and are delivered after the next start
            log.warning("the broker's file is closed", reason=str(error))
