"""When a value becomes an alarm and when it stops being one. Pure: no clock, no I/O, no task.

Time is handed in as seconds of attention: time in which the caller really watched. What nobody measured is neither
high nor low: durations only add up between two readings that follow each other.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from dts_core.model import Alarm

ALARMS_MAX: Final = 100
"""Open alarms of one host: one that invents mounts cannot fill the store."""
BUCKETS: Final = 30
"""A mean is kept in this many parts of its window."""
WARNING: Final = "warning"
CRITICAL: Final = "critical"
NEVER: Final = float("inf")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. A value at or above `fire` for `fire_seconds` opens; one below `clear` for `clear_seconds` closes.

    A value between the two lines changes nothing, so swinging around either line never opens and closes in turns.
    """

    fire: float
    clear: float
    """Below `fire`."""
    fire_seconds: float
    clear_seconds: float
    level: str = WARNING
    critical: float = NEVER
    """At or above for `critical_seconds`: critical at once, also when no warning came before."""
    critical_seconds: float = 0.0
    mean: bool = False
    """Judge the mean over `fire_seconds` (to clear: over a tenth of `clear_seconds`), for values that jump."""


class Reading(msgspec.Struct, frozen=True):
    """One value of one host under one rule name; `text` says it in words."""

    host: str
    name: str
    rule: Rule
    value: float
    text: str
    step_max_seconds: float = 30.0
    """Longest stretch since the reading before that still counts as watched."""


