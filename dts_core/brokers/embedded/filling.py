"""Keeps the queues' windows filled from the file: what stands there at the start, and what comes next."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.claiming import Tasks
from dts_core.brokers.embedded.outlets import Outlet, Outlets
from dts_core.brokers.embedded.queues import WINDOW, Entry, Lane, Queue, WorkQueue
from dts_core.errors import StoreError
from dts_core.sqlite import Connection, Database

READ_AGAIN_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class Filling:
    """Reads messages from the file into the lanes of their queues.

    Args:
        hidden: The runs of rows that may be committed and are not announced yet, as (first, last).
        wake: Has a queue hand out.
    """

    def __init__(
        self, database: Database, outlets: Outlets, tasks: Tasks, *,
        hidden: Callable[[], list[tuple[int, int]]], wake: Callable[[Outlet], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._outlets = outlets
        self._tasks = tasks
        self._hidden = hidden
        self._wake = wake
        self._standing: dict[str, list[tuple[int, int, float]]] = {}
        self._dead: dict[str, int] = {}

    async def load(self) -> int:
        """Read what stands in the file; returns the first number that no message ever had.

        Raises:
            StoreUnavailable: The file cannot be read.
        """

        def load(
            connection: Connection,
        ) -> tuple[int, list[tuple[str, int, int, int]], list[tuple[str, int]]]:
            seq = journal.next_seq(connection)
            return seq, journal.standing(connection), journal.dead_counts(connection)

        next_seq, standing, dead = await self._database.read(load)
        for queue, priority, count, oldest in standing:
            self._standing.setdefault(queue, []).append((priority, count, oldest / 1_000_000))
        self._dead = dict(dead)
        return next_seq

    def begin(self, queue: Queue) -> None:
        """Tell a queue that was just declared what stands in the file for it."""
        queue.figures.dead = self._dead.get(queue.name, 0)
        if not isinstance(queue, WorkQueue):
            return
        for priority, count, oldest in self._standing.pop(queue.name, []):
            lane = queue.lane(priority)
            lane.beyond, lane.oldest_beyond = count, oldest
            queue.ready += count

    def read_on(self, queue: WorkQueue, lane: Lane) -> None:
        """Fill the window of a lane, in a while."""
        lane.reading = True
        self._tasks.start(self._read_lane(queue, lane), "read")

    async def _read_lane(self, queue: WorkQueue, lane: Lane) -> None:
        above, expected = lane.cursor, lane.beyond
        read = partial(
            journal.read_lane, queue=queue.name, priority=lane.priority, above=above, limit=WINDOW
        )
        try:
            rows = await self._database.read(read)
        except StoreError as error:
            log.warning("a queue cannot be read now", queue=queue.name, reason=str(error))
            await asyncio.sleep(READ_AGAIN_SECONDS)
            rows = None
        finally:
            lane.reading = False
        if rows:
            lane.read_on(self._entries(rows), rows[-1][0])
        elif rows is not None and lane.beyond:
            log.error("messages are missing in the file", queue=queue.name, count=expected)
            queue.ready -= min(expected, lane.beyond)
            lane.beyond = max(lane.beyond - expected, 0)
        if lane.wants_more():
            self.read_on(queue, lane)
        self._wake(self._outlets[queue.name])

    def _entries(self, rows: Sequence[journal.Row]) -> list[Entry]:
        """Rows as entries, without those whose publication is committed and not announced yet."""
        hidden = self._hidden()
        return [
            Entry(seq, journal.unpack(blob), published / 1_000_000, deliveries)
            for seq, deliveries, published, blob in rows
            if not any(first <= seq <= last for first, last in hidden)
        ]
