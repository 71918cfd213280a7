"""Leases over a control side of several processes: nobody loses a job because somebody else did not listen."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, RESULTS, Broker, Message, Outgoing
from dts_core.clock import SystemClock
from dts_core.daemons import ear
from dts_core.daemons.arrivals import Arrivals
from dts_core.daemons.ear import Ear, Recorder
from dts_core.daemons.porter import Porter
from dts_core.daemons.scheduler import Scheduler
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.errors import BrokerUnavailable, DtsError, StoreUnavailable
from dts_core.model import Heartbeat, Job, JobResult, JobResults, PartState, ProgressReport
from dts_core.services.listening import Hearing, ToldLeases
from dts_core.services.recording import RECORDER, Recording
from dts_core.settings import (
    PorterSettings,
    RetentionSettings,
    SchedulerSettings,
    StethoscopeSettings,
)
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake
from dts_core.testing import START, ManualClock, wait_until
from tests.contract.store_backends import Engine, embedded
from tests.support.beats import make_beat
from tests.support.jobs import job_in

LENGTH = timedelta(seconds=10)
_BODY: Any = Heartbeat | ProgressReport


class Reach:
    """A process's way to the store and to the broker, which can be cut."""

    def __init__(self, town: "Town", target: Any) -> None:
        self._town = town
        self._target = target

    def __getattr__(self, name: str) -> Any:
        if self._town.store_is_away:
            raise StoreUnavailable("the store is away.")
        return getattr(self._target, name)


class Wire:
    """Queues, which the town takes from."""

    def __init__(self, town: "Town") -> None:
        self._town = town

    async def publish(self, items: Sequence[Outgoing]) -> None:
        self._check()
        for item in items:
            self._town.queues.setdefault(item.queue, deque()).append(item.message)

    async def fanout(self, exchange: str, message: Message) -> None:
        self._check()

    async def declare(self, spec: object) -> None:
        self._check()

    def _check(self) -> None:
        if self._town.broker_is_away:
            raise BrokerUnavailable("the broker is away.")


