"""What each transition changes in a job's document: one function for each end of the state machine's table."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dts_core.model import Attempt, JobError, Outcome, Transition
from dts_core.names import new_id
from dts_core.states import FENCED, TRANSITIONS, JobEvent, JobState
from dts_core.stores.chunks import WHOLE, not_whole
from dts_core.stores.fields import STATES, maybe_instant, maybe_micros, micros, pack_error, why
from dts_core.stores.mongodb.driver import Doc, UpdateOne
from dts_core.stores.mongodb.jobdocs import WAITING

ATTEMPTS_MAX: Final = 100
"""Of the attempts of one job the newest are kept."""
TRACEBACK_MAX: Final = 16_000
"""Of an attempt's traceback the end is kept, in characters: all attempts of a job fit into its document."""
TRAIL: Final = 8
"""Last positions that a job's document names, so that a writer finds out which of its writes landed."""
PARKED: Final = 1 << 20
"""A result that comes whole and is larger than this is kept beside its job's document, in chunks."""
READ: Final[Doc] = dict.fromkeys(
    (
        "state",
        "epoch",
        "attempt",
        "losses",
        "submitter",
        "namespace",
        "lease",
        "expires",
        "host",
        "worker",
        "started",
        "changed",
        "upload",
    ),
    1,
)
"""Projection of what a transition needs."""
_encoder = msgspec.msgpack.Encoder()


class Standing:
    """A job as it stands, while transitions are applied to it in memory; then one guarded write."""

    def __init__(self, doc: Doc) -> None:
        self.id: str = doc["_id"]
        self.now: Doc = dict(doc)
        self._found = doc
        self._sets: Doc = {}
        self._attempts: list[bytes] = []
        self._guards: Doc = {}
        self.positions: list[int] = []
        self.ends: list[tuple[str, JobState, int]] = []
        """(state, instant) of each step that led to an end."""
        self.used = ""
        """The upload that became the job's result."""
        self.parked: tuple[str, bytes] | None = None
        """A result to be kept in chunks before the write."""

    @property
    def state(self) -> JobState:
        """Where it stands now."""
        return STATES[self.now["state"]]

    @property
    def state_before(self) -> str:
        """Where it stood when it was read."""
        return str(self._found["state"])

    @property
    def dropped(self) -> str:
        """The upload that nobody wants after the write; empty: none."""
        upload: Doc | None = self._found.get("upload")
        if upload is None or self.now.get("upload") is not None or upload["id"] == self.used:
            return ""
        return str(upload["id"])

    def apply(self, transition: Transition, position: int, *, owing: bool) -> Outcome:
        """Apply one transition when its guard holds."""
        after = TRANSITIONS[transition.event].get(self.state)
        at = micros(transition.at)
        if after is None or not self._is_allowed(transition, at):
            return self._outcome(False)
        if transition.blob and transition.event is JobEvent.FINISH and not self._use(transition):
            return self._outcome(False, detail=not_whole(transition.blob))
        if (outcome := _KEPT_AS.get((transition.event, after))) is not None:
            self._attempts.append(self._attempt(transition, outcome))
        sets = _ENDS[transition.event, after](transition, self, at)
        sets |= {"state": after.value, "changed": position}
        sets["overdue"] = self.now.get("expires") if after in WAITING else None
        if after is JobState.QUEUED:
            sets["owed"] = at if owing else None
        if self.now.get("upload") is not None and after is not JobState.CANCELLING:
            sets["upload"] = None
        self._set(sets)
        self.positions.append(position)
        self.ends.append((self.now["namespace"], after, at))
        return self._outcome(True, position)

    def write(self) -> UpdateOne:
        """The one write of all that was applied; changes nothing when the job has moved on since it was read."""
        pushes: Doc = {"trail": {"$each": self.positions[-TRAIL:], "$slice": -TRAIL}}
        if self._attempts:
            pushes["attempts"] = {"$each": self._attempts, "$slice": -ATTEMPTS_MAX}
        found = self._found
        guard = {
            "_id": self.id,
            "state": found["state"],
            "epoch": found["epoch"],
            "changed": found["changed"],
        }
        return UpdateOne(guard | self._guards, {"$set": self._sets, "$push": pushes})

    def park(self, result: bytes) -> str:
        """Keep a large result beside the document; the id of its chunks."""
        self.parked = (new_id(), result)
        return self.parked[0]

    def _set(self, sets: Doc) -> None:
        self._sets |= sets
        self.now |= sets

    def _is_allowed(self, transition: Transition, at: int) -> bool:
        """The guards beside the state: epoch and holder of the live claim, and a start in time."""
        event = transition.event
        if event is JobEvent.CLAIM:
            expires = self.now.get("expires")
            return expires is None or expires > at
        if event is JobEvent.BURY and self.now["losses"] < transition.losses:
            return False
        if event in FENCED or (event is JobEvent.BURY and transition.epoch):
            return (
                transition.epoch == self.now["epoch"]
                and transition.host in ("", self.now["host"])
                and transition.worker in ("", self.now["worker"])
            )
        return True

    def _use(self, transition: Transition) -> bool:
        """Whether the result that a FINISH refers to is there whole; the write then depends on it."""
        upload = self.now.get("upload")
        if (
            upload is None
            or upload["epoch"] != transition.epoch
            or upload["hash"] != transition.blob
            or upload["state"] != WHOLE
        ):
            return False
        self._guards = {"upload.id": upload["id"], "upload.state": WHOLE}
        self.used = upload["id"]
        return True

    def _attempt(self, transition: Transition, outcome: str) -> bytes:
        now = self.now
        return _encoder.encode(
            Attempt(
                epoch=now["epoch"],
                host=now["host"],
                worker=now["worker"],
                started_at=transition.started_at or maybe_instant(now.get("started")),
                ended_at=transition.finished_at or transition.at,
                outcome=outcome,
                error=_shortened(transition.error),
            )
        )

    def _outcome(self, applied: bool, position: int = 0, detail: str = "") -> Outcome:
        now = self.now
        return Outcome(
            self.id,
            applied,
            self.state,
            now["epoch"],
            now["attempt"],
            now["losses"],
            maybe_instant(now.get("lease")),
            position,
            detail,
        )


