"""The store against a model of it: any sequence of writes leaves both with the same jobs."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dts_core.model import Job, JobError, JobQuery, Transition
from dts_core.states import FENCED, FINAL, HELD, JobEvent, JobState, after
from dts_core.testing import ManualClock
from tests.contract.store_backends import Engine, Opener, embedded, opener
from tests.support.jobs import LEASE, invitation, make_job, move

ERROR = JobError(type="Boom", message="it did")


def model_apply(job: Job, transition: Transition) -> Job | None:
    """The job after a transition, None when it is refused: the rules once more, in the plainest way."""
    event, at = transition.event, transition.at
    state = after(event, job.state)
    if state is None:
        return None
    is_fenced = event in FENCED or (event is JobEvent.BURY and transition.epoch > 0)
    if is_fenced and transition.epoch != job.epoch:
        return None
    if event is JobEvent.CLAIM and job.expires_at is not None and job.expires_at <= at:
        return None
    new: dict[str, Any] = {"state": state}
    if event is JobEvent.CLAIM:
        new |= {"epoch": job.epoch + 1, "attempt": job.attempt + 1, "started_at": at}
        new |= {"lease_until": transition.lease_until, "error": None}
        new |= {"host": transition.host, "worker": transition.worker}
    if state not in HELD:
        new |= {"lease_until": None}
    if state in (JobState.QUEUED, JobState.RETRYING) and job.state is JobState.RUNNING:
        new |= {"host": "", "worker": ""}
    if state is JobState.QUEUED:
        new |= {"queued_at": at, "due_at": None}
    if state is JobState.QUEUED and job.state is JobState.RUNNING:
        new |= {"attempt": job.attempt - 1}
    if event is JobEvent.LOSE:
        new |= {"losses": job.losses + 1}
    if event is JobEvent.RETRY:
        new |= {"due_at": transition.due_at}
    if event in (JobEvent.RETRY, JobEvent.FAIL, JobEvent.BURY):
        new |= {"error": transition.error}
    if event is JobEvent.FINISH:
        new |= {"result": transition.result, "result_size": len(transition.result or b"")}
    if event is JobEvent.CANCEL:
        new |= {"cancelled_by": transition.by}
    if state in FINAL:
        new |= {"finished_at": at, "due_at": None}
    return msgspec.structs.replace(job, **new)


def comparable(job: Job) -> Job:
    """Without what is the store's own or only words."""
    return msgspec.structs.replace(job, changed=0, reason="")


