"""Writes down how jobs ended: consumer of `results`, in batches, idempotent by (job, epoch), ack after the commit."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from dts_core.brokers.base import RESULTS, Broker, Delivery
from dts_core.brokers.consumer import Consumer
from dts_core.clock import Clock
from dts_core.daemons.arrivals import Arrivals
from dts_core.daemons.ear import Recorder
from dts_core.errors import DtsError, NotFound
from dts_core.model import RESULT_MAX, Job, JobResults, Outcome, Transition
from dts_core.services.claims import changes_of
from dts_core.services.messages import declare_queues, job_message, publish_changes
from dts_core.services.results import needs_job, transition_of
from dts_core.settings import PorterSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.jobstore import Intake, JobStore
from dts_core.text import clean

BULK: Final = 1000
"""Most jobs of one bulk read."""
log = logging.getLogger(__name__)


class Porter(Consumer[JobResults]):
    """Consumer of `results`.

    A result that changes nothing (stale, duplicate, forged) is counted in `results_refused` and logged; its message is
    acked all the same. A batch that the store cannot take is not acked: it comes again. A message with a result that
    was to go ahead of it in chunks and is not there is a dead letter; its job runs again when its lease ends.
    """

    name = "porter"
    queue = RESULTS
    message_class = JobResults

    def __init__(
        self,
        broker: Broker,
        store: JobStore,
        intake: Intake,
        settings: PorterSettings,
        clock: Clock,
        *,
        backoff_max_seconds: float = 3600.0,
        result_max: int = RESULT_MAX,
        on_refused: Callable[[], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__(broker, prefetch=settings.prefetch, batch=settings.batch)
        self._store = store
        self._intake = intake
        self._clock = clock
        self._backoff_max = backoff_max_seconds
        self._result_max = result_max
        self._chance = random.Random()
        self.results_recorded = 0
        self.results_refused = 0
        self._on_refused = on_refused
        self._recorder = recorder
        self._arrivals = Arrivals()
        self._in_hand = 0
        if recorder is not None:
            recorder.waits = self._waits

    async def run(self) -> None:
        """Record until cancelled; to processes that judge leases it proves that it keeps up."""
        async with asyncio.TaskGroup() as group:
            group.create_task(super().run(), name="porter-results")
            if self._recorder is not None:
                group.create_task(self._recorder.run(), name="porter-recorder")

    def _arrived(self, deliveries: list[Delivery]) -> None:
        self._arrivals.come(self._clock.monotonic(), self.counters["received"])
        super()._arrived(deliveries)

    def _begin(self) -> None:
        waited = len(self._waiting)
        super()._begin()
        self._in_hand += waited - len(self._waiting)  # from now on, not from when its task runs

    async def _handle(self, batch: list[Delivery]) -> None:
        try:
            await super()._handle(batch)
        finally:
            self._in_hand -= len(batch)

    def _waits(self) -> float:
        """Seconds that the oldest result that was sent here has waited to be recorded."""
        came = self.counters["received"]
        done = came - len(self._waiting) - self._in_hand
        return self._arrivals.waits(self._clock.monotonic(), came=came, done=done)

    async def operate_batch(
        self, messages: Sequence[JobResults]
    ) -> Sequence[DtsError | None] | None:
        """Record every result of every message; NotFound for a message with a result that is not there.

        Raises:
            StoreError: Nothing, or only a part, is recorded: the messages come again, what is recorded stays once.
        """
        outcomes = await self.record(messages)
        await self._prove(messages)
        missing = {outcome.id: outcome.detail for outcome in outcomes if outcome.detail}
        if not missing:
            return None
        return [_lost(message, missing) for message in messages]

    async def _prove(self, messages: Sequence[JobResults]) -> None:
        """Proofs among what is recorded now: everything sent before them is."""
        if self._recorder is not None and [each for each in messages if self._recorder.hears(each)]:
            await self._recorder.written(self._recorder.heard)

    async def record(self, messages: Sequence[JobResults]) -> list[Outcome]:
        """Apply results; one outcome each for those that ask for a transition, in order within each kind."""
        at = self._clock.now()
        results = [(result, each) for each in messages for result in each.results]
        jobs = await self._jobs([result.id for result, _ in results if needs_job(result)])
        plain: list[Transition] = []
        returned: list[Transition] = []
        for result, sender in results:
            transition = transition_of(
                result, jobs, at=at, most_seconds=self._backoff_max, chance=self._chance,
                host=sender.host, worker=sender.worker,
            )  # fmt: skip
            if transition is None:
                self._refuse()
                log.warning("job %s: no worker may report %s", result.id, result.event)
            elif transition.event is JobEvent.GIVE_BACK and result.id in jobs:
                returned.append(transition)
            else:
                plain.append(transition)
        outcomes = await self._apply(plain) if plain else []
        if returned:
            # Its message is acked once its result is confirmed, so a new one invites to it again.
            back = [jobs[each.id] for each in returned]
            await declare_queues(self.broker, back)
            again = [job_message(job, at=at, result_max=self._result_max) for job in back]
            outcomes += await self._intake.invite(returned, again)
        self._note([*plain, *returned], outcomes)
        await self._tell(outcomes)
        return outcomes

    async def _jobs(self, ids: Sequence[str]) -> dict[str, Job]:
        found: dict[str, Job] = {}
        for start in range(0, len(ids), BULK):
            for job in await self._store.get_jobs(ids[start : start + BULK]):
                found[job.id] = job
        return found

    async def _apply(self, transitions: Sequence[Transition]) -> list[Outcome]:
        outcomes = await self._store.apply(transitions)
        # A cancel that came between reading and writing leaves no room for another attempt: the failure is final.
        late = [
            at
            for at, (transition, outcome) in enumerate(zip(transitions, outcomes, strict=True))
            if not outcome.applied
            and transition.event is JobEvent.RETRY
            and outcome.state is JobState.CANCELLING
        ]
        if late:
            final = [
                msgspec.structs.replace(transitions[at], event=JobEvent.FAIL, due_at=None)
                for at in late
            ]
            for at, outcome in zip(late, await self._store.apply(final), strict=True):
                outcomes[at] = outcome
        return outcomes

    def _refuse(self) -> None:
        self.results_refused += 1
        if self._on_refused is not None:
            self._on_refused()

    def _note(self, transitions: Sequence[Transition], outcomes: Sequence[Outcome]) -> None:
        for transition, outcome in zip(transitions, outcomes, strict=True):
            if outcome.applied:
                self.results_recorded += 1
                continue
            self._refuse()
            stands = "unknown" if outcome.state is None else f"{outcome.state} {outcome.epoch}"
            log.info(
                "job %s: result %s of claim %d is refused, it stands %s",
                outcome.id,
                transition.event,
                transition.epoch,
                stands,
            )

    async def _tell(self, outcomes: Sequence[Outcome]) -> None:
        changes = changes_of(outcomes)
        if not changes:
            return
        try:
            await publish_changes(self.broker, changes, at=self._clock.now())
        except DtsError as error:
            # Recorded is recorded: who waits looks at the store by itself.
            log.warning("changes could not be announced: %s", error)


def _lost(message: JobResults, missing: Mapping[str, str]) -> NotFound | None:
    """Why a message cannot be recorded."""
    for result in message.results:
        if result.blob and result.id in missing:
            return NotFound(f"job {clean(result.id, 64)}: {missing[result.id]}.")
    return None