def _shortened(error: JobError | None) -> JobError | None:
    if error is None or len(error.traceback) <= TRACEBACK_MAX:
        return error
    return msgspec.structs.replace(error, traceback=error.traceback[-TRACEBACK_MAX:])


Change = Callable[[Transition, Standing, int], dict[str, Any]]


def _queued(transition: Transition, job: Standing, at: int) -> Doc:
    return {"due": None, "queued": at, "reason": transition.reason}


def _claim(transition: Transition, job: Standing, at: int) -> Doc:
    return {
        "epoch": job.now["epoch"] + 1,
        "attempt": job.now["attempt"] + transition.charge,
        "lease": maybe_micros(transition.lease_until),
        "host": transition.host,
        "worker": transition.worker,
        "started": maybe_micros(transition.started_at) or at,
        "finished": None,
        "owed": None,
        "progress": 0.0,
        "progress_text": "",
        "reason": "",
        "error": None,
    }


def _finish(transition: Transition, job: Standing, at: int) -> Doc:
    result = transition.result
    size, blob = 0 if result is None else len(result), ""
    if job.used:
        size, blob, result = job.now["upload"]["size"], job.used, None
    elif result is not None and size > PARKED:
        blob, result = job.park(result), None
    return _ended(transition, job, at) | {
        "result": result,
        "result_size": size,
        "blob": blob,
        "reason": transition.reason,
    }


