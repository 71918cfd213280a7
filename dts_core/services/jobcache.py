"""The newest known record of recent jobs, so that asking for one again costs the store nothing."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from dts_core.clock import Clock
from dts_core.model import Change, Job
from dts_core.services.counters import Counters
from dts_core.states import FINAL

FRESH_SECONDS: Final = 1.0
"""How long the record of an unfinished job counts without a look at the store: an announcement may be lost."""
BYTES_MAX: Final = 64 << 20
RECORD_BYTES: Final = 1500
"""What a record takes besides its args, kwargs and result."""
READS_MAX: Final = 3


class _Entry:
    __slots__ = ("job", "read_at", "size", "stale")

    def __init__(self, job: Job, read_at: float, size: int) -> None:
        self.job = job
        self.read_at = read_at
        self.size = size
        self.stale = False


class JobCache:
    """Bounded by records and by bytes; what was not asked for longest goes first.

    It never gives a record older than one that this server has written or heard of: an announced change marks the
    record stale, and a read of the store that was under way meanwhile is not trusted.

    Args:
        clock: For the age of records.
        counters: Counts `dts_job_cache_hits_total` and `dts_job_cache_misses_total`.
        limit: Most records.
        limit_bytes: Most bytes of all records together.
    """

    def __init__(
        self, clock: Clock, counters: Counters, limit: int, limit_bytes: int = BYTES_MAX
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._reading: dict[str, int] = {}
        self._changed_while_reading: set[str] = set()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, job_id: str) -> Job | None:
        """The record, when it is sure to be the newest known; None: read the store."""
        entry = self._entries.get(job_id)
        if entry is None or not self._counts(entry):
            self._counters.add("dts_job_cache_misses_total")
            return None
        self._counters.add("dts_job_cache_hits_total")
        self._entries.move_to_end(job_id)
        return entry.job

    def put(self, job: Job) -> None:
        """Keep a record that was just written, or read; an older one than the kept one changes nothing."""
        former = self._entries.get(job.id)
        if former is not None:
            if _is_older(job, former.job):
                return
            self._remove(job.id)
        size = RECORD_BYTES + len(job.args) + len(job.kwargs) + len(job.result or b"")
        if size > self._limit_bytes // 4:
            return
        self._entries[job.id] = _Entry(job, self._clock.monotonic(), size)
        self.bytes += size
        while len(self._entries) > self._limit or self.bytes > self._limit_bytes:
            self._remove(next(iter(self._entries)))

    def hear(self, changes: Sequence[Change]) -> None:
        """Take note of announced changes; finished jobs change no more."""
        entries, reading = self._entries, self._reading
        if not entries and not reading:
            return
        for change in changes:
            if change.topic != "jobs":
                continue
            entry = entries.get(change.id)
            if entry is not None and not _is_known(change, entry.job):
                entry.stale = True
            if reading and change.id in reading:
                self._changed_while_reading.add(change.id)

    def forget(self, jobs: Sequence[Job]) -> None:
        """Drop the records of jobs that were not accepted."""
        for job in jobs:
            if job.id in self._entries:
                self._remove(job.id)

    def begin_read(self, job_id: str) -> None:
        """A read of the store begins; `end_read` must follow."""
        self._reading[job_id] = self._reading.get(job_id, 0) + 1

    def end_read(self, job_id: str, job: Job | None) -> bool:
        """A read has ended (`job` None: found nothing, or failed). False: the job changed meanwhile, read again."""
        left = self._reading[job_id] - 1
        if left:
            self._reading[job_id] = left
        else:
            del self._reading[job_id]
        trusted = job_id not in self._changed_while_reading
        if not left:
            self._changed_while_reading.discard(job_id)
        if job is not None and (trusted or job.state in FINAL):
            self.put(job)
            return True
        return trusted

    def _counts(self, entry: _Entry) -> bool:
        if entry.job.state in FINAL:
            return not entry.stale
        return not entry.stale and self._clock.monotonic() - entry.read_at < FRESH_SECONDS

    def _remove(self, job_id: str) -> None:
        self.bytes -= self._entries.pop(job_id).size


def _is_older(job: Job, kept: Job) -> bool:
    if kept.state in FINAL and job.state not in FINAL:
        return True
    return (job.epoch, job.changed) < (kept.epoch, kept.changed)


def _is_known(change: Change, job: Job) -> bool:
    """Whether the record already shows what the change tells."""
    if job.state in FINAL or 0 < change.position <= job.changed:
        return True
    # Its acceptance, announced with no position; every other change without one (progress) is news.
    return change.position == 0 and change.epoch == 0 and change.state == job.state.value
