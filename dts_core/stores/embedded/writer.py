"""What the writing thread does to jobs: insert them, and apply transitions under their guard.

The writing thread is the only one that writes, so what it reads within its transaction still stands when it writes. The
guard (state, epoch) is in each UPDATE all the same: the last line of defence is the database's own.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from dts_core.model import Attempt, BlobChunk, Job, Outcome, Progress, Transition
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.states import FENCED, JobEvent, JobState
from dts_core.stores.chunks import not_whole
from dts_core.stores.embedded import figures, uploads
from dts_core.stores.embedded.bulk import Updates, insert_new, rows_of, write_all
from dts_core.stores.embedded.figures import Deltas, Tallies
from dts_core.stores.embedded.moves import MOVES, PUBLISH, Row
from dts_core.stores.embedded.rows import insertion
from dts_core.stores.fields import EPOCH_MAX, STATES, maybe_instant, micros
from dts_core.stores.limits import BUCKET_SECONDS

PROGRESS: Final = "UPDATE jobs SET progress=?, progress_text=?, changed=? WHERE id=? AND epoch=? AND state='running'"
FORGET_BYTES: Final = 64 << 20
"""Results removed in one write: bounds how long others wait for it."""
_KEPT_AS: Final = "jobs."
"""Names of the high-water marks in SQLite's own table of them, which every file with AUTOINCREMENT has."""
_encoder = msgspec.msgpack.Encoder()


# Looked up once: in Python 3.11 each access to a member of an enum is a call.
_CLAIM: Final = JobEvent.CLAIM
_PUBLISH: Final = JobEvent.PUBLISH
_BURY: Final = JobEvent.BURY
_FENCED: Final = FENCED
_PENDING: Final = JobState.PENDING
_QUEUED: Final = JobState.QUEUED
_TALLIED: Final = {JobState.DONE: (1, 0), JobState.FAILED: (0, 1), JobState.DEAD: (0, 1)}