def _ended(transition: Transition, job: Standing, at: int) -> Doc:
    """What a worker's report of an end says of its time, and of what ran."""
    return {
        "lease": None,
        "ran": transition.ran,
        "started": maybe_micros(transition.started_at) or job.now.get("started"),
        "finished": maybe_micros(transition.finished_at) or at,
    }


def _fail(transition: Transition, job: Standing, at: int) -> Doc:
    return _ended(transition, job, at) | _failed(transition)


def _failed(transition: Transition) -> Doc:
    return {"error": pack_error(transition.error), "reason": why(transition)}


def _retry(transition: Transition, job: Standing, at: int) -> Doc:
    return _OWNERLESS | _failed(transition) | {"due": maybe_micros(transition.due_at) or at}


def _stop(transition: Transition, job: Standing, at: int) -> Doc:
    return _OVER | {"finished": at, "reason": why(transition)}


def _confirm(transition: Transition, job: Standing, at: int) -> Doc:
    return _stop(transition, job, at) | {"ran": transition.ran}


def _cancel(transition: Transition, job: Standing, at: int) -> Doc:
    return _OVER | {
        "cancelled_by": transition.by,
        "finished": at,
        "reason": transition.reason,
    }


def _cancelling(transition: Transition, job: Standing, at: int) -> Doc:
    return {"cancelled_by": transition.by, "reason": transition.reason}


def _requeue(transition: Transition, job: Standing, at: int) -> Doc:
    """Back into the queue with the attempt that the claim charged; a loss is charged as such."""
    return _OWNERLESS | {
        "attempt": max(job.now["attempt"] - 1, 0),
        "losses": _losses(transition, job),
        "queued": at,
        "reason": transition.reason,
    }


def _lost_while_cancelling(transition: Transition, job: Standing, at: int) -> Doc:
    return {
        "lease": None,
        "losses": _losses(transition, job),
        "finished": at,
        "reason": transition.reason,
    }


def _losses(transition: Transition, job: Standing) -> int:
    return int(job.now["losses"]) + (transition.event is JobEvent.LOSE)


def _bury(transition: Transition, job: Standing, at: int) -> Doc:
    return _OVER | _failed(transition) | {"finished": at}


_E, _S = JobEvent, JobState
_OVER: Final[Doc] = {"lease": None, "due": None}
_OWNERLESS: Final[Doc] = {"lease": None, "host": "", "worker": ""}
_KEPT_AS: Final = {
    (_E.RETRY, _S.RETRYING): "retry",
    (_E.LOSE, _S.QUEUED): "lose",
    (_E.GIVE_BACK, _S.QUEUED): "give_back",
}
"""Outcome of the Attempt that is kept."""
_ENDS: Final[dict[tuple[JobEvent, JobState], Change]] = {
    (_E.PUBLISH, _S.QUEUED): _queued,
    (_E.DUE, _S.QUEUED): _queued,
    (_E.CLAIM, _S.RUNNING): _claim,
    (_E.FINISH, _S.DONE): _finish,
    (_E.FAIL, _S.FAILED): _fail,
    (_E.RETRY, _S.RETRYING): _retry,
    (_E.CANCEL, _S.CANCELLED): _cancel,
    (_E.CANCEL, _S.CANCELLING): _cancelling,
    (_E.CONFIRM_CANCEL, _S.CANCELLED): _confirm,
    (_E.EXPIRE, _S.EXPIRED): _stop,
    (_E.LOSE, _S.QUEUED): _requeue,
    (_E.LOSE, _S.CANCELLED): _lost_while_cancelling,
    (_E.GIVE_BACK, _S.QUEUED): _requeue,
    (_E.GIVE_BACK, _S.CANCELLED): _lost_while_cancelling,
    (_E.BURY, _S.DEAD): _bury,
}
MISSING: Final = {
    (event, after)
    for event, cells in TRANSITIONS.items()
    for after in cells.values()
    if (event, after) not in _ENDS
}
if MISSING:
    raise AssertionError(f"no change is written for {MISSING}")
