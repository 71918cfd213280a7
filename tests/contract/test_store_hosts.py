"""Hosts: their current state, a bounded history, alarms that are open once."""

from datetime import datetime, timedelta

from dts_core.model import Alarm, Disk, Heartbeat, Host, HostSample
from dts_core.stores.base import Store
from dts_core.testing import START

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def host(name: str, state: str = "up") -> Host:
    beat = Heartbeat(
        host=name,
        worker=f"{name}:1",
        boot_id="b",
        sequence=3,
        at=START,
        interval_seconds=2.0,
        disks=[Disk(mount="/", total=10, used=4)],
        held=[("job", 2)],
        counts=[(1, "sample/noop", 5)],
    )
    return Host(name=name, state=state, first_seen=START, last_beat=START, beat=beat)


def sample(at: datetime, cpu: float, running: int = 1) -> HostSample:
    return HostSample(at, cpu, 0.5, 0.25, running, 1.0, 10.0, 20.0)


def alarm(alarm_id: str, *, rule: str = "cpu", closed: datetime | None = None) -> Alarm:
    return Alarm(
        id=alarm_id, host="h1", rule=rule, level="warning", opened_at=START, closed_at=closed
    )


async def test_a_host_is_replaced_by_its_newest_state(store: Store) -> None:
    """One record a host, listed by name, complete."""
    await store.save_hosts([host("b"), host("a")])
    await store.save_hosts([host("a", "late")])
    assert await store.hosts() == [host("a", "late"), host("b")]


async def test_samples_come_back_by_time(store: Store) -> None:
    """From `since` on, the newest `limit`, oldest first; of that host only."""
    points = [sample(START + timedelta(seconds=2 * at), at / 10) for at in range(5)]
    await store.save_hosts([], [("h1", point) for point in points] + [("h2", points[0])])
    assert await store.samples("h1", START + timedelta(seconds=2)) == points[1:]
    assert await store.samples("h1", START, limit=2) == points[3:]
    assert await store.samples("h1", START, by_minute=True) == []
    assert await store.samples("nobody", START) == []


async def test_complete_minutes_are_rolled_up_once(store: Store) -> None:
    """A minute's mean is made when the minute is over, and again changes nothing."""
    points = [sample(START + timedelta(seconds=20 * at), at / 10, at) for at in range(7)]
    await store.save_hosts([], [("h1", point) for point in points])
    for _ in range(2):
        await store.roll_up(START + 2 * MINUTE, fine=DAY, coarse=30 * DAY)
        minutes = await store.samples("h1", START, by_minute=True)
        assert [(minute.at, minute.running) for minute in minutes] == [
            (START, 1),
            (START + MINUTE, 4),
        ]
        assert abs(minutes[0].cpu - 0.1) < 1e-9
        assert minutes[0].received == 10.0
    assert await store.samples("h1", START) == points


async def test_old_samples_are_dropped_by_grain(store: Store) -> None:
    """Fine ones after the fine time, minutes after the coarse one; for every host that has any."""
    await store.save_hosts([], [(name, sample(START, 0.5)) for name in ("h1", "h2", "h3")])
    await store.roll_up(START + 2 * MINUTE, fine=MINUTE, coarse=DAY)
    for name in ("h1", "h2", "h3"):
        assert await store.samples(name, START) == []
        assert len(await store.samples(name, START, by_minute=True)) == 1
    await store.roll_up(START + 2 * DAY, fine=MINUTE, coarse=DAY)
    assert await store.samples("h1", START, by_minute=True) == []


async def test_an_alarm_is_open_once_for_a_host_and_rule(store: Store) -> None:
    """A second incident of the same kind waits for the first one's end."""
    assert await store.save_alarm(alarm("1"))
    assert not await store.save_alarm(alarm("2"))
    assert await store.save_alarm(alarm("3", rule="memory"))
    assert {found.id for found in await store.alarms(open_only=True)} == {"1", "3"}
    assert await store.save_alarm(alarm("1", closed=START + MINUTE))
    assert await store.save_alarm(alarm("2"))
    listed = await store.alarms()
    assert listed[-1].id == "1"
    assert listed[-1].closed_at == START + MINUTE
    assert {found.id for found in await store.alarms(open_only=True)} == {"2", "3"}
    assert len(await store.alarms(limit=2)) == 2


async def test_an_open_alarm_is_changed_by_its_id(store: Store) -> None:
    """A later value of the same incident replaces the earlier one."""
    await store.save_alarm(alarm("1"))
    changed = Alarm(id="1", host="h1", rule="cpu", level="critical", opened_at=START, peak=0.99)
    assert await store.save_alarm(changed)
    assert await store.alarms() == [changed]