class _Batch:
    """What comes together while transitions are applied."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.updates = Updates(connection)
        self.deltas: Deltas = {}
        self.tallies: Tallies = {}


class JobWriter:
    """Positions and counters of one file; used in the writing thread only."""

    def __init__(self) -> None:
        self._seq = 0
        self._created = 0
        self._changed = 0
        self._uploading: set[str] = set()
        """Jobs of which an upload may be there that is not used."""
        self._loaded = False

    def _load(self, connection: Connection) -> None:
        """Find where the last run ended."""
        self._seq, self._created = one_row(
            connection, "SELECT seq, created FROM jobs ORDER BY seq DESC LIMIT 1"
        ) or (0, 0)
        self._seq = max(self._seq, _high_water(connection, "seq"))
        self._changed = position(connection)
        self._uploading = uploads.open_jobs(connection)
        self._loaded = True

    def insert(
        self, connection: Connection, jobs: Sequence[Job], queued: frozenset[str] = frozenset()
    ) -> None:
        """Insert jobs that are not there yet; those whose id is in `queued` as if PUBLISH had been applied."""
        if not self._loaded:
            self._load(connection)
        states, rows = [], []
        for job in jobs:
            self._seq += 1
            self._changed += 1
            self._created = max(self._created, micros(job.created_at))
            state = job.state
            if queued and state is _PENDING and job.id in queued:
                state = _QUEUED
            states.append(str(state))
            rows.append(insertion(job, self._seq, self._created, self._changed, state))
        deltas: Deltas = {}
        for job, state_name, added in zip(jobs, states, insert_new(connection, rows), strict=True):
            if added:
                key = (job.submitter, _namespace(job), state_name)
                deltas[key] = deltas.get(key, 0) + 1
        figures.count(connection, deltas)

    def apply(self, connection: Connection, transitions: Sequence[Transition]) -> list[Outcome]:
        """Apply in order; one outcome each. All of it is one transaction with whatever else the caller writes."""
        if not self._loaded:
            self._load(connection)
        rows = rows_of(connection, [transition.id for transition in transitions])
        batch = _Batch(connection)
        outcomes = []
        moment, at = None, 0
        for transition in transitions:
            if transition.at is not moment:  # most of a batch share it
                moment, at = transition.at, micros(transition.at)
            outcomes.append(self._one(batch, transition, rows.get(transition.id), at))
        batch.updates.flush()
        figures.count(connection, batch.deltas)
        figures.tally(connection, batch.tallies)
        return outcomes

    def publish(self, connection: Connection, jobs: Sequence[Job], at: datetime) -> None:
        """Apply PUBLISH to jobs that are most likely all pending still, without a look at each."""
        if not self._loaded:
            self._load(connection)
        instant = micros(at)
        first = self._changed + 1
        rows = [(first + place, instant, job.id) for place, job in enumerate(jobs)]
        if write_all(connection, PUBLISH, rows):
            self._changed += len(rows)
            figures.count(connection, _moved(jobs, str(_PENDING), str(_QUEUED)))
        else:
            self.apply(connection, [Transition(id=job.id, event=_PUBLISH, at=at) for job in jobs])

    def progress(self, connection: Connection, items: Sequence[Progress]) -> list[str]:
        """Record progress of running jobs at their epoch; the ids that were."""
        if not self._loaded:
            self._load(connection)
        recorded = []
        for item in items:
            if not 0 < item.epoch < EPOCH_MAX:
                continue
            fraction = min(max(item.fraction, 0.0), 1.0) if item.fraction == item.fraction else 0.0
            connection.execute(
                PROGRESS,
                (fraction, item.text, self._changed + 1, item.id, item.epoch),
            )
            if connection.changes():
                self._changed += 1
                recorded.append(item.id)
        return recorded

    def add_chunk(self, connection: Connection, chunk: BlobChunk, at: int) -> tuple[int, int, bool]:
        """See `uploads.keep`."""
        if not self._loaded:
            self._load(connection)
        kept = uploads.keep(connection, chunk, at)
        self._uploading.add(chunk.job)
        return kept

    def _one(self, batch: "_Batch", transition: Transition, row: Row | None, at: int) -> Outcome:
        connection, deltas, tallies = batch.connection, batch.deltas, batch.tallies
        if row is None:
            return Outcome(transition.id, False, None)
        event = transition.event
        before = row.state
        move = MOVES[event].get(before)
        if move is None or not _allowed(transition, row, at):
            return _outcome(transition.id, False, row, 0)
        if transition.blob and event is JobEvent.FINISH:
            row.blob = uploads.use(connection, transition.id, row.epoch, transition.blob)
            if row.blob is None:
                return _outcome(transition.id, False, row, 0, not_whole(transition.blob))
        if move.kept_as:
            _keep_attempt(connection, transition, row, at, move.kept_as)
        epoch = row.epoch
        self._changed += 1
        batch.updates.add(
            move.sql, (self._changed, *move.parameters(transition, row, at), row.seq, before, epoch)
        )
        after = row.state = move.state
        if (
            self._uploading
            and transition.id in self._uploading
            and move.after is not JobState.CANCELLING
        ):
            uploads.drop_unused(connection, transition.id)
            self._uploading.discard(transition.id)
        key = (row.submitter, row.namespace, before)
        deltas[key] = deltas.get(key, 0) - 1
        key = (row.submitter, row.namespace, after)
        deltas[key] = deltas.get(key, 0) + 1
        if move.after in _TALLIED:
            ended = (row.namespace, at // (BUCKET_SECONDS * 1_000_000))
            done, failed = tallies.get(ended, (0, 0))
            more_done, more_failed = _TALLIED[move.after]
            tallies[ended] = (done + more_done, failed + more_failed)
        return _outcome(transition.id, True, row, self._changed)


def _allowed(transition: Transition, row: Row, at: int) -> bool:
    """The guards beside the state: epoch and holder of the live claim, and a start in time."""
    event = transition.event
    if event is _CLAIM:
        return row.expires is None or row.expires > at
    if event is _BURY and row.losses < transition.losses:
        return False
    if event in _FENCED or (event is _BURY and transition.epoch):
        return (
            transition.epoch == row.epoch
            and transition.host in ("", row.host)
            and transition.worker in ("", row.worker)
        )
    return True


def _outcome(job: str, applied: bool, row: Row, position: int, detail: str = "") -> Outcome:
    return Outcome(
        job,
        applied,
        STATES[row.state],
        row.epoch,
        row.attempt,
        row.losses,
        maybe_instant(row.lease),
        position,
        detail,
    )


def _keep_attempt(
    connection: Connection, transition: Transition, row: Row, at: int, kept_as: str
) -> None:
    attempt = Attempt(
        epoch=row.epoch,
        host=row.host,
        worker=row.worker,
        started_at=transition.started_at or maybe_instant(row.started),
        ended_at=transition.finished_at or transition.at,
        outcome=kept_as,
        error=transition.error,
    )
    connection.execute(
        "INSERT OR REPLACE INTO attempts(job, epoch, doc) VALUES(?,?,?)",
        (transition.id, row.epoch, _encoder.encode(attempt)),
    )


def _namespace(job: Job) -> str:
    return job.function.partition("/")[0]


def _moved(jobs: Sequence[Job], before: str, after: str) -> Deltas:
    """What it does to the counters that these jobs went from one state to another."""
    deltas: Deltas = {}
    for owners, number in Tally((job.submitter, _namespace(job)) for job in jobs).items():
        deltas[*owners, before] = -number
        deltas[*owners, after] = number
    return deltas


def position(connection: Connection) -> int:
    """The newest position that any job ever had."""
    newest: int = connection.execute("SELECT max(changed) FROM jobs").get or 0
    return max(newest, _high_water(connection, "changed"))


def _high_water(connection: Connection, column: str) -> int:
    """The highest number of a column that went with a job that was forgotten."""
    row = one_row(connection, "SELECT seq FROM sqlite_sequence WHERE name=?", (_KEPT_AS + column,))
    return 0 if row is None else int(row[0])


def _keep_high_water(connection: Connection) -> None:
    """Before jobs go: no number is given twice, though the job that had the highest is forgotten."""
    newest = one_row(connection, "SELECT max(seq), max(changed) FROM jobs") or (0, 0)
    for column, value in zip(("seq", "changed"), newest, strict=True):
        if value > _high_water(connection, column):
            name = _KEPT_AS + column
            connection.execute("DELETE FROM sqlite_sequence WHERE name=?", (name,))
            connection.execute("INSERT INTO sqlite_sequence(name, seq) VALUES(?,?)", (name, value))


def forget(connection: Connection, before: int, limit: int) -> tuple[int, bool]:
    """Remove up to `limit` jobs that ended before, the oldest first; how many, and whether there may be more."""
    rows = all_rows(
        connection,
        "SELECT seq, id, submitter, namespace, state, result_size, blob FROM jobs "
        "WHERE seq<=? AND finished IS NOT NULL AND finished<? AND "
        "state IN ('done','failed','cancelled','expired','dead') ORDER BY seq LIMIT ?",
        (newest_before(connection, before), before, limit),
    )
    if rows:
        _keep_high_water(connection)
    deltas: Deltas = {}
    removed = size = 0
    for seq, job, submitter, namespace, state, result_size, blob in rows:
        if size > FORGET_BYTES:
            break
        connection.execute("DELETE FROM jobs WHERE seq=?", (seq,))
        connection.execute("DELETE FROM attempts WHERE job=?", (job,))
        connection.execute("DELETE FROM outcomes WHERE job=?", (job,))
        if blob is not None:
            uploads.drop(connection, blob)
        key = (submitter, namespace, state)
        deltas[key] = deltas.get(key, 0) - 1
        removed += 1
        size += result_size
    figures.count(connection, deltas)
    connection.execute(
        "DELETE FROM idempotency WHERE (submitter, key) IN "
        "(SELECT submitter, key FROM idempotency WHERE created<? ORDER BY created LIMIT ?)",
        (before, limit),
    )
    return removed, removed < len(rows) or len(rows) == limit


def newest_before(connection: Connection, created: int) -> int:
    """The seq of the newest job created before, 0 when there is none; by halving, since `created` grows with seq."""
    low, high = 0, connection.execute("SELECT max(seq) FROM jobs").get or 0
    while low < high:
        middle = (low + high + 1) // 2
        row = one_row(
            connection, "SELECT seq, created FROM jobs WHERE seq>=? ORDER BY seq LIMIT 1", (middle,)
        )
        if row is not None and row[1] < created:
            low = row[0]
        else:
            high = middle - 1
    return low