class Town:
    """Workers that beat every two seconds, and whoever of the control side is alive; time goes by the second."""

    def __init__(self, engine: Engine, clock: ManualClock) -> None:
        self.clock = clock
        self.engine = engine
        self.queues: dict[str, deque[Message]] = {}
        self.store_is_away = False
        self.broker_is_away = False
        self.silent: set[str] = set()
        self.swallowed: set[str] = set()
        """Whose beats go to a stethoscope that stands still, whose consumer the broker still has."""
        self.jobs: dict[str, Job] = {}
        self.wire = cast(Broker, Wire(self))
        self.store = cast(Store, Reach(self, engine.store))
        self.intake = cast(Intake, Reach(self, engine.intake))
        self.stethoscope: Stethoscope | None = None
        self.ear: Ear | None = None
        self.porter: Porter | None = None
        self.recorder: Recorder | None = None
        self.scheduler: Scheduler | None = None
        self.told: ToldLeases | None = None
        self._sequence = 0
        self._started = 0

    async def hire(self, *workers: str) -> None:
        """Workers with a job each, claimed now."""
        for name in workers:
            job = job_in(JobState.RUNNING, at=self.clock.now(), host=name, worker=f"{name}-1")
            self.jobs[name] = job
            await self.engine.store.insert_jobs([job])

    async def start_stethoscope(self) -> None:
        self._started += 1
        self.ear = Ear(
            self.wire, self.store, self.clock, f"s{self._started}", hearers=self._hearers
        )
        self.stethoscope = Stethoscope(
            self.wire, self.store, StethoscopeSettings(), self.clock, ear=self.ear
        )
        await self.stethoscope.restore()

    async def _hearers(self) -> int:
        return 1 + bool(self.swallowed)

    def start_scheduler(self) -> None:
        self.told = ToldLeases(self.store, self.clock, LENGTH)
        self.scheduler = Scheduler(
            self.wire,
            self.store,
            self.intake,
            SchedulerSettings(),
            RetentionSettings(),
            self.clock,
            leases=self.told,
        )

    async def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self._sequence += 1
            for name, job in self.jobs.items():
                is_heard = name not in self.silent | self.swallowed
                if self._sequence % 2 == ord(name) % 2 and is_heard:
                    await self._beat(name, job)
            await self._listen()
            await self._record()
            await self._schedule()

    async def _beat(self, name: str, job: Job) -> None:
        if self.broker_is_away:
            return
        beat = make_beat(name, sequence=self._sequence, held=[(job.id, 1)])
        message = Message(codec.encode(beat), type="Heartbeat")
        await self.wire.publish([Outgoing(HEARTBEATS, message)])

    async def _listen(self) -> None:
        if self.stethoscope is None or self.ear is None:
            return
        try:
            await self.ear.prove()
        except BrokerUnavailable:
            return
        await self.stethoscope.operate_batch(self._take(HEARTBEATS, _BODY))
        self.stethoscope.review()
        await self.stethoscope.flush()

    def _take(self, queue: str, kind: Any) -> list[Any]:
        messages = self.queues.pop(queue, ())
        return [codec.decode(message.body, kind) for message in messages]

    async def _record(self) -> None:
        if self.porter is None or self.recorder is None:
            return
        try:
            await self.recorder.prove()
            kept = self.queues.get(RESULTS, deque()).copy()
            await self.porter.operate_batch(self._take(RESULTS, JobResults))
        except BrokerUnavailable:
            return
        except StoreUnavailable:
            self.queues[RESULTS] = kept

    async def report(self, name: str) -> None:
        """A job has ended: its result is sent, and no heartbeat names it any more."""
        job = self.jobs[name]
        self.silent.add(name)
        results = JobResults(job.host, job.worker, [JobResult(job.id, 1, JobEvent.FINISH, b"1")])
        await self.wire.publish([Outgoing(RESULTS, Message(codec.encode(results)))])

    def start_porter(self) -> None:
        self._started += 1
        self.recorder = Recorder(self.wire, self.store, self.clock, f"p{self._started}")
        self.porter = Porter(
            self.wire, self.store, self.intake, PorterSettings(), self.clock, recorder=self.recorder
        )

    async def _schedule(self) -> None:
        if self.scheduler is None or self.told is None:
            return
        for step in (self.told.look, self.scheduler.tick):
            try:
                await step()
            except DtsError:
                continue

    async def losses(self) -> dict[str, int]:
        found = {name: await self.engine.store.get_job(job.id) for name, job in self.jobs.items()}
        return {name: job.losses for name, job in found.items() if job is not None}


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    clock = ManualClock()
    async with embedded(tmp_path, clock) as engine:
        opened = Town(engine, clock)
        await opened.hire("a", "b", "c")
        await opened.start_stethoscope()
        opened.start_porter()
        opened.start_scheduler()
        await opened.live(15)
        yield opened


async def nobody_lost(town: Town) -> None:
    assert await town.losses() == dict.fromkeys(town.jobs, 0)


async def test_a_dead_worker_s_job_runs_again(town: Town) -> None:
    """What does not listen is told from what does not speak: within a lease and a few seconds."""
    await nobody_lost(town)
    town.silent.add("b")
    await town.live(9)
    await nobody_lost(town)
    await town.live(6)
    assert await town.losses() == {"a": 0, "b": 1, "c": 0}


@pytest.mark.parametrize("seconds", [3, 12, 90])
async def test_without_a_stethoscope_no_lease_ends(town: Town, seconds: int) -> None:
    """However long until another one takes over; then everybody has a whole length to be heard."""
    town.stethoscope = None
    await town.live(seconds)
    await nobody_lost(town)
    await town.start_stethoscope()
    await town.live(30)
    await nobody_lost(town)


@pytest.mark.parametrize("seconds", [1, 12, 90])
async def test_a_scheduler_that_takes_over_ends_nobody_s_lease(town: Town, seconds: int) -> None:
    """It knows from the store what was heard."""
    town.scheduler = None
    await town.live(seconds)
    town.start_scheduler()
    await town.live(30)
    await nobody_lost(town)


async def test_beats_that_a_frozen_one_still_takes_end_no_lease(town: Town) -> None:
    """Its successor hears itself without a gap, and some workers not at all, until the broker gives the other up."""
    town.stethoscope = None
    await town.live(12)
    town.swallowed = {"a"}
    await town.start_stethoscope()
    await town.live(18)
    town.swallowed = set()
    await town.live(30)
    await nobody_lost(town)
    town.silent.add("c")
    await town.live(20)
    assert await town.losses() == {"a": 0, "b": 0, "c": 1}


