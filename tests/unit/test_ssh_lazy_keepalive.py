"""The timer of keep-alives: traffic moves it without a new timer, silence lets it ask."""

import asyncio
from collections.abc import Callable

import pytest

from dts_core.ssh.quiet import with_lazy_keepalive

INTERVAL = 60.0


class Clock:
    """A loop whose time is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self.made += 1
        self.timers.append((self.now + seconds, function))

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


class Connection:
    """What asyncssh has of one: a timer that is made anew when something comes, and that asks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[float] = []
        self._keepalive_timer: object = None

    def _reset_keepalive_timer(self) -> None:
        self.clock.timers.clear()
        self.clock.call_later(INTERVAL, self._keepalive_timer_callback)

    def _keepalive_timer_callback(self) -> None:
        self.asked.append(self.clock.now)
        self.clock.call_later(INTERVAL, self._keepalive_timer_callback)

    def hear(self) -> None:
        self._reset_keepalive_timer()


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def test_silence_is_asked_after_each_interval(clock: Clock) -> None:
    """As asyncssh does by itself."""
    connection = Connection(clock)
    with_lazy_keepalive(connection, INTERVAL)
    began = clock.now
    clock.pass_by(3 * INTERVAL + 1)
    assert [at - began for at in connection.asked] == [60, 120, 180]


def test_whoever_talks_is_asked_nothing_and_costs_no_timers(clock: Clock) -> None:
    """A thousand packets within ten intervals: about a timer for each interval, and the question comes at its time."""
    connection = Connection(clock)
    with_lazy_keepalive(connection, INTERVAL)
    for _ in range(1000):
        clock.pass_by(INTERVAL / 100)
        connection.hear()
    assert connection.asked == []
    assert clock.made <= 12
    silent_from = clock.now
    clock.pass_by(INTERVAL + 1)
    assert [at - silent_from for at in connection.asked] == [pytest.approx(INTERVAL)]


def test_another_asyncssh_is_left_as_it_is(clock: Clock) -> None:
    """One without the functions that are replaced: no timer of ours."""
    connection = object()
    with_lazy_keepalive(connection, INTERVAL)
    assert clock.made == 0
