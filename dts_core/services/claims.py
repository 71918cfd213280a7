"""Who may run a job: the rules of a claim, over any store.

A claim is one guarded bulk write. Only what it refuses is looked at again, so the common case costs one write for a
whole batch: a job whose lease is over is charged with a loss and granted, one that a live lease holds is answered with
when to come back, one that is over is dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from dts_core.brokers.base import ClaimAnswer, ClaimRequest, ClaimVerdict
from dts_core.clock import Clock
from dts_core.model import Change, JobError, Outcome, Transition
from dts_core.services.listening import Judge
from dts_core.states import FINAL, HELD, LOSSES_MAX, JobEvent, JobState
from dts_core.stores.fields import micros
from dts_core.stores.jobstore import JobStore

LEASE_SECONDS: Final = 10.0
"""How long a claim counts without a heartbeat."""
HELD_SLACK_SECONDS: Final = 0.05
"""A lease has lapsed only strictly after its end: come back a little later."""
CALLED_SECONDS: Final = 2.0
"""So long has the holder of a claim to be heard, once a message of its job has come back."""
LEAST_RENEWAL: Final = timedelta(milliseconds=1)
BULK: Final = 1000
"""Most jobs of one bulk read."""
_EPOCH_BITS: Final = 8
"""Of an epoch in a mark; instants take 51 bits until the year 2041, and a mark has 63."""
_FINISHED: Final = ClaimAnswer(ClaimVerdict.FINISHED)
# Looked up once: in Python 3.11 each access to a member of an enum, or to its value, is a call.
_RUNNING: Final = JobState.RUNNING
_GRANTED: Final = ClaimVerdict.GRANTED
_CLAIM: Final = JobEvent.CLAIM

OnChanges = Callable[[list[Change]], None]


class Claims:
    """The ClaimDesk of one control side.

    Args:
        store: Where the jobs stand.
        clock: Counts the leases; workers' clocks are never asked.
        lease: How long a claim counts; renewed by heartbeats.
        on_changes: Told about every applied change, on the loop; must return at once.
        leases: Says when a lease is over; None: by the clock alone.
        doubted: Whether messages may have come back although their holders live: the broker, or our own connection to
            it, was away a moment ago. Until that is settled a delivery that came back takes no live lease over.
    """

    def __init__(
        self,
        store: JobStore,
        clock: Clock,
        *,
        lease: timedelta = timedelta(seconds=LEASE_SECONDS),
        on_changes: OnChanges = lambda changes: None,
        leases: Judge | None = None,
        doubted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease
        self._on_changes = on_changes
        self._leases = leases
        self._doubted = doubted

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        """See ClaimDesk."""
        if not requests:
            return []
        now = self._clock.now()
        until = self._until()
        outcomes = await self._apply([_claim(request, now, until) for request in requests])
        refused = [at for at, outcome in enumerate(outcomes) if not outcome.applied]
        if refused:
            second = await self._again([(requests[at], outcomes[at]) for at in refused], now)
            for at, outcome in zip(refused, second, strict=True):
                outcomes[at] = outcome
        return [
            self._answer(request, outcome, now)
            for request, outcome in zip(requests, outcomes, strict=True)
        ]

    async def give_back(self, claims: Sequence[tuple[str, int]], reason: str) -> None:
        """See ClaimDesk."""
        await self._end(JobEvent.GIVE_BACK, claims, reason)

    async def lose(self, claims: Sequence[tuple[str, int]], reason: str) -> list[str]:
        """See ClaimDesk."""
        outcomes = await self._end(JobEvent.LOSE, claims, reason)
        now = self._clock.now()
        over = [outcome for outcome in outcomes if outcome.applied and is_lost_too_often(outcome)]
        buried = await self._apply([burial(outcome.id, outcome.epoch, now) for outcome in over])
        return [outcome.id for outcome in buried if outcome.applied]

    async def bury(self, jobs: Sequence[str], reason: str) -> None:
        """See ClaimDesk."""
        now = self._clock.now()
        await self._apply([undeliverable(job, reason, now) for job in jobs])

    async def held(
        self, worker: str, claims: Sequence[tuple[str, int]], *, host: str = ""
    ) -> list[bool]:
        """See ClaimDesk. A lease that lapsed but was not taken over is still its worker's own, and is renewed.

        Args:
            worker: Who asks.
            claims: What for.
            host: Where the worker is; empty: not looked at.
        """
        ids = [job for job, _ in claims]
        jobs = {
            job.id: job
            for start in range(0, len(ids), BULK)
            for job in await self._store.get_jobs(ids[start : start + BULK])
        }
        asked = set(claims)
        own = {
            (job.id, job.epoch): job.lease_until
            for job in jobs.values()
            if job.worker == worker and job.state in HELD and (not host or job.host == host)
            if (job.id, job.epoch) in asked
        }
        by: dict[datetime, list[tuple[str, int]]] = {}
        for claim, until in self._renewed(own).items():
            by.setdefault(until, []).append(claim)
        for until, renewed in by.items():
            await self._store.renew(renewed, until)
        return [claim in own for claim in claims]

    def _renewed(
        self, own: Mapping[tuple[str, int], datetime | None]
    ) -> dict[tuple[str, int], datetime]:
        """When leases end that are renewed now, by when they ended before.

        Later than before even if the clock that gave the last one is ahead of ours: who doubts the holder sees it. One
        that ends far ahead of all others draws none of them after it.
        """
        until = self._until()
        later = {
            claim: before + LEAST_RENEWAL for claim, before in own.items() if before is not None
        }
        near = max([until, *(each for each in later.values() if each <= until + self._lease)])
        return {claim: max(near, later.get(claim, near)) for claim in own}

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """See ClaimDesk."""
        known = set(claims)
        return [claim for claim in await self._store.held_by(worker) if claim not in known]

    def _until(self) -> datetime:
        """The end of a lease that begins now."""
        now = self._clock.now() if self._leases is None else self._leases.now()
        return now + self._lease

    async def _again(
        self, refused: Sequence[tuple[ClaimRequest, Outcome]], now: datetime
    ) -> list[Outcome]:
        """Clear what stands in the way of a claim, where that may be, and claim once more, in one write."""
        steps = [self._steps(request, outcome, now) for request, outcome in refused]
        done = iter(await self._apply([step for each in steps for step in each]))
        return [
            [next(done) for _ in each][-1] if each else outcome
            for each, (_, outcome) in zip(steps, refused, strict=True)
        ]

    def _steps(self, request: ClaimRequest, stands: Outcome, now: datetime) -> list[Transition]:
        """What leads on from a refused claim; empty when nothing does. The last step's outcome is the answer."""
        claim = _claim(request, now, self._until())
        if stands.state is JobState.PENDING:
            # Its message arrived before the record of its publication: that is proof enough.
            return [Transition(id=request.job, event=JobEvent.PUBLISH, at=now), claim]
        if stands.state is JobState.QUEUED:
            return [expiry(request.job, now)]
        if stands.state in HELD and request.returned and request.epoch == stands.epoch:
            return [_given_back(request.job, stands.epoch, now), claim]
        if stands.state in HELD and self._is_over(request, stands, now):
            reason = "its delivery came back" if request.redelivered else "its lease ended"
            lose = loss(request.job, stands.epoch, now, f"{stands_by(stands)}: {reason}")
            if stands.state is JobState.RUNNING and stands.losses + 1 >= LOSSES_MAX:
                return [lose, burial(request.job, stands.epoch, now)]
            return [lose, claim]
        return []

    def _is_over(self, request: ClaimRequest, stands: Outcome, now: datetime) -> bool:
        """Whether the live claim no longer counts: its delivery is known to be over, or its lease has lapsed.

        That a message came back proves that its former channel is gone. A worker that lives may lose a channel, so it
        is called, and its claim counts if it renews the lease.
        """
        is_meant = (
            request.epoch == stands.epoch if request.epoch else request.lease == _mark(stands)
        )
        if is_meant and self._is_back(request):
            return True
        horizon = now if self._leases is None else self._leases.horizon()
        return stands.lease_until is None or stands.lease_until < horizon

    def _is_back(self, request: ClaimRequest) -> bool:
        """Whether its message came back because the channel of its former delivery is gone."""
        return request.redelivered and not self._doubted()

    def _answer(self, request: ClaimRequest, outcome: Outcome, now: datetime) -> ClaimAnswer:
        if outcome.applied and outcome.state is _RUNNING:
            return ClaimAnswer(_GRANTED, outcome.epoch, outcome.attempt)
        if outcome.state in HELD and outcome.lease_until is not None:
            left = (outcome.lease_until - now).total_seconds()
            if self._leases is not None:
                left = self._leases.seconds_left(outcome.lease_until)
            lease = 0
            if not request.epoch and self._is_back(request):
                lease, left = _mark(outcome), min(left, CALLED_SECONDS)
            return ClaimAnswer(
                ClaimVerdict.HELD,
                outcome.epoch,
                retry_after_seconds=max(left, 0.0) + HELD_SLACK_SECONDS,
                lease=lease,
            )
        return _FINISHED

    async def _end(
        self, event: JobEvent, claims: Sequence[tuple[str, int]], reason: str
    ) -> list[Outcome]:
        now = self._clock.now()
        return await self._apply(
            [
                Transition(id=job, event=event, epoch=epoch, at=now, reason=reason)
                for job, epoch in claims
            ]
        )

    async def _apply(self, transitions: Sequence[Transition]) -> list[Outcome]:
        if not transitions:
            return []
        outcomes = await self._store.apply(transitions)
        changes = changes_of(outcomes)
        if changes:
            self._on_changes(changes)
        return outcomes


