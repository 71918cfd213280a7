"""The rule engine: what opens an alarm, what closes it, and that there is exactly one."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_core.daemons.alarms import ALARMS_MAX, Book, Reading, Rule
from dts_core.model import Alarm
from dts_core.testing import START

PLAIN = Rule(fire=0.9, clear=0.8, fire_seconds=60, clear_seconds=120)
GRADED = Rule(
    fire=0.9, clear=0.8, fire_seconds=60, clear_seconds=120, critical=0.95, critical_seconds=10
)
MEAN = Rule(fire=0.9, clear=0.8, fire_seconds=300, clear_seconds=300, mean=True)


class Host:
    """One host under one rule, measured every two seconds."""

    def __init__(self, rule: Rule) -> None:
        ids = itertools.count(1)
        self.book = Book(lambda: f"a{next(ids)}")
        self.rule = rule
        self.seconds = 0.0
        self.changes: list[Alarm] = []

    def measure(self, value: float, seconds: float, *, step: float = 2.0) -> None:
        """The same value for so long."""
        for _ in range(round(seconds / step)):
            self.see(value, step=step)

    def see(self, value: float, *, step: float = 2.0) -> None:
        self.seconds += step
        reading = Reading("alpha", "cpu", self.rule, value, f"at {value}")
        at = START + timedelta(seconds=self.seconds)
        change = self.book.observe(reading, self.seconds, at)
        if change is not None:
            self.changes.append(change)

    def is_open(self) -> bool:
        return self.book.alarm("alpha", "cpu") is not None

    @property
    def opened(self) -> int:
        return len({change.id for change in self.changes})

    @property
    def closed(self) -> int:
        return sum(1 for change in self.changes if change.closed_at is not None)


def test_opens_after_its_duration_and_not_before() -> None:
    """A value on the line must stay for `fire_seconds`; then there is one alarm, not one a reading."""
    host = Host(PLAIN)
    host.measure(0.9, 60)
    assert not host.is_open()
    host.measure(0.9, 600)
    assert host.opened == 1
    assert host.changes[0].opened_at == START + timedelta(seconds=62)


def test_one_value_below_starts_the_duration_again() -> None:
    """Only an unbroken stretch counts."""
    host = Host(PLAIN)
    for _ in range(20):
        host.measure(1.0, 58)
        host.see(0.89)
    assert host.opened == 0


def test_closes_below_the_clear_line_only() -> None:
    """Between the lines nothing changes; below the clear line it closes after `clear_seconds`, with its peak."""
    host = Host(PLAIN)
    host.measure(0.97, 100)
    host.measure(0.85, 1000)
    assert host.is_open()
    host.measure(0.79, 120)
    assert host.is_open()
    host.measure(0.79, 4)
    assert not host.is_open()
    assert (host.opened, host.closed) == (1, 1)
    assert host.changes[-1].peak == 0.97
    assert host.changes[-1].id == host.changes[0].id


def test_unseen_time_is_neither_high_nor_low() -> None:
    """A gap between readings neither opens nor closes, however long it was."""
    host = Host(PLAIN)
    host.see(1.0)
    host.see(1.0, step=3600)
    assert not host.is_open()
    host.measure(1.0, 100)
    assert host.is_open()
    host.see(0.1)
    host.see(0.1, step=3600)
    assert host.is_open()


def test_becomes_critical_and_stays_one_alarm() -> None:
    """A warning that grows is raised to critical once and keeps its id; it closes as one."""
    host = Host(GRADED)
    host.measure(0.92, 100)
    host.measure(0.99, 100)
    assert [change.level for change in host.changes] == ["warning", "critical"]
    host.measure(0.92, 100)
    host.measure(0.1, 200)
    assert [change.level for change in host.changes] == ["warning", "critical", "critical"]
    assert (host.opened, host.closed) == (1, 1)


def test_critical_needs_no_warning_before() -> None:
    """A value beyond the critical line opens as critical after the shorter time."""
    host = Host(GRADED)
    host.measure(0.99, 14)
    assert [change.level for change in host.changes] == ["critical"]


def test_mean_opens_although_the_value_jumps() -> None:
    """A processor that is idle every tenth second of a busy stretch is busy."""
    host = Host(MEAN)
    for _ in range(60):
        host.measure(1.0, 18)
        host.see(0.5)
    assert host.opened == 1


def test_mean_is_quiet_about_short_bursts() -> None:
    """Full load for four minutes, then rest, again and again: never a mean above the line."""
    host = Host(MEAN)
    for _ in range(10):
        host.measure(1.0, 240)
        host.measure(0.1, 120)
    assert host.opened == 0


def test_mean_needs_a_whole_window() -> None:
    """The first minutes after the start are no window."""
    host = Host(MEAN)
    host.measure(1.0, 200)
    assert not host.is_open()


@pytest.mark.parametrize("rule", [PLAIN, GRADED, MEAN])
@pytest.mark.parametrize("line", [0.9, 0.8])
def test_swinging_around_a_line_for_an_hour(rule: Rule, line: float) -> None:
    """A value that swings two points around either line opens at most once and closes at most once."""
    host = Host(rule)
    host.measure(line, 600)
    for turn in range(900):
        host.see(line + 0.02 * (-1) ** turn)
        host.see(line + 0.02 * (-1) ** (turn // 20))
    host.measure(0.1, 600)
    assert host.opened <= 1
    assert host.closed == host.opened
    assert not host.is_open()


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(1, 40), st.sampled_from([2.0, 2.0, 10.0, 100.0])),
        max_size=30,
    ),
    st.sampled_from([PLAIN, GRADED, MEAN]),
)
@settings(max_examples=150, deadline=None)
def test_opens_and_closes_alternate(parts: list[tuple[float, int, float]], rule: Rule) -> None:
    """Whatever is measured: each alarm opens once and closes at most once, and the next one opens after that."""
    host = Host(rule)
    for value, count, step in parts:
        for _ in range(count):
            host.see(value, step=step)
    open_id = ""
    for change in host.changes:
        assert change.peak >= change.value or change.closed_at is not None
        if not open_id:
            assert change.closed_at is None
            open_id = change.id
        else:
            assert change.id == open_id
            open_id = "" if change.closed_at is not None else open_id
    assert host.is_open() == bool(open_id)


def test_restored_alarm_is_not_opened_again() -> None:
    """After a restart an alarm that is open in the store goes on, and closes under its own id."""
    before = Host(PLAIN)
    before.measure(1.0, 100)
    after = Host(PLAIN)
    after.book.restore(before.book.open_alarms())
    after.measure(1.0, 300)
    assert after.changes == []
    after.measure(0.1, 200)
    assert [change.id for change in after.changes] == [before.changes[0].id]
    assert after.changes[0].closed_at is not None


def test_alarms_of_one_host_are_bounded() -> None:
    """A host that invents mounts cannot open alarms without end."""
    book = Book(lambda: "id")
    for number in range(1000):
        book.open("evil", f"disk:/{number}", level="critical", text="", value=1, at=START)
    assert book.count("evil") == ALARMS_MAX