async def test_a_former_self_may_still_be_listening(town: Town) -> None:
    """After a gap too: the broker has not noticed yet that the former connection is gone."""
    town.broker_is_away = True
    await town.live(7)
    town.broker_is_away = False
    town.swallowed = {"b"}
    await town.live(25)
    town.swallowed = set()
    await town.live(30)
    await nobody_lost(town)


@pytest.mark.parametrize("seconds", [12, 90])
async def test_both_taken_over_at_once(town: Town, seconds: int) -> None:
    """The scheduler first, which finds what the dead stethoscope said last."""
    town.stethoscope = town.scheduler = None
    await town.live(seconds)
    town.start_scheduler()
    await town.live(5)
    await town.start_stethoscope()
    await town.live(30)
    await nobody_lost(town)
    town.silent.add("c")
    await town.live(20)
    assert await town.losses() == {"a": 0, "b": 0, "c": 1}


@pytest.mark.parametrize("seconds", [2, 7, 60])
async def test_results_that_are_not_recorded_yet_end_no_lease(town: Town, seconds: int) -> None:
    """The porter was away: the jobs that ended meanwhile are done, and none of them was run again."""
    town.porter = None
    await town.live(1)
    await town.report("a")
    await town.live(seconds)
    town.start_porter()
    town.silent.add("b")
    await town.live(30)
    assert await town.losses() == {"a": 0, "b": 1, "c": 0}
    kept = await town.engine.store.get_job(town.jobs["a"].id)
    assert kept is not None
    assert kept.state is JobState.DONE


def said(name: str, second: int, *, takers: int, heard: int | None = None) -> PartState:
    """A porter's word in a second; `heard` is when its newest proof was sent."""
    return PartState(
        id=name, name=RECORDER, host="h", pid=1, version="1", started_at=START,
        seen_at=START + timedelta(seconds=second), takers=takers,
        heard_until=None if heard is None else START + timedelta(seconds=heard),
    )  # fmt: skip


def test_every_porter_has_to_keep_up() -> None:
    """One that says nothing counts while the broker has it for a taker, no longer; words from before a pause do not."""
    clock = ManualClock()
    recording = Recording(clock)

    def look(*parts: PartState) -> bool:
        clock.advance(1)
        recording.look(parts)
        return recording.keeps_up()

    for second in range(5):
        both = [said(name, second, takers=2, heard=second) for name in ("p", "q")]
        assert look(*both) is (second > 0)
    still = both[1]
    kept = [look(said("p", second, takers=2, heard=second), still) for second in range(5, 10)]
    assert kept == [True, True, False, False, False]
    assert look(said("p", 10, takers=1, heard=10), still)
    assert not look(said("p", 11, takers=2, heard=11), still)
    assert look(said("p", 12, takers=2, heard=12), said("q", 12, takers=2))
    clock.advance(10)
    assert not look(said("p", 23, takers=2, heard=23), said("q", 13, takers=2))
    assert not look(said("p", 24, takers=2, heard=24), said("q", 13, takers=2))
    assert look(said("p", 25, takers=2, heard=25), said("q", 25, takers=2))


def test_a_porter_says_nothing_while_it_is_behind() -> None:
    """The oldest that came counts, not the newest; what is done counts no more."""
    arrivals = Arrivals()
    arrivals.come(10.0, 0)
    arrivals.come(12.0, 5)
    assert arrivals.waits(13.0, came=8, done=4) == 3.0
    assert arrivals.waits(13.0, came=8, done=5) == 1.0
    assert arrivals.waits(13.0, came=8, done=8) == 0.0
    arrivals.come(20.0, 8)
    assert arrivals.waits(21.0, came=9, done=8) == 1.0


@pytest.mark.parametrize("seconds", [2, 7, 60])
async def test_a_store_that_was_away(town: Town, seconds: int) -> None:
    """What was heard meanwhile could not be written: that is a gap like any other."""
    town.store_is_away = True
    await town.live(seconds)
    town.store_is_away = False
    await town.live(30)
    await nobody_lost(town)