def _mark(stands: Outcome) -> int:
    """A live claim as it stands now, in a number that workers pass back: which one it is, and when its lease ends.

    Leases of two claims may end at the same instant: where the stethoscope's clock is ahead, all that begin between two
    of its words begin at one.
    """
    if stands.lease_until is None:
        return 0
    return micros(stands.lease_until) << _EPOCH_BITS | stands.epoch & ((1 << _EPOCH_BITS) - 1)


def _claim(request: ClaimRequest, now: datetime, until: datetime) -> Transition:
    return Transition(
        id=request.job,
        event=_CLAIM,
        at=now,
        host=request.host,
        worker=request.worker,
        lease_until=until,
    )


def stands_by(outcome: Outcome) -> str:
    """The claim in words."""
    return f"claim {outcome.epoch}"


def is_lost_too_often(outcome: Outcome) -> bool:
    """Whether a job that was just lost is to be buried."""
    return outcome.state is JobState.QUEUED and outcome.losses >= LOSSES_MAX


def loss(job: str, epoch: int, now: datetime, reason: str) -> Transition:
    """The transition that charges a loss."""
    return Transition(id=job, event=JobEvent.LOSE, epoch=epoch, at=now, reason=reason)


def _given_back(job: str, epoch: int, now: datetime) -> Transition:
    reason = f"claim {epoch} was given back"
    return Transition(id=job, event=JobEvent.GIVE_BACK, epoch=epoch, at=now, reason=reason)


