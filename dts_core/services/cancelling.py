"""Jobs that are stopped: what was done to each, and the workers told."""

from collections.abc import Sequence

from dts_core import codec
from dts_core.brokers.base import CONTROL, Broker, Message
from dts_core.clock import Clock
from dts_core.errors import BrokerError, Forbidden, InvalidInput
from dts_core.model import Cancel, Change, Job, Outcome, Transition
from dts_core.services.access import Caller
from dts_core.services.counters import Counters
from dts_core.services.events import EventBus
from dts_core.services.jobs import BATCH_MAX, Jobs
from dts_core.states import JobEvent, JobState
from dts_core.stores.jobstore import JobStore
from dts_core.text import clean
from dts_core.views import CancelItem

__all__ = ["Cancelling"]


class Cancelling:
    """Stops jobs, for who sees them and may.

    Args:
        store: Where they are.
        broker: Tells the workers.
        clock: The time.
        bus: Hears of each that is stopped.
        counters: Counts workers that could not be told.
        jobs: Finds them.
    """

    def __init__(
        self,
        store: JobStore,
        broker: Broker,
        clock: Clock,
        bus: EventBus,
        counters: Counters,
        jobs: Jobs,
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._bus = bus
        self._counters = counters
        self._jobs = jobs

    async def cancel(self, caller: Caller, job_id: str) -> CancelItem:
        """Stop one job: at once when it does not run yet, else as soon as its worker has stopped it.

        Raises:
            NotFound: There is none that the caller sees.
            Forbidden: It is another's, and the caller is no operator.
        """
        job = await self._jobs.get(caller, job_id)
        if not caller.may_cancel(job):
            raise Forbidden(
                f"user {caller.user} may not cancel a job of {clean(job.submitter, 120)}: role operator is missing.",
                advice="Ask its submitter or an operator.",
            )
        return (await self._cancel(caller, [job_id]))[0]

    async def cancel_many(self, caller: Caller, job_ids: Sequence[str]) -> list[CancelItem]:
        """Stop up to BATCH_MAX jobs; what was done to each, in order."""
        if len(job_ids) > BATCH_MAX:
            raise InvalidInput(
                f"at most {BATCH_MAX} jobs at once.", fields={"ids": f"at most {BATCH_MAX}"}
            )
        asked = list(dict.fromkeys(job_ids))
        seen = {job.id: job for job in await self._store.get_jobs(asked) if caller.sees(job)}
        allowed = [job.id for job in seen.values() if caller.may_cancel(job)]
        done = {item.id: item for item in await self._cancel(caller, allowed)}
        return [done.get(each) or _not_cancelled(each, seen.get(each)) for each in asked]

    async def _cancel(self, caller: Caller, job_ids: Sequence[str]) -> list[CancelItem]:
        if not job_ids:
            return []
        now = self._clock.now()
        transitions = [
            Transition(
                id=each,
                event=JobEvent.CANCEL,
                at=now,
                by=caller.user,
                reason=f"cancelled by {caller.user}",
            )
            for each in job_ids
        ]
        outcomes = await self._store.apply(transitions, durable=True)
        await self._bus.publish(
            [
                Change("jobs", each.id, each.state.value, each.position, each.epoch)
                for each in outcomes
                if each.applied and each.state is not None
            ]
        )
        for each in outcomes:
            if each.state is JobState.CANCELLING:
                await self._tell_workers(Cancel(job=each.id, by=caller.user))
        return [_cancelled(each) for each in outcomes]

    async def _tell_workers(self, cancel: Cancel) -> None:
        """A worker that misses it is told again by the scheduler, as long as the job is to stop."""
        message = Message(body=codec.encode(cancel), type="Cancel")
        try:
            await self._broker.fanout(CONTROL, message)
        except BrokerError:
            self._counters.add("dts_cancels_untold_total")


def _cancelled(outcome: Outcome) -> CancelItem:
    state = outcome.state.value if outcome.state is not None else ""
    if outcome.applied:
        detail = "is being stopped" if outcome.state is JobState.CANCELLING else "will not run"
    else:
        detail = (
            "is being stopped already"
            if outcome.state is JobState.CANCELLING
            else "has ended already"
        )
    return CancelItem(id=outcome.id, state=state, applied=outcome.applied, detail=detail)


def _not_cancelled(job_id: str, job: Job | None) -> CancelItem:
    if job is None:
        return CancelItem(id=clean(job_id, 60), state="", applied=False, detail="no such job")
    return CancelItem(
        id=job.id, state=job.state.value, applied=False, detail="not yours, and you are no operator"
    )
