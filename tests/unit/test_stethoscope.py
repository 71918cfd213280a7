"""The stethoscope over a real store and broker, in virtual time where time matters."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import EVENTS, HEARTBEATS, LOGS, Delivery, Message, Outgoing
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.errors import ConfigError, StoreUnavailable
from dts_core.model import (
    Alarm,
    Changes,
    Disk,
    Heartbeat,
    LogBatch,
    Progress,
    ProgressReport,
)
from dts_core.settings import StethoscopeSettings
from dts_core.states import JobState
from dts_core.testing import START, ManualClock, wait_until
from tests.support.beats import GIB, Ears, make_beat, open_ears
from tests.support.jobs import job_in

SETTINGS = StethoscopeSettings()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def ears(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Ears]:
    async with open_ears(tmp_path, clock) as opened:
        yield opened


@dataclass
class Ward:
    """Hosts that beat by the clock, heard by a stethoscope whose alarms are counted."""

    stethoscope: Stethoscope
    clock: ManualClock
    hosts: list[str]
    beats: dict[str, dict[str, object]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    alarms: list[Alarm] = field(default_factory=list)
    sequence: int = 0

    async def live(self, seconds: float) -> None:
        """Let time pass: every host beats every two seconds, silence is judged every second."""
        for second in range(round(seconds)):
            self.clock.advance(1)
            if second % 2 == 0:
                await self.beat()
            self.judge()

    async def beat(self) -> None:
        self.sequence += 1
        batch = [
            make_beat(host, sequence=self.sequence, at=self.clock.now(), **self.beats.get(host, {}))
            for host in self.hosts
            if host not in self.silent
        ]
        await self.stethoscope.operate_batch(batch)

    def judge(self) -> None:
        self.stethoscope.review()
        self.alarms += self.stethoscope._alarms.values()
        self.stethoscope._alarms.clear()

    @property
    def opened(self) -> list[tuple[str, str]]:
        return [(alarm.host, alarm.rule) for alarm in self.alarms if alarm.closed_at is None]

    @property
    def closed(self) -> list[tuple[str, str]]:
        return [(alarm.host, alarm.rule) for alarm in self.alarms if alarm.closed_at is not None]


@pytest.fixture
def ward(ears: Ears, clock: ManualClock) -> Ward:
    stethoscope = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    return Ward(stethoscope, clock, ["alpha", "beta", "gamma"])


async def test_lost_host_is_one_alarm_that_closes(ward: Ward) -> None:
    """Silence opens one alarm within seconds of its limit, and the first beat closes it."""
    await ward.live(60)
    ward.silent = {"beta"}
    await ward.live(18)
    assert ward.opened == [("beta", "lost")]
    await ward.live(600)
    assert ward.opened == [("beta", "lost")]
    ward.silent = set()
    await ward.live(60)
    assert ward.closed == [("beta", "lost")]
    assert ward.alarms[-1].peak == pytest.approx(618, abs=5)


async def test_goodbye_is_no_alarm(ward: Ward) -> None:
    """A host that stops on purpose is drained; what was open for it ends."""
    ward.beats["beta"] = {"disks": [Disk(mount="/", total=100, used=99)]}
    await ward.live(30)
    assert ward.opened == [("beta", "disk:/")]
    ward.beats["beta"] = {"draining": True}
    await ward.live(4)
    ward.silent = {"beta"}
    await ward.live(3600)
    assert ward.opened == [("beta", "disk:/")]
    assert ward.closed == [("beta", "disk:/")]
    assert ward.stethoscope.fleet.hosts["beta"].state == "drained"


async def test_our_own_pause_is_nobody_elses(ward: Ward) -> None:
    """Stopped for a minute in the midst of everything, the stethoscope blames nobody."""
    await ward.live(60)
    for _ in range(5):
        ward.clock.advance(60)
        ward.judge()
        await ward.live(30)
    assert ward.alarms == []


async def test_many_silent_at_once_are_one_alarm(ward: Ward) -> None:
    """When most hosts fall silent together the cause is between us: one alarm that names them, and one end."""
    ward.hosts = [f"h{number:03}" for number in range(40)]
    await ward.live(60)
    ward.silent = set(ward.hosts[:30])
    await ward.live(300)
    assert ward.opened == [("", "fleet")]
    assert all(name in ward.alarms[0].text for name in ward.silent)
    ward.silent = set()
    await ward.live(60)
    assert ward.closed == [("", "fleet")]
    assert len(ward.alarms) == 2


async def test_those_that_stay_away_get_their_own_alarm(ward: Ward) -> None:
    """When the others are back for a whole window, hosts still silent are lost by themselves."""
    ward.hosts = [f"h{number}" for number in range(10)]
    await ward.live(60)
    ward.silent = set(ward.hosts)
    await ward.live(60)
    ward.silent = {"h3"}
    await ward.live(60)
    assert ward.opened == [("", "fleet"), ("h3", "lost")]
    assert ward.closed == [("", "fleet")]


async def test_hosts_that_come_back_one_by_one_stay_one_alarm(ward: Ward) -> None:
    """Those that are a few seconds later than the others are still part of the one silence."""
    ward.hosts = [f"h{number}" for number in range(10)]
    await ward.live(60)
    ward.silent = set(ward.hosts)
    await ward.live(60)
    for host in ward.hosts:
        ward.silent.discard(host)
        await ward.live(2)
    await ward.live(60)
    assert ward.opened == [("", "fleet")]
    assert ward.closed == [("", "fleet")]


async def test_short_silence_of_all_is_no_alarm(ward: Ward) -> None:
    """Everybody late and nobody lost: nothing is said."""
    ward.hosts = [f"h{number}" for number in range(10)]
    await ward.live(60)
    ward.silent = set(ward.hosts)
    await ward.live(12)
    ward.silent = set()
    await ward.live(60)
    assert ward.alarms == []


async def test_backlog_is_nobodys_silence(ears: Ears, clock: ManualClock) -> None:
    """While more beats wait than were taken in, time does not count: what we have not read was not silence."""
    settings = StethoscopeSettings(batch=3)
    stethoscope = Stethoscope(ears.broker, ears.store, settings, clock)
    hosts = ["alpha", "beta", "gamma"]
    for sequence in range(1, 30):
        clock.advance(1.9)
        name = hosts[sequence % 2]
        batch = [make_beat(name, sequence=sequence * 3 + n, at=clock.now()) for n in range(3)]
        if sequence == 1:
            batch = [make_beat(host, at=clock.now()) for host in hosts]
        await stethoscope.operate_batch(batch)
        assert stethoscope.fleet.review(stethoscope._attention.seconds) == []


async def test_few_hosts_are_alarmed_one_by_one(ward: Ward) -> None:
    """Three hosts are no fleet: each that is lost says so."""
    await ward.live(60)
    ward.silent = {"alpha", "beta"}
    await ward.live(60)
    assert sorted(ward.opened) == [("alpha", "lost"), ("beta", "lost")]


async def test_load_alarms(ward: Ward) -> None:
    """Processor, memory, each disk and its inodes: one alarm each with its level, and each closes."""
    ward.beats["alpha"] = {
        "cpu": 0.97,
        "memory_available": GIB // 2 + 1,
        "disks": [
            Disk(mount="/", total=100, used=91),
            Disk(mount="/var", total=100, used=20, inodes_used=0.97),
        ],
    }
    await ward.live(400)
    levels = {alarm.rule: alarm.level for alarm in ward.alarms}
    assert levels == {
        "cpu": "warning",
        "memory": "warning",
        "disk:/": "warning",
        "inodes:/var": "critical",
    }
    assert len(ward.alarms) == 4
    ward.beats.clear()
    await ward.live(1000)
    assert sorted(ward.closed) == sorted(ward.opened)


async def test_memory_that_is_almost_gone_is_critical(ward: Ward) -> None:
    """Under five percent available for a minute is critical before the warning's time is over."""
    ward.beats["alpha"] = {"memory_available": GIB // 10}
    await ward.live(90)
    assert [(alarm.rule, alarm.level) for alarm in ward.alarms] == [("memory", "critical")]


async def test_missing_figure_is_an_alarm_and_never_a_relief(ward: Ward) -> None:
    """A figure that vanishes keeps its alarm open and becomes one of its own."""
    ward.beats["alpha"] = {"disks": [Disk(mount="/", total=100, used=99)]}
    await ward.live(60)
    ward.beats["alpha"] = {"disks": [], "missing": ["disk:/"]}
    await ward.live(3600)
    assert ward.opened == [("alpha", "disk:/"), ("alpha", "missing")]
    assert ward.closed == []
    ward.beats.clear()
    await ward.live(600)
    assert sorted(ward.closed) == [("alpha", "disk:/"), ("alpha", "missing")]


async def test_unmounted_disk_closes_its_alarm(ward: Ward) -> None:
    """A disk that is not mounted any more is not full any more."""
    full = Disk(mount="/mnt", total=100, used=99)
    root = Disk(mount="/", total=100, used=1)
    ward.beats["alpha"] = {"disks": [full, root]}
    await ward.live(60)
    ward.beats["alpha"] = {"disks": [root]}
    await ward.live(400)
    assert ward.closed == [("alpha", "disk:/mnt")]


async def test_lost_host_has_no_load_alarms(ward: Ward) -> None:
    """While a host is lost its load is not judged: what was on its way starts afresh when it comes back."""
    ward.beats["alpha"] = {"memory_available": GIB - 1}
    await ward.live(170)
    ward.silent = {"alpha"}
    await ward.live(120)
    ward.silent = set()
    await ward.live(100)
    assert ward.opened == [("alpha", "lost")]


async def test_wrong_clock_is_an_alarm(ward: Ward) -> None:
    """A host whose clock is off for long says so; a batch of old beats after a jam does not."""
    await ward.live(10)
    old = [make_beat("beta", sequence=1000 + n, at=START - timedelta(hours=1)) for n in range(50)]
    await ward.stethoscope.operate_batch(old)
    ward.sequence = 2000
    await ward.live(60)
    assert ward.alarms == []
    for _ in range(30):
        ward.clock.advance(2)
        ward.sequence += 1
        at = ward.clock.now() + timedelta(seconds=9)
        await ward.stethoscope.operate_batch([make_beat("beta", sequence=ward.sequence, at=at)])
        ward.judge()
    assert ("beta", "clock") in ward.opened


async def test_host_days_without_false_alarms(ears: Ears, clock: ManualClock) -> None:
    """Host-days of beats with jitter, one in twenty late, pauses up to ten seconds, loads that jump: no alarm."""
    stethoscope = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    dice = random.Random(7)
    hosts = [f"h{number:02}" for number in range(25)]
    due = {host: dice.uniform(0, 2) for host in hosts}
    sequence = dict.fromkeys(hosts, 0)
    judged = 0
    for second in range(3600 * 2):
        clock.advance(1)
        batch = []
        for host in hosts:
            if due[host] > second:
                continue
            sequence[host] += 1
            cpu = min(1.0, dice.gauss(0.6, 0.3))
            batch.append(
                make_beat(host, sequence=sequence[host], at=clock.now(), cpu=max(0.0, cpu))
            )
            due[host] = second + 2 * dice.uniform(0.8, 1.2)
            chance = dice.random()
            if chance < 0.05:
                due[host] += dice.uniform(0, 4)
            elif chance < 0.055:
                due[host] += 10
        if batch:
            await stethoscope.operate_batch(batch)
        if dice.random() < 0.001:
            clock.advance(dice.uniform(1, 90))  # we ourselves were stopped
        stethoscope.review()
        judged += len(batch)
    assert stethoscope._alarms == {}
    assert judged > 50_000


async def run_stethoscope(stethoscope: Stethoscope) -> "asyncio.Task[None]":
    return asyncio.create_task(stethoscope.run())


async def publish(ears: Ears, *messages: Heartbeat | ProgressReport) -> None:
    items = [Outgoing(HEARTBEATS, Message(codec.encode(message))) for message in messages]
    await ears.broker.publish(items)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_beats_become_hosts_samples_leases_and_events(ears: Ears, clock: ManualClock) -> None:
    """One beat through the broker: the host is stored with a sample, its claims are renewed, streams are told."""
    job = job_in(JobState.RUNNING)
    await ears.store.insert_jobs([job])
    told: list[tuple[str, str, str]] = []

    def hear(message: Message) -> None:
        changes = codec.decode(message.body, Changes)
        told.extend((change.topic, change.id, change.state) for change in changes.items)

    await ears.broker.subscribe(EVENTS, hear)
    clock.advance(8)
    task = await run_stethoscope(Stethoscope(ears.broker, ears.store, SETTINGS, clock))
    report = ProgressReport(
        host="h1", worker="w1", items=[Progress(job.id, 1, float("nan"), "50 \x1b[31m")]
    )
    beat = make_beat("h1", worker="w1", at=clock.now(), held=[(job.id, 1)], cpu=7.0, running=1)
    await publish(ears, report, beat)

    async def is_told() -> bool:
        return ("jobs", job.id, "running") in told

    await wait_until(is_told)
    (host,) = await ears.store.hosts()
    assert (host.name, host.state, host.beat.cpu, host.workers) == ("h1", "up", 1.0, 1)
    assert host.last_beat == clock.now()
    (sample,) = await ears.store.samples("h1", START)
    assert (sample.cpu, sample.running) == (1.0, 1)
    assert sample.memory == pytest.approx(0.2)
    stored = await ears.store.get_job(job.id)
    assert stored is not None
    assert stored.lease_until == clock.now() + timedelta(seconds=10)
    assert (stored.progress, stored.progress_text) == (0.0, "50 \\x1b[31m")
    assert ("hosts", "h1", "up") in told
    await stop(task)


async def test_alarm_is_stored_told_and_taken_up_after_a_restart(
    ears: Ears, clock: ManualClock
) -> None:
    """An alarm open in the store is known after a restart: it is not opened again, and it closes under its id."""
    full = [Disk(mount="/", total=100, used=99)]
    task = await run_stethoscope(Stethoscope(ears.broker, ears.store, SETTINGS, clock))
    await publish(ears, make_beat(at=clock.now(), disks=full))

    async def is_open() -> bool:
        return len(await ears.store.alarms(open_only=True)) == 1

    await wait_until(is_open)
    (before,) = await ears.store.alarms()
    assert (before.host, before.rule, before.level) == ("alpha", "disk:/", "critical")
    await wait_until(lambda: _alarms_of(ears, 1))
    await stop(task)

    second = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    await second.restore()
    assert second.book.count("alpha") == 1
    for sequence in range(2, 200):
        clock.advance(2)
        await second.operate_batch([make_beat(sequence=sequence, at=clock.now())])
    await second.flush()
    (after,) = await ears.store.alarms()
    assert after.id == before.id
    assert after.closed_at is not None
    (host,) = await ears.store.hosts()
    assert host.alarms == 0


async def _alarms_of(ears: Ears, count: int) -> bool:
    return [host.alarms for host in await ears.store.hosts()] == [count]


async def test_restart_keeps_everybody_for_a_whole_window(ears: Ears, clock: ManualClock) -> None:
    """Started again after an hour, it says nothing of a host until a window has passed in which it listened."""
    first = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    await first.operate_batch([make_beat(at=clock.now())])
    await first.flush()
    clock.advance(3600)
    second = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    await second.restore()
    for _ in range(15):
        clock.advance(1)
        second.review()
        assert second.book.count("alpha") == 0
    for _ in range(3):
        clock.advance(1)
        second.review()
    assert second.book.alarm("alpha", "lost") is not None


async def test_store_outage_loses_no_change(
    ears: Ears, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is written when the store is back; hearing goes on meanwhile."""
    told: list[float] = []
    stethoscope = Stethoscope(
        ears.broker,
        ears.store,
        SETTINGS,
        clock,
        on_unwritten=lambda: told.append(clock.monotonic()),
    )

    async def fail(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(ears.store, "save_hosts", fail)
        for sequence in range(1, 4):
            clock.advance(2)
            full = [Disk(mount="/", total=100, used=99)]
            await stethoscope.operate_batch(
                [make_beat(sequence=sequence, at=clock.now(), disks=full)]
            )
            await stethoscope.flush()
    assert await ears.store.hosts() == []
    await stethoscope.flush()
    (host,) = await ears.store.hosts()
    assert (host.beat.sequence, host.alarms) == (3, 1)
    assert told == [2, 4, 6]  # whoever judges leases knows that nothing was renewed
    assert len(await ears.store.alarms(open_only=True)) == 1
    with monkeypatch.context() as patch:
        patch.setattr(ears.store, "save_hosts", fail)
        patch.setattr(ears.store, "save_alarm", fail)
        await stethoscope.flush()  # nothing is written twice: there is nothing left to fail at
        assert not stethoscope._store_failed


async def test_reboot_and_return_are_in_the_log(ears: Ears, clock: ManualClock) -> None:
    """A reboot, a loss and a return leave a line in the host's log."""
    records: list[str] = []
    stethoscope = Stethoscope(ears.broker, ears.store, SETTINGS, clock)
    ward = Ward(stethoscope, clock, ["alpha"])

    def take(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            batch = codec.decode(delivery.message.body, LogBatch)
            records.extend(record.text for record in batch.records)

    await ears.broker.consume(LOGS, take, prefetch=100)
    await ward.live(10)
    ward.beats["alpha"] = {"boot_id": "another", "worker": "alpha-2", "uptime_seconds": 9.0}
    await ward.live(10)
    ward.silent = {"alpha"}
    await ward.live(30)
    ward.silent = set()
    await ward.live(4)
    await stethoscope.flush()
    await wait_until(lambda: len(records) == 3)
    assert records == [
        "host was started anew 9 s ago",
        "host is silent; it was late",
        "host is back",
    ]


async def test_clear_line_must_be_below_fire_line(ears: Ears, clock: ManualClock) -> None:
    """A setting that could never clear is refused with its key."""
    settings = StethoscopeSettings(cpu_fire=0.5, cpu_clear=0.6)
    with pytest.raises(ConfigError, match="cpu_clear"):
        Stethoscope(ears.broker, ears.store, settings, clock)