def burial(job: str, epoch: int, now: datetime) -> Transition:
    """The transition that follows the last loss; fenced by the epoch of that loss, and refused when that was."""
    error = JobError(
        type="WorkerLost", message=f"its worker was lost {LOSSES_MAX} times while it ran"
    )
    return Transition(
        id=job, event=JobEvent.BURY, epoch=epoch, at=now, error=error, losses=LOSSES_MAX
    )


def undeliverable(job: str, reason: str, now: datetime, *, epoch: int = 0) -> Transition:
    """The transition of a job whose message is dead; fenced by its last claim's epoch when it had one."""
    error = JobError(type="Undeliverable", message=reason)
    return Transition(id=job, event=JobEvent.BURY, epoch=epoch, at=now, error=error, reason=reason)


def expiry(job: str, now: datetime) -> Transition:
    """The transition of a job that was not started in time."""
    return Transition(id=job, event=JobEvent.EXPIRE, at=now, reason="not started in time")


def changes_of(outcomes: Sequence[Outcome]) -> list[Change]:
    """What streams and waiters are told about applied transitions."""
    return [
        Change("jobs", outcome.id, str(outcome.state), outcome.position, outcome.epoch)
        for outcome in outcomes
        if outcome.applied and outcome.state is not None
    ]


def is_final(outcome: Outcome) -> bool:
    """Whether nothing more will happen to the job; an unknown one counts as such."""
    return outcome.state is None or outcome.state in FINAL
