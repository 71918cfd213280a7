"""What each transition writes: one guarded statement for each cell of the state machine's table."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dts_core.model import Transition
from dts_core.states import TRANSITIONS, JobEvent, JobState
from dts_core.stores.fields import maybe_micros, pack_error, why


class Row:
    """What a transition needs of a job, kept up to date while a batch is applied."""

    __slots__ = (
        "attempt",
        "blob",
        "epoch",
        "expires",
        "host",
        "lease",
        "losses",
        "namespace",
        "seq",
        "started",
        "state",
        "submitter",
        "worker",
    )
    _COLUMNS: Final = (
        "id, seq, state, epoch, attempt, losses, submitter, namespace, "
        "lease, expires, host, worker, started"
    )
    SELECT: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id=?"
    SELECT_MANY: Final = (
        "SELECT json_group_array(json_array(jobs.id, seq, state, epoch, attempt, losses, submitter, namespace, "
        "lease, expires, host, worker, started)) FROM json_each(?) AS asked CROSS JOIN jobs ON jobs.id=asked.value"
    )
    """One row: JSON of what SELECT gives for each id of a JSON array."""

    def __init__(self, found: tuple[Any, ...]) -> None:
        self.seq: int
        self.state: str
        self.epoch: int
        self.attempt: int
        self.losses: int
        self.submitter: str
        self.namespace: str
        self.lease: int | None
        self.expires: int | None
        self.host: str
        self.worker: str
        self.started: int | None
        self.blob: tuple[int, int] | None = None
        """(upload, size) of the result that a FINISH refers to."""
        (self.seq, self.state, self.epoch, self.attempt, self.losses, self.submitter, self.namespace, self.lease,
         self.expires, self.host, self.worker, self.started) = found  # fmt: skip


Parameters = Callable[[Transition, Row, int], tuple[Any, ...]]


class _Move(msgspec.Struct, frozen=True):
    """One cell of TRANSITIONS: how the row changes. `parameters` also brings the Row up to date."""

    after: JobState
    state: str
    """Its name, as the row has it."""
    sql: str
    parameters: Parameters
    kept_as: str = ""
    """Outcome of the Attempt that is kept; empty: none is."""


def _no_more(row: Row) -> None:
    row.lease = None


def _queued(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    return (at, transition.reason)


def _claim(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    row.epoch += 1
    row.attempt += transition.charge
    row.lease = maybe_micros(transition.lease_until)
    row.host, row.worker = transition.host, transition.worker
    row.started = maybe_micros(transition.started_at) or at
    return (row.epoch, row.attempt, row.lease, row.host, row.worker, row.started)


def _finish(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    result = transition.result
    upload, size = row.blob or (None, 0 if result is None else len(result))
    return (
        None if row.blob else result,
        size,
        upload,
        maybe_micros(transition.started_at),
        maybe_micros(transition.finished_at) or at,
        transition.reason,
        transition.ran,
    )


def _fail(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    return (
        pack_error(transition.error),
        maybe_micros(transition.started_at),
        maybe_micros(transition.finished_at) or at,
        why(transition),
        transition.ran,
    )


def _retry(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    row.host = row.worker = ""
    due = maybe_micros(transition.due_at) or at
    return (pack_error(transition.error), due, why(transition))


def _stop(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    return (at, why(transition))


def _confirm(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    return (*_stop(transition, row, at), transition.ran)


def _cancel(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    return (transition.by, at, transition.reason)


def _cancelling(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    return (transition.by, transition.reason)


def _requeue(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    """Back into the queue with the attempt that the claim charged; a loss is charged as such."""
    _no_more(row)
    row.host = row.worker = ""
    row.attempt = max(row.attempt - 1, 0)
    row.losses += transition.event is JobEvent.LOSE
    return (row.attempt, row.losses, at, transition.reason)


def _lost_while_cancelling(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    row.losses += transition.event is JobEvent.LOSE
    return (row.losses, at, transition.reason)


def _bury(transition: Transition, row: Row, at: int) -> tuple[Any, ...]:
    _no_more(row)
    return (pack_error(transition.error), at, why(transition))


_E, _S = JobEvent, JobState
_OVER = "lease=NULL, due=NULL"
_ENDS: Final[dict[tuple[JobEvent, JobState], tuple[str, Parameters, str]]] = {
    (_E.PUBLISH, _S.QUEUED): ("queued=?, reason=?", _queued, ""),
    (_E.DUE, _S.QUEUED): ("due=NULL, queued=?, reason=?", _queued, ""),
    (_E.CLAIM, _S.RUNNING): (
        (
            "epoch=?, attempt=?, lease=?, host=?, worker=?, started=?, finished=NULL, "
            "progress=0, progress_text='', reason='', error=NULL"
        ),
        _claim,
        "",
    ),
    (_E.FINISH, _S.DONE): (
        "lease=NULL, result=?, result_size=?, blob=?, started=coalesce(?, started), finished=?, reason=?, ran=?",
        _finish,
        "",
    ),
    (_E.FAIL, _S.FAILED): (
        "lease=NULL, error=?, started=coalesce(?, started), finished=?, reason=?, ran=?",
        _fail,
        "",
    ),
    (_E.RETRY, _S.RETRYING): (
        "lease=NULL, host='', worker='', error=?, due=?, reason=?",
        _retry,
        "retry",
    ),
    (_E.CANCEL, _S.CANCELLED): (f"{_OVER}, cancelled_by=?, finished=?, reason=?", _cancel, ""),
    (_E.CANCEL, _S.CANCELLING): ("cancelled_by=?, reason=?", _cancelling, ""),
    (_E.CONFIRM_CANCEL, _S.CANCELLED): ("lease=NULL, finished=?, reason=?, ran=?", _confirm, ""),
    (_E.EXPIRE, _S.EXPIRED): ("due=NULL, finished=?, reason=?", _stop, ""),
    (_E.LOSE, _S.QUEUED): (
        "lease=NULL, host='', worker='', attempt=?, losses=?, queued=?, reason=?",
        _requeue,
        "lose",
    ),
    (_E.LOSE, _S.CANCELLED): (
        "lease=NULL, losses=?, finished=?, reason=?",
        _lost_while_cancelling,
        "",
    ),
    (_E.GIVE_BACK, _S.QUEUED): (
        "lease=NULL, host='', worker='', attempt=?, losses=?, queued=?, reason=?",
        _requeue,
        "give_back",
    ),
    (_E.GIVE_BACK, _S.CANCELLED): (
        "lease=NULL, losses=?, finished=?, reason=?",
        _lost_while_cancelling,
        "",
    ),
    (_E.BURY, _S.DEAD): (f"{_OVER}, error=?, finished=?, reason=?", _bury, ""),
}


def _moves() -> dict[JobEvent, dict[str, _Move]]:
    """TRANSITIONS with each cell's statement; a cell without one fails here, at import."""
    moves: dict[JobEvent, dict[str, _Move]] = {}
    for event, cells in TRANSITIONS.items():
        moves[event] = {}
        for before, after in cells.items():
            sets, parameters, kept_as = _ENDS[event, after]
            sql = f"UPDATE jobs SET state='{after.value}', changed=?, {sets} WHERE seq=? AND state=? AND epoch=?"
            moves[event][before.value] = _Move(after, after.value, sql, parameters, kept_as)
    return moves


MOVES: Final = _moves()
PUBLISH: Final = (
    "UPDATE jobs SET state='queued', changed=?, queued=?, reason='' WHERE id=? AND state='pending'"
)
"""What a PUBLISH writes, for a job that nobody has looked at: its epoch is guarded by its state, since no pending job
was ever claimed."""
