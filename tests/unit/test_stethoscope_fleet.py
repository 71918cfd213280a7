"""Hosts by their heartbeats: who is up, late, lost, drained; in virtual time."""

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dts_core.daemons import fleet as fleet_module
from dts_core.daemons.attention import Attention
from dts_core.daemons.fleet import Fleet, Heard, HostState, Patience
from dts_core.daemons.vitals import clean_beat
from dts_core.model import Disk, Heartbeat, Host
from dts_core.testing import START
from dts_core.text import is_safe
from tests.support.beats import make_beat

PATIENCE = Patience(late_beats=3, lost_seconds=15)


def make_fleet() -> Fleet:
    return Fleet(PATIENCE)


def state(fleet: Fleet, seconds: float, host: str = "alpha") -> HostState:
    fleet.review(seconds)
    return fleet.hosts[host].state


def test_up_late_lost_and_back() -> None:
    """Three missed beats make late, the set silence makes lost, one beat makes up again."""
    fleet = make_fleet()
    fleet.hear(make_beat(), 0, START)
    assert state(fleet, 6) is HostState.UP
    assert state(fleet, 8) is HostState.LATE
    assert state(fleet, 15) is HostState.LATE
    assert state(fleet, 15.1) is HostState.LOST
    fleet.hear(make_beat(sequence=2), 100, START)
    assert state(fleet, 100) is HostState.UP


def test_review_tells_each_change_once() -> None:
    """What did not change is not told again."""
    fleet = make_fleet()
    fleet.hear(make_beat(), 0, START)
    changes = [(p.state, before) for at in range(60) for p, before in fleet.review(at)]
    assert changes == [
        (HostState.LATE, HostState.UP),
        (HostState.LOST, HostState.LATE),
    ]


def test_long_interval_has_longer_patience() -> None:
    """A worker that beats once a minute is not lost after fifteen seconds."""
    fleet = make_fleet()
    fleet.hear(make_beat(interval_seconds=60.0), 0, START)
    assert state(fleet, 200) is HostState.UP
    assert state(fleet, 290) is HostState.LATE
    assert state(fleet, 310) is HostState.LOST


def test_goodbye_is_not_a_loss() -> None:
    """A worker whose last word was that it stops is drained for ever, not lost."""
    fleet = make_fleet()
    fleet.hear(make_beat(), 0, START)
    fleet.hear(make_beat(sequence=2, draining=True), 2, START)
    assert state(fleet, 3) is HostState.DRAINED
    assert state(fleet, 10_000) is HostState.DRAINED


def test_draining_with_running_jobs_can_be_lost() -> None:
    """A worker that still runs jobs while it drains is watched to the end."""
    fleet = make_fleet()
    fleet.hear(make_beat(draining=True, running=1), 0, START)
    assert state(fleet, 20) is HostState.LOST


def test_second_worker_that_stops_leaves_the_host_up() -> None:
    """A host is up while one worker is; a drained one does not count, and is forgotten."""
    fleet = make_fleet()
    fleet.hear(make_beat(worker="a", slots=2, running=1), 0, START)
    fleet.hear(make_beat(worker="b", slots=4, running=3, held=[("j", 1)]), 0, START)
    merged = fleet.hosts["alpha"].host(0)
    assert (merged.workers, merged.beat.slots, merged.beat.running) == (2, 6, 4)
    assert merged.beat.held == [("j", 1)]
    fleet.hear(make_beat(worker="b", sequence=2, slots=4, draining=True), 1, START)
    assert fleet.hosts["alpha"].host(0).beat.slots == 2
    for at in range(2, 60, 2):
        fleet.hear(make_beat(worker="a", sequence=at), at, START)
        assert state(fleet, at) is HostState.UP
    assert set(fleet.hosts["alpha"].workers) == {"a"}


def test_worker_that_dies_after_another_said_goodbye_is_a_loss() -> None:
    """The goodbye of one worker does not excuse the silence of the other."""
    fleet = make_fleet()
    fleet.hear(make_beat(worker="a"), 0, START)
    fleet.hear(make_beat(worker="b", draining=True), 1, START)
    assert state(fleet, 30) is HostState.LOST


def test_a_drained_worker_that_lives_outlasts_its_dead_predecessor() -> None:
    """What was killed before a restart keeps a host that drains neither undrained nor lost."""
    fleet = make_fleet()
    fleet.hear(make_beat(worker="old"), 0, START)
    for at in range(1, 40):
        fleet.hear(make_beat(worker="new", sequence=at, draining=True), at, START)
        fleet.review(at)
    merged = fleet.hosts["alpha"].host(0)
    assert (merged.workers, merged.state, merged.beat.draining) == (1, "drained", True)


def test_killed_worker_that_was_replaced_is_forgotten() -> None:
    """A worker started after a crash stands for the host; the dead one leaves its figures after a while."""
    fleet = make_fleet()
    fleet.hear(make_beat(worker="old"), 0, START)
    for at in range(1, 40):
        fleet.hear(make_beat(worker="new", sequence=at), at, START)
        assert state(fleet, at) is HostState.UP
    assert fleet.hosts["alpha"].host(0).workers == 1


def test_beats_out_of_order_are_ignored() -> None:
    """An older beat that comes late changes nothing; a repeated one neither."""
    fleet = make_fleet()
    fleet.hear(make_beat(sequence=5, at=START + timedelta(seconds=10), running=5), 0, START)
    assert fleet.hear(make_beat(sequence=4, at=START, running=4), 1, START) is Heard.STALE
    assert fleet.hear(make_beat(sequence=5, at=START, running=4), 1, START) is Heard.STALE
    assert fleet.hosts["alpha"].merged().running == 5
    assert fleet.stale == 2