class Book:
    """The open alarms, and what is on its way to becoming one: exactly one alarm a (host, rule name)."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._open: dict[str, dict[str, Alarm]] = {}
        self._watches: dict[str, dict[str, _Watch]] = {}

    def restore(self, alarms: Iterable[Alarm]) -> None:
        """Take over alarms that are open in the store, in place of what is open here under the same name."""
        for alarm in alarms:
            if alarm.closed_at is None:
                self._keep(alarm)

    def alarm(self, host: str, name: str) -> Alarm | None:
        """The open alarm, or None."""
        return self._open.get(host, {}).get(name)

    def open_alarms(self, host: str | None = None) -> list[Alarm]:
        """All that are open, of one host or of all."""
        if host is not None:
            return list(self._open.get(host, {}).values())
        return [alarm for alarms in self._open.values() for alarm in alarms.values()]

    def count(self, host: str) -> int:
        """How many are open for the host."""
        return len(self._open.get(host, ()))

    def names(self, host: str) -> set[str]:
        """Names of the rules that are watched or open for the host."""
        return set(self._open.get(host, ())) | set(self._watches.get(host, ()))

    def observe(self, reading: Reading, seconds: float, at: datetime) -> Alarm | None:
        """Judge one reading.

        Args:
            reading: The value, finite.
            seconds: When, in seconds of attention; never smaller than in the call before.
            at: When, as the alarm will say it.

        Returns:
            The alarm when it was opened, became critical, or was closed; None when nothing changed.
        """
        watches = self._watches.setdefault(reading.host, {})
        watch = watches.get(reading.name)
        if watch is None:
            watch = watches[reading.name] = _Watch(reading.rule)
        watch.see(reading.value, seconds, reading.step_max_seconds)
        alarm = self.alarm(reading.host, reading.name)
        if alarm is not None:
            return self._follow(alarm, reading, watch, at)
        level = watch.fires()
        if not level:
            return None
        return self.open(
            reading.host, reading.name, level=level, text=reading.text, value=reading.value, at=at
        )

    def open(
        self, host: str, name: str, *, level: str, text: str, value: float, at: datetime
    ) -> Alarm | None:
        """Open an alarm by decision of the caller; None when it is open already, or the host has ALARMS_MAX."""
        if self.alarm(host, name) is not None or self.count(host) >= ALARMS_MAX:
            return None
        return self._keep(
            Alarm(
                id=self._new_id(),
                host=host,
                rule=name,
                level=level,
                opened_at=at,
                value=value,
                peak=value,
                text=text,
            )
        )

    def close(
        self, host: str, name: str, at: datetime, *, text: str = "", peak: float = -NEVER
    ) -> Alarm | None:
        """Close an alarm by decision of the caller; None when none is open. Its rule starts afresh."""
        self.drop(host, name)
        alarms = self._open.get(host, {})
        alarm = alarms.pop(name, None)
        if alarm is None:
            return None
        if not alarms:
            del self._open[host]
        return replace(alarm, closed_at=at, text=text or alarm.text, peak=max(peak, alarm.peak))

    def drop(self, host: str, name: str) -> None:
        """Forget what a rule has seen so far; an open alarm stays."""
        self._watches.get(host, {}).pop(name, None)

    def forget(self, host: str) -> None:
        """Forget what all rules of a host have seen so far; its open alarms stay."""
        self._watches.pop(host, None)

    def _follow(
        self, alarm: Alarm, reading: Reading, watch: "_Watch", at: datetime
    ) -> Alarm | None:
        alarm = self._keep(replace(alarm, value=reading.value, peak=max(alarm.peak, reading.value)))
        if watch.clears():
            return self.close(alarm.host, alarm.rule, at)
        if watch.fires() == CRITICAL and alarm.level != CRITICAL:
            return self._keep(replace(alarm, level=CRITICAL, text=reading.text))
        return None

    def _keep(self, alarm: Alarm) -> Alarm:
        self._open.setdefault(alarm.host, {})[alarm.rule] = alarm
        return alarm


class _Watch:
    """What one rule has seen of one value."""

    __slots__ = ("_above", "_below", "_critical", "_last", "_mean", "_rule", "_seen")

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._mean = _Mean(rule.fire_seconds) if rule.mean else None
        self._last = 0.0
        self._seen = False
        # Seconds on that side of the line without a break; None: not there.
        self._above: float | None = None
        self._critical: float | None = None
        self._below: float | None = None

    def see(self, value: float, seconds: float, step_max: float) -> None:
        step = seconds - self._last if self._seen else 0.0
        if step > step_max:  # nobody looked: this stretch counts for nothing
            step = 0.0
        self._last, self._seen = seconds, True
        rule = self._rule
        smooth = value
        if self._mean is not None:
            self._mean.add(value, seconds, step)
            smooth = self._mean.recent(rule.clear_seconds / 10, value)
        self._above = _held(self._above, step, value >= rule.fire)
        self._critical = _held(self._critical, step, value >= rule.critical)
        self._below = _held(self._below, step, smooth < rule.clear)

    def fires(self) -> str:
        """The level that its values ask for now; empty for none."""
        rule = self._rule
        if self._critical is not None and self._critical >= rule.critical_seconds:
            return CRITICAL
        if self._mean is not None:
            return rule.level if self._mean.whole() >= rule.fire else ""
        return rule.level if self._above is not None and self._above >= rule.fire_seconds else ""

    def clears(self) -> bool:
        return self._below is not None and self._below >= self._rule.clear_seconds


def _held(so_far: float | None, step: float, holds: bool) -> float | None:
    if not holds:
        return None
    return 0.0 if so_far is None else so_far + step


class _Mean:
    """Mean by time over a sliding window, in BUCKETS parts."""

    __slots__ = ("_parts", "_width", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._width = window / BUCKETS
        # Of each part: its number, the sum of value * seconds, the seconds seen.
        self._parts: deque[list[float]] = deque(maxlen=BUCKETS + 1)

    def add(self, value: float, seconds: float, step: float) -> None:
        number = seconds // self._width
        if not self._parts or self._parts[-1][0] != number:
            self._parts.append([number, 0.0, 0.0])
        self._parts[-1][1] += value * step
        self._parts[-1][2] += step

    def whole(self) -> float:
        """Mean over the window; below every line while a tenth of it or more was not seen."""
        total, seen = self._last(BUCKETS + 1)
        return total / seen if seen > self._window * 0.9 else -NEVER

    def recent(self, seconds: float, otherwise: float) -> float:
        """Mean over the last parts, as many as `seconds` covers, at least one."""
        total, seen = self._last(max(1.0, seconds / self._width))
        return total / seen if seen else otherwise

    def _last(self, count: float) -> tuple[float, float]:
        newest = self._parts[-1][0]
        parts = [part for part in self._parts if part[0] > newest - count]
        return sum(part[1] for part in parts), sum(part[2] for part in parts)