class StoreAndModel(RuleBasedStateMachine):
    """Writes go to both; whatever is read must agree."""

    jobs = Bundle("jobs")

    def __init__(self, open_engine: Opener = embedded) -> None:
        super().__init__()
        self.open_engine = open_engine
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.model: dict[str, Job] = {}
        self.attempts: Counter[str] = Counter()
        self.messages = 0
        self.number = 0
        self.enter()

    def enter(self) -> None:
        self.context = self.open_engine(Path(self.folder.name), self.clock)
        self.engine: Engine = self.runner.run(self.context.__aenter__())

    def leave(self) -> None:
        self.runner.run(self.context.__aexit__(None, None, None))

    def teardown(self) -> None:
        self.leave()
        self.runner.close()
        self.folder.cleanup()

    def now(self) -> datetime:
        return self.clock.now()

    def new(self, **fields: Any) -> Job:
        self.number += 1
        return make_job(id=f"job{self.number:05}", created_at=self.now(), **fields)

    @initialize()
    def begin(self) -> None:
        assert self.runner.run(self.engine.store.position()) == 0

    @rule(
        target=jobs,
        count=st.integers(1, 4),
        user=st.sampled_from(["ann", "bob"]),
        expires=st.booleans(),
    )
    def submit(self, count: int, user: str, expires: bool) -> Any:
        end = self.now() + timedelta(seconds=5) if expires else None
        new = [
            self.new(state=JobState.PENDING, submitter=user, expires_at=end) for _ in range(count)
        ]
        self.runner.run(self.engine.intake.accept(new, [invitation(job) for job in new]))
        self.messages += count
        for job in new:
            self.model[job.id] = msgspec.structs.replace(
                job, state=JobState.QUEUED, queued_at=job.created_at
            )
        return multiple(*(job.id for job in new))

    @rule(target=jobs, seconds=st.integers(0, 20))
    def schedule(self, seconds: int) -> str:
        job = self.new(state=JobState.SCHEDULED, due_at=self.now() + timedelta(seconds=seconds))
        self.runner.run(self.engine.store.insert_jobs([job]))
        self.model[job.id] = job
        return job.id

    @rule(
        steps=st.lists(
            st.tuples(jobs, st.sampled_from(JobEvent), st.sampled_from([0, 0, 0, 1, -1])),
            min_size=1,
            max_size=8,
        )
    )
    def transitions(self, steps: list[tuple[str, JobEvent, int]]) -> None:
        """A batch of any events, mostly at the live epoch, some stale, some of the future."""
        batch = []
        for job, event, off in steps:
            standing = self.model.get(job)
            epoch = 0 if standing is None else standing.epoch
            batch.append(
                move(
                    job,
                    event,
                    at=self.now(),
                    epoch=max(epoch + off, 0),
                    due_at=self.now() + LEASE,
                    result=b"1" if event is JobEvent.FINISH else None,
                    error=ERROR,
                    by="eve",
                    lease_until=self.now() + LEASE,
                )
            )
        outcomes = self.runner.run(self.engine.store.apply(batch))
        for transition, outcome in zip(batch, outcomes, strict=True):
            job_before = self.model.get(transition.id)
            expected = None if job_before is None else model_apply(job_before, transition)
            assert outcome.applied is (expected is not None)
            if expected is not None and job_before is not None:
                kept = expected.state in (JobState.QUEUED, JobState.RETRYING)
                self.attempts[expected.id] += kept and job_before.state is JobState.RUNNING
                self.model[expected.id] = expected
            stands = self.model.get(transition.id)
            if stands is None:
                assert outcome.state is None
            else:
                assert (outcome.state, outcome.epoch) == (stands.state, stands.epoch)
                assert (outcome.attempt, outcome.losses) == (stands.attempt, stands.losses)
                assert outcome.lease_until == stands.lease_until

    @rule(items=st.lists(jobs, max_size=4), seconds=st.integers(1, 30))
    def renew(self, items: list[str], seconds: int) -> None:
        until = self.now() + timedelta(seconds=seconds)
        live = {job: self.model[job] for job in items if job in self.model}
        self.runner.run(
            self.engine.store.renew([(job.id, job.epoch) for job in live.values()], until)
        )
        for job in live.values():
            if job.state in HELD and job.lease_until is not None and job.lease_until < until:
                self.model[job.id] = msgspec.structs.replace(job, lease_until=until)

    @rule(seconds=st.sampled_from([0.001, 1.0, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def forget(self) -> None:
        before = self.now() - timedelta(seconds=60)
        old = [
            job.id
            for job in self.model.values()
            if job.finished_at is not None and job.finished_at < before
        ]
        assert self.runner.run(self.engine.store.forget_jobs(before)) == len(old)
        for job in old:
            del self.model[job]
            del self.attempts[job]

    @rule()
    def restart(self) -> None:
        self.leave()
        self.enter()

    @rule(state=st.sampled_from(JobState), newest_first=st.booleans())
    def list_by_state(self, state: JobState, newest_first: bool) -> None:
        query = JobQuery(state=(state,), newest_first=newest_first, limit=500)
        page = self.runner.run(self.engine.store.find_jobs(query))
        ids = [job.id for job in self.model.values() if job.state is state]
        assert [job.id for job in page.items] == sorted(ids, reverse=newest_first)

    @rule()
    def look_for_what_time_brings(self) -> None:
        store, now = self.engine.store, self.now()
        every = self.model.values()
        due = {job.id for job in self.runner.run(store.due_jobs(now))}
        assert due == {job.id for job in every if job.due_at is not None and job.due_at <= now}
        lapsed = {job.id for job in self.runner.run(store.lapsed_jobs(now))}
        leased = [job for job in every if job.lease_until is not None]
        assert lapsed == {job.id for job in leased if job.lease_until and job.lease_until < now}
        waiting = (JobState.SCHEDULED, JobState.PENDING, JobState.QUEUED, JobState.RETRYING)
        overdue = {job.id for job in self.runner.run(store.overdue_jobs(now))}
        assert overdue == {
            job.id
            for job in every
            if job.expires_at is not None and job.expires_at <= now and job.state in waiting
        }

    @invariant()
    def the_stored_jobs_are_the_model_s(self) -> None:
        store = self.engine.store
        for job in self.model.values():
            kept = self.runner.run(store.get_job(job.id))
            assert kept is not None
            assert comparable(kept) == comparable(job)

    @invariant()
    def the_figures_are_right(self) -> None:
        store = self.engine.store
        states = Counter(job.state.value for job in self.model.values())
        counted = self.runner.run(store.count_jobs()).states
        assert +Counter(counted) == states
        for user in ("ann", "bob"):
            mine = [job for job in self.model.values() if job.submitter == user]
            record = self.runner.run(store.submitter_record(user))
            assert record.counts == dict(Counter(job.state.value for job in mine))
            assert record.recent == sorted((job.id for job in mine), reverse=True)[:50]

    @invariant()
    def every_attempt_is_kept(self) -> None:
        for job in self.model:
            kept = self.runner.run(self.engine.store.attempts(job))
            assert len(kept) == self.attempts[job]

    @invariant()
    def every_accepted_job_has_its_message(self) -> None:
        assert len(self.runner.run(self.engine.queued())) == self.messages


UNHURRIED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
StoreAndModel.TestCase.settings = settings(UNHURRIED, max_examples=25, stateful_step_count=30)
TestStoreAndModel = StoreAndModel.TestCase


@pytest.mark.slow
def test_the_mongodb_store_and_the_model(empty_database: Callable[[], str]) -> None:
    """The same sequences on the other engine; fewer, since every look crosses the wire."""

    class OnMongoDb(StoreAndModel):
        def __init__(self) -> None:
            super().__init__(opener("mongodb", empty_database))

    run_state_machine_as_test(
        OnMongoDb, settings=settings(UNHURRIED, max_examples=6, stateful_step_count=15)
    )
