"""What has to happen to jobs by time alone: starts, retries, lapsed leases, expiry, lost publications; and retention.

It sleeps until the store's next due instant, at most one tick, so that an idle system costs one look-up of three index
ends a tick.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from dts_core.brokers.base import Broker, Outgoing
from dts_core.clock import Clock
from dts_core.daemons.reminders import Reminders
from dts_core.errors import DtsError, TooLarge
from dts_core.model import RESULT_MAX, Job, Outcome, Transition
from dts_core.services.claims import burial, changes_of, expiry, loss, undeliverable
from dts_core.services.leases import LOOK_SECONDS, Leases
from dts_core.services.listening import Judge
from dts_core.services.messages import declare_queues, job_message, publish_changes
from dts_core.services.queues import announce_pauses
from dts_core.settings import RetentionSettings, SchedulerSettings
from dts_core.states import LOSSES_MAX, JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake

BATCH: Final = 500
"""Most jobs of one write."""
MINUTE_SECONDS: Final = 60.0
HOUR_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0
PAUSES_SECONDS: Final = 3.0
"""How often workers are told what is paused and what is to stop: one may just have come, or missed it."""
LOST_SECONDS: Final = 10.0
"""How often lost invitations are looked for."""
LEAST_SLEEP_SECONDS: Final = 0.005
T = TypeVar("T")
log = logging.getLogger(__name__)


class Scheduler:
    """One scheduler. Two beside each other do no harm: every step is a guarded write."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        intake: Intake,
        settings: SchedulerSettings,
        retention: RetentionSettings,
        clock: Clock,
        *,
        leases: Judge | None = None,
        result_max: int = RESULT_MAX,
    ) -> None:
        self._broker = broker
        self._store = store
        self._intake = intake
        self._settings = settings
        self._retention = retention
        self._clock = clock
        self._leases = leases
        self._result_max = result_max
        self._reminders = Reminders(broker, store, clock)
        self._chores: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("publish pending jobs", settings.pending_seconds, self.publish_pending),
            ("announce pauses", PAUSES_SECONDS, self.announce_pauses),
            ("repeat orders to stop", PAUSES_SECONDS, self._reminders.repeat_cancels),
            ("look for lost invitations", LOST_SECONDS, self.publish_lost),
            ("roll up samples", MINUTE_SECONDS, self.roll_up),
            ("retention", _retention_seconds(retention), self.retain),
        ]
        self._done_at = {name: float("-inf") for name, _, _ in self._chores}
        self.moved = 0

    async def run(self) -> None:
        """Work until cancelled. A store or broker that is away is tried again each tick."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_due(), name="scheduler-due")
            # Beside it, so that a long retention delays no job.
            tasks.create_task(self._keep_chores(), name="scheduler-chores")
            if isinstance(self._leases, Leases):
                tasks.create_task(_keep_looking(self._leases), name="scheduler-leases")

    async def _keep_due(self) -> None:
        while True:
            due = await self._guarded("due jobs", self.tick)
            await asyncio.sleep(self._pause(due))

    async def _keep_chores(self) -> None:
        least = min(every for _, every, _ in self._chores)
        while True:
            await self.do_chores()
            await asyncio.sleep(least)

    async def tick(self) -> datetime | None:
        """Do everything that is due; returns when the next is."""
        now = self._clock.now()
        due = await self._store.next_due()
        if due is None or due > now:
            return due
        await self._start_due(now)
        await self._reap_lapsed(now)
        await self._expire_overdue(now)
        return await self._store.next_due()

    async def do_chores(self) -> None:
        """Do what is to be done every so often and was not for that long."""
        for name, every, chore in self._chores:
            if self._clock.monotonic() - self._done_at[name] >= every:
                self._done_at[name] = self._clock.monotonic()
                await self._guarded(name, chore)

    async def publish_pending(self) -> None:
        """Publish jobs again whose publication was cut off: all, unless that takes until the next time, or fails."""
        now, begun = self._clock.now(), self._clock.monotonic()
        before = now - timedelta(seconds=self._settings.pending_seconds)
        first = ""
        while jobs := await self._store.pending_jobs(before, limit=BATCH):
            await self._invite(jobs, now, lambda job: _event(job, JobEvent.PUBLISH, now))
            is_late = self._clock.monotonic() - begun >= self._settings.pending_seconds
            if len(jobs) < BATCH or jobs[0].id == first or is_late:
                return
            first = jobs[0].id

    async def publish_lost(self) -> None:
        """Publish jobs again whose message is nowhere to be seen."""
        now = self._clock.now()
        if jobs := await self._reminders.lost():
            log.warning(
                "%d queued jobs have no message any more: they are invited to again", len(jobs)
            )
            await self._invite(jobs, now, lambda job: _event(job, JobEvent.PUBLISH, now))

    async def announce_pauses(self) -> None:
        """Tell every worker which queues are paused."""
        await announce_pauses(self._store, self._broker)

    async def roll_up(self) -> None:
        """Make minute means of host samples and drop old ones."""
        await self._store.roll_up(
            self._clock.now(),
            fine=timedelta(hours=self._retention.samples_hours),
            coarse=timedelta(days=self._retention.minutes_days),
        )

    async def retain(self) -> None:
        """Forget finished jobs and log records that are old enough, or too many."""
        now = self._clock.now()
        before = now - timedelta(days=self._retention.jobs_days)
        jobs = await _repeat(lambda: self._store.forget_jobs(before), 5000)
        older = now - timedelta(days=self._retention.logs_days)
        size = self._retention.logs_bytes
        records = await _repeat(lambda: self._store.trim_logs(older, keep_bytes=size), 20_000)
        if jobs or records:
            log.info("forgot %d finished jobs and %d log records", jobs, records)

    def _pause(self, due: datetime | None) -> float:
        tick = self._settings.tick_seconds
        if due is None:
            return tick
        left = (due - self._clock.now()).total_seconds()
        # What is due already and still stands was refused or failed just now: not again before a tick.
        return tick if left < 0 else min(max(left, LEAST_SLEEP_SECONDS), tick)

    async def _guarded(self, what: str, step: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await step()
        except DtsError as error:
            log.warning("%s: %s", what, error)
            return None

    async def _start_due(self, now: datetime) -> None:
        while jobs := await self._store.due_jobs(now, limit=BATCH):
            moved = await self._invite(jobs, now, lambda job: _event(job, JobEvent.DUE, now))
            if not moved:
                return

    async def _reap_lapsed(self, now: datetime) -> None:
        horizon = now if self._leases is None else self._leases.horizon()
        while jobs := await self._store.lapsed_jobs(horizon, limit=BATCH):
            again = [job for job in jobs if not _is_last_loss(job)]
            moved = await self._invite(again, now, lambda job: _loss(job, now))
            last = [job for job in jobs if _is_last_loss(job)]
            steps = [step for job in last for step in (_loss(job, now), _burial(job, now))]
            moved += await self._apply(steps)
            if not moved:
                return

    async def _expire_overdue(self, now: datetime) -> None:
        while jobs := await self._store.overdue_jobs(now, limit=BATCH):
            moved = await self._apply([expiry(job.id, now) for job in jobs])
            if not moved:
                return

    async def _invite(
        self, jobs: Sequence[Job], now: datetime, step: Callable[[Job], Transition]
    ) -> int:
        """Apply a step to each job and publish its message with it; how many were moved.

        One that no message can carry any more (a retry's is a little longer) is dead: it would be due for ever.
        """
        messages: list[Outgoing] = []
        transitions: list[Transition] = []
        buried: list[Transition] = []
        for job in jobs:
            try:
                message = job_message(job, at=now, result_max=self._result_max)
            except TooLarge as error:
                buried += [step(job), _too_large(job, error, now)]
                continue
            messages.append(message)
            transitions.append(step(job))
        moved = await self._apply(buried)
        if not transitions:
            return moved
        await declare_queues(self._broker, jobs)
        return moved + await self._told(await self._intake.invite(transitions, messages))

    async def _apply(self, transitions: Sequence[Transition]) -> int:
        if not transitions:
            return 0
        return await self._told(await self._store.apply(transitions))

    async def _told(self, outcomes: Sequence[Outcome]) -> int:
        changes = changes_of(outcomes)
        self.moved += len(changes)
        if changes:
            await self._guarded(
                "changes could not be announced",
                lambda: publish_changes(self._broker, changes, at=self._clock.now()),
            )
        return len(changes)


async def _keep_looking(leases: Leases) -> None:
    """Notice pauses of our own, for everybody who judges leases."""
    while True:
        leases.horizon()
        await asyncio.sleep(LOOK_SECONDS)


def _event(job: Job, event: JobEvent, now: datetime) -> Transition:
    return Transition(id=job.id, event=event, at=now)


def _loss(job: Job, now: datetime) -> Transition:
    return loss(job.id, job.epoch, now, f"the lease of claim {job.epoch} ended")


def _burial(job: Job, now: datetime) -> Transition:
    return burial(job.id, job.epoch, now)


def _too_large(job: Job, error: TooLarge, now: datetime) -> Transition:
    return undeliverable(job.id, error.message, now, epoch=job.epoch)


def _is_last_loss(job: Job) -> bool:
    """Whether losing it now buries it. One that is being cancelled is cancelled by the loss itself."""
    return job.state is JobState.RUNNING and job.losses + 1 >= LOSSES_MAX


async def _repeat(step: Callable[[], Awaitable[int]], full: int) -> int:
    """Do a bounded step until it is not full any more; the sum of what it did."""
    total = 0
    while True:
        done = await step()
        total += done
        if done < full:
            return total


def _retention_seconds(kept: RetentionSettings) -> float:
    """So often that what is kept for a short time stands at most a quarter longer; each hour at least."""
    shortest = min(kept.jobs_days, kept.logs_days) * DAY_SECONDS
    return max(min(shortest / 4, HOUR_SECONDS), MINUTE_SECONDS / 6)