def test_worker_that_counts_anew_is_heard() -> None:
    """A restart under the same name begins at one again; it must not look out of order for ever."""
    fleet = make_fleet()
    fleet.hear(make_beat(sequence=500, at=START), 0, START)
    later = START + timedelta(seconds=3)
    assert fleet.hear(make_beat(sequence=1, at=later), 3, START) is Heard.TAKEN
    assert fleet.hear(make_beat(sequence=1, at=START), 60, START) is Heard.TAKEN


def test_reboot_is_told_once() -> None:
    """Another boot id is a reboot: workers of before are gone. Two hosts of one name do not tell it every beat."""
    fleet = make_fleet()
    fleet.hear(make_beat(worker="a", slots=8), 0, START)
    assert fleet.hear(make_beat(worker="b", boot_id="2"), 5, START) is Heard.REBOOTED
    assert fleet.hosts["alpha"].host(0).beat.slots == 2
    told = 0
    for at in range(6, 60):
        beat = make_beat(worker=f"w{at % 2}", boot_id=str(at % 2), sequence=at)
        told += fleet.hear(beat, at, START) is Heard.REBOOTED
    assert told == 0


def test_restored_hosts_have_a_whole_window() -> None:
    """After our own start nobody is lost before a whole window; one that was lost stays so until it is heard."""
    fleet = make_fleet()
    for name in ("alpha", "beta", "gamma"):
        fleet.hear(make_beat(name), 0, START)
    hosts = [patient.host(0) for patient in fleet.hosts.values()]
    lost = Fleet(PATIENCE)
    lost.restore([*hosts[:1], *[_with_state(host, "lost") for host in hosts[1:]]], 1000)
    lost.hear(make_beat("gamma", sequence=9), 1001, START)
    lost.review(1002)
    states = {name: patient.state for name, patient in lost.hosts.items()}
    assert states == {"alpha": HostState.UP, "beta": HostState.LOST, "gamma": HostState.UP}
    assert state(lost, 1015) is HostState.LATE
    assert state(lost, 1016) is HostState.LOST


def _with_state(host: Host, name: str) -> Host:
    return replace(host, state=name)


def test_number_of_hosts_and_workers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound new names are refused, unless a host that is gone can make room."""
    monkeypatch.setattr(fleet_module, "HOSTS_MAX", 3)
    monkeypatch.setattr(fleet_module, "WORKERS_MAX", 2)
    fleet = make_fleet()
    for name in "abcd":
        fleet.hear(make_beat(name), 0, START)
    assert set(fleet.hosts) == set("abc")
    for worker in ("a1", "a2", "a3"):
        fleet.hear(make_beat("a", worker=worker), 0, START)
    assert len(fleet.hosts["a"].workers) == 2
    assert fleet.refused == 3
    fleet.review(100)
    assert fleet.hear(make_beat("d"), 101, START) is Heard.TAKEN
    assert len(fleet.hosts) == 3


def test_our_own_pause_makes_nobody_late() -> None:
    """Attention moves on by little over a pause, and not at all while a backlog waits."""
    attention = Attention(0.0)
    assert attention.look(1.0) == 1.0
    assert attention.look(61.0) == 3.0
    assert attention.look(62.0, behind=True) == 4.0
    assert attention.look(63.0) == 4.0
    assert attention.look(64.0) == 5.0
    assert attention.look(60.0) == 5.0


HOSTILE = st.builds(
    Heartbeat,
    host=st.text(max_size=300),
    worker=st.text(max_size=300),
    boot_id=st.text(max_size=300),
    sequence=st.integers(-(1 << 63), (1 << 63) - 1),
    at=st.datetimes(),
    interval_seconds=st.floats(),
    system=st.text(max_size=300),
    cpu=st.floats(),
    cpu_cores=st.lists(st.floats(), max_size=5),
    load=st.tuples(st.floats(), st.floats(), st.floats()),
    memory_total=st.integers(-(1 << 63), (1 << 64) - 1),
    memory_available=st.integers(-(1 << 63), (1 << 64) - 1),
    swap_used=st.integers(),
    disks=st.lists(
        st.builds(
            Disk,
            mount=st.text(max_size=300),
            total=st.integers(),
            used=st.integers(),
            inodes_used=st.floats(),
        ),
        max_size=3,
    ),
    network_sent=st.floats(),
    uptime_seconds=st.floats(),
    loop_lag_seconds=st.floats(),
    slots=st.integers(),
    running=st.integers(),
    missing=st.lists(st.text(max_size=300), max_size=3),
)


@given(HOSTILE)
def test_hostile_heartbeat_becomes_harmless(beat: Heartbeat) -> None:
    """Whatever decodes: texts are printable, numbers finite and in bounds, instants aware."""
    safe = clean_beat(beat)
    for text in (safe.host, safe.worker, safe.boot_id, safe.system, *safe.missing):
        assert is_safe(text)
        assert len(text) <= 253 * 10
    for value in (safe.cpu, *safe.cpu_cores, *(disk.inodes_used for disk in safe.disks)):
        assert 0 <= value <= 1
    for value in (*safe.load, safe.network_sent, safe.uptime_seconds, safe.loop_lag_seconds):
        assert math.isfinite(value)
        assert value >= 0
    assert 0 <= safe.memory_available <= safe.memory_total <= 1 << 60
    assert all(0 <= disk.used <= disk.total for disk in safe.disks)
    assert 0.05 <= safe.interval_seconds <= 300
    assert safe.at - datetime.now(START.tzinfo) is not None
    fleet = make_fleet()
    fleet.hear(safe, 0, START)
    fleet.review(1)