@pytest.mark.parametrize("seconds", [2, 7, 60])
async def test_a_broker_that_was_away(town: Town, seconds: int) -> None:
    """Nobody could be heard, and the stethoscope knows: its own proof did not come back either."""
    town.broker_is_away = True
    await town.live(seconds)
    town.broker_is_away = False
    await town.live(30)
    await nobody_lost(town)


async def test_a_clock_that_jumps_ends_no_lease(town: Town) -> None:
    """Forward by an hour, and another process's clock that is an hour behind."""
    town.clock.step(3600)
    await town.live(30)
    await nobody_lost(town)


async def test_a_long_row_of_faults_loses_nobody(town: Town) -> None:
    """Any order of kills and outages, each of any length: workers that beat keep their jobs."""
    chance = random.Random(7)
    for _ in range(25):
        fault = chance.randrange(5)
        if fault == 0:
            town.stethoscope = None
        elif fault == 1:
            town.scheduler = None
        elif fault == 2:
            town.store_is_away = True
        elif fault == 3:
            town.porter = None
        else:
            town.broker_is_away = True
        await town.live(chance.randrange(1, 40))
        town.store_is_away = town.broker_is_away = False
        if town.stethoscope is None:
            await town.start_stethoscope()
        if town.scheduler is None:
            town.start_scheduler()
        if town.porter is None:
            town.start_porter()
        await town.live(chance.randrange(0, 20))
        await nobody_lost(town)
    town.silent.add("a")
    await town.live(40)
    assert await town.losses() == {"a": 1, "b": 0, "c": 0}


async def test_leases_given_here_are_not_behind_the_stethoscope(town: Town) -> None:
    """A process whose clock is behind would give leases that are over already."""
    behind = ManualClock(town.clock.now() - timedelta(hours=1))
    told = ToldLeases(town.store, behind, LENGTH)
    assert told.now() == behind.now()
    await told.look()
    assert told.now() == town.clock.now()
    assert told.seconds_left(town.clock.now() + LENGTH) == 10.0
    assert town.told is not None
    assert town.told.seconds_left(town.clock.now() - LENGTH) == 0.0


def test_a_proof_counts_once_and_only_from_here() -> None:
    """Neither another one's nor one that came back before."""
    clock = ManualClock()
    hearing = Hearing(clock, "ear-1")
    text = hearing.proof()
    assert hearing.came_back(text)
    assert not hearing.came_back(text)
    assert not hearing.came_back("ear-2#1")


def test_hearing_lasts_while_proofs_follow_each_other() -> None:
    """A gap of more than GAP_SECONDS, or a write that failed, begins it anew."""
    clock = ManualClock()
    hearing = Hearing(clock, "ear-1")

    def proven(seconds: float) -> None:
        clock.advance(seconds)
        hearing.came_back(hearing.proof())
        hearing.written(hearing.heard)

    proven(1)
    begun = clock.now()
    proven(1)
    proven(4)
    assert (hearing.since, hearing.until) == (begun, clock.now())
    proven(6)
    assert hearing.since == clock.now()
    hearing.missed()
    proven(1)
    assert hearing.since == clock.now()


class Turns:
    """A queue of results that is shared by porters, who are served in turn; each is handed what another one sent."""

    def __init__(self) -> None:
        self.porters: list[Recorder] = []
        self.sent = 0

    async def save_part(self, part: PartState) -> None:
        """What they say is of no concern here."""

    async def publish(self, items: Sequence[Outgoing]) -> None:
        for item in items:
            self.sent += 1
            turn = self.porters[self.sent % len(self.porters)]
            turn.hears(codec.decode(item.message.body, JobResults))


async def test_porters_in_step_hear_themselves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else is in the queue that would break the turn; if none heard itself, no lease would ever end."""
    monkeypatch.setattr(ear, "PROOF_SECONDS", 0.002)
    turns = Turns()
    turns.porters = [
        Recorder(cast(Broker, turns), cast(Store, turns), SystemClock(), name)
        for name in ("p", "q")
    ]
    tasks = [asyncio.create_task(each.run()) for each in turns.porters]
    await wait_until(lambda: all(each.heard is not None for each in turns.porters))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
