"""Which alarms the state of the fleet calls for. Pure: no clock, no I/O."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from dts_core.daemons.alarms import CRITICAL, Book, Reading, Rule
from dts_core.daemons.fleet import Fleet, HostState, Patient
from dts_core.daemons.vitals import disk_used, memory_used
from dts_core.errors import ConfigError
from dts_core.model import Alarm, Heartbeat
from dts_core.settings import StethoscopeSettings

FLEET: Final = "fleet"
"""Rule name of the alarm that stands for many silent hosts at once; its host is empty."""
LOST: Final = "lost"
FLEET_SHARE: Final = 0.5
FLEET_HOSTS: Final = 4
"""Silence of this share of at least so many hosts has one cause, and it is not theirs."""
STEP_MAX_SECONDS: Final = 30.0
ESSENTIAL: Final = ("cpu", "memory", "disk")
_TEXT_MAX = 2_000

CLOCK_RULE: Final = Rule(fire=5.0, clear=2.5, fire_seconds=30, clear_seconds=30)
"""Seconds between the host's clock and ours. A beat that waited in a queue looks skewed, but not for so long."""
MISSING_RULE: Final = Rule(fire=1.0, clear=0.5, fire_seconds=120, clear_seconds=60)


class Diagnosis:
    """Turns heartbeats and silence into alarms; returns what changed, to be saved and told.

    Raises:
        ConfigError: A clear line is not below its fire line.
    """

    def __init__(self, settings: StethoscopeSettings, fleet: Fleet, book: Book) -> None:
        self._fleet = fleet
        self._book = book
        self._window = settings.lost_seconds
        self._few_since: float | None = None
        self._cpu = _rule(settings, "cpu", mean=True)
        self._memory = _rule(settings, "memory", critical_seconds=60)
        self._disk = _rule(settings, "disk")

    def examine(
        self, patient: Patient, beat: Heartbeat, seconds: float, at: datetime
    ) -> list[Alarm]:
        """Judge the figures of a heartbeat that was just heard, and end the alarm of its silence."""
        changed = self._welcome(patient, seconds, at)
        if patient.state is HostState.DRAINED:
            return changed + self._leave(patient, at)
        step_max = max(STEP_MAX_SECONDS, 3 * beat.interval_seconds)
        for name, rule, value, text in self._values(patient.name, beat, at):
            reading = Reading(patient.name, name, rule, value, text, step_max)
            alarm = self._book.observe(reading, seconds, at)
            if alarm is not None:
                changed.append(alarm)
        return changed

    def judge_silence(self, seconds: float, at: datetime) -> list[Alarm]:
        """After `Fleet.review`: one alarm for each lost host, or one for all where most are silent at once."""
        changed = []
        for patient in self._fleet.hosts.values():
            if patient.state is HostState.DRAINED:
                changed += self._leave(patient, at)
        silent = self._newly_silent()
        awake = sum(1 for p in self._fleet.hosts.values() if p.state is HostState.UP)
        share = len(silent) / (len(silent) + awake) if silent else 0.0
        is_fleet = share >= FLEET_SHARE and len(silent) + awake >= FLEET_HOSTS
        lost = [patient for patient in silent if patient.state is HostState.LOST]
        if self._book.alarm("", FLEET) is not None:
            return changed + self._end_fleet(is_fleet, silent, seconds, at)
        if lost and is_fleet:
            alarm = self._open_fleet(silent, share, at)
            return changed if alarm is None else [*changed, alarm]
        for patient in lost:
            changed += self._miss(patient, seconds, at)
        return changed

    def _newly_silent(self) -> list[Patient]:
        """Late and lost hosts that have no alarm of their own yet."""
        return [
            patient
            for patient in self._fleet.hosts.values()
            if patient.state in (HostState.LATE, HostState.LOST)
            and self._book.alarm(patient.name, LOST) is None
        ]

    def _open_fleet(self, silent: list[Patient], share: float, at: datetime) -> Alarm | None:
        self._few_since = None
        names = ", ".join(sorted(patient.name for patient in silent))
        text = f"{len(silent)} hosts fell silent at once: {names}"
        if len(text) > _TEXT_MAX:
            text = f"{text[:_TEXT_MAX]}…"
        return self._book.open("", FLEET, level=CRITICAL, text=text, value=share, at=at)

    def _end_fleet(
        self, is_fleet: bool, silent: list[Patient], seconds: float, at: datetime
    ) -> list[Alarm]:
        """Close when nobody is silent, or only few have been for a whole window: those get alarms of their own."""
        if is_fleet:
            self._few_since = None
            return []
        if self._few_since is None:
            self._few_since = seconds
        if silent and seconds - self._few_since <= self._window:
            return []
        alarm = self._book.close("", FLEET, at)
        changed = [] if alarm is None else [alarm]
        for patient in silent:
            if patient.state is HostState.LOST:
                changed += self._miss(patient, seconds, at)
        return changed

    def _miss(self, patient: Patient, seconds: float, at: datetime) -> list[Alarm]:
        silence = (at - patient.last_beat).total_seconds()
        self._book.forget(patient.name)
        alarm = self._book.open(
            patient.name,
            LOST,
            level=CRITICAL,
            text=f"no heartbeat for {silence:.0f} s",
            value=self._fleet.silence(patient, seconds),
            at=at,
        )
        return [] if alarm is None else [alarm]

    def _welcome(self, patient: Patient, seconds: float, at: datetime) -> list[Alarm]:
        lost = self._book.alarm(patient.name, LOST)
        if lost is None:
            return []
        away = max(0.0, (at - lost.opened_at).total_seconds()) + lost.value
        text = f"no heartbeat for {away:.0f} s, then it came back"
        closed = self._book.close(patient.name, LOST, at, text=text, peak=away)
        return [] if closed is None else [closed]

    def _leave(self, patient: Patient, at: datetime) -> list[Alarm]:
        """A host that stops on purpose is not watched: what is open ends, and nothing more opens."""
        self._book.forget(patient.name)
        closed = [
            self._book.close(patient.name, alarm.rule, at, text=f"{alarm.text}; then drained")
            for alarm in self._book.open_alarms(patient.name)
        ]
        return [alarm for alarm in closed if alarm is not None]

    def _values(
        self, host: str, beat: Heartbeat, at: datetime
    ) -> Iterator[tuple[str, Rule, float, str]]:
        """(rule name, rule, value, in words) of all that the beat tells."""
        if "cpu" not in beat.missing:
            yield "cpu", self._cpu, beat.cpu, f"processor {beat.cpu:.0%} busy"
        if "memory" not in beat.missing and beat.memory_total:
            used = memory_used(beat)
            yield "memory", self._memory, used, f"memory {used:.0%} used"
        yield from self._disk_values(host, beat)
        skew = (beat.at - at).total_seconds()
        side = "ahead" if skew > 0 else "behind"
        yield "clock", CLOCK_RULE, abs(skew), f"clock {abs(skew):.0f} s {side}"
        gone = [figure for figure in beat.missing if figure.startswith(ESSENTIAL)]
        text = f"cannot be measured: {', '.join(gone)}"[:_TEXT_MAX]
        yield "missing", MISSING_RULE, float(bool(gone)), text

    def _disk_values(self, host: str, beat: Heartbeat) -> Iterator[tuple[str, Rule, float, str]]:
        seen = set()
        for disk in beat.disks:
            used = disk_used(disk)
            seen |= {f"disk:{disk.mount}", f"inodes:{disk.mount}"}
            yield f"disk:{disk.mount}", self._disk, used, f"{disk.mount} {used:.0%} full"
            inodes = disk.inodes_used
            text = f"{disk.mount} has used {inodes:.0%} of its inodes"
            yield f"inodes:{disk.mount}", self._disk, inodes, text
        if not beat.disks or "disks" in beat.missing:
            return
        for name in self._book.names(host) - seen:
            kind, _, mount = name.partition(":")
            if kind not in ("disk", "inodes") or f"disk:{mount}" in beat.missing:
                continue
            if self._book.alarm(host, name) is None:
                self._book.drop(host, name)
            else:
                yield name, self._disk, 0.0, f"{mount} is not mounted any more"


def _rule(
    settings: StethoscopeSettings, name: str, *, critical_seconds: float = 0.0, mean: bool = False
) -> Rule:
    fire: float = getattr(settings, f"{name}_fire")
    clear: float = getattr(settings, f"{name}_clear")
    if clear >= fire:
        raise ConfigError(
            f"{clear} is not below {name}_fire, which is {fire}.",
            key=f"consumer.stethoscope.{name}_clear",
            advice="An alarm closes below a line that is lower than the one it opens at.",
        )
    return Rule(
        fire=fire,
        clear=clear,
        fire_seconds=getattr(settings, f"{name}_seconds"),
        clear_seconds=settings.clear_seconds,
        # Halfway from the line to full; a processor may well be busy.
        critical=float("inf") if mean else (1 + fire) / 2,
        critical_seconds=critical_seconds,
        mean=mean,
    )
