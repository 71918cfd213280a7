"""Who is there: the hosts, by the heartbeats of their workers. Pure: no clock, no I/O.

Two times are handed in. `seconds` is attention: seconds in which we listened; silence is measured in it, so a pause of
our own makes nobody late. `at` is the wall clock, for what people read.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from dts_core.model import Heartbeat, Host

HOSTS_MAX: Final = 20_000
WORKERS_MAX: Final = 64
"""Workers of one host."""
LOST_BEATS: Final = 5
"""A worker with a long interval is lost only after this many of its beats."""
REBOOT_QUIET_SECONDS: Final = 60.0
"""Two hosts that share a name by mistake seem to reboot with every beat; it is said once in this time."""


class HostState(StrEnum):
    """How a host stands."""

    UP = "up"
    LATE = "late"
    LOST = "lost"
    DRAINED = "drained"  # it said that it stops, or takes nothing more and runs nothing


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long silence may last."""

    late_beats: float
    lost_seconds: float

    def late(self, interval: float) -> float:
        """Seconds of silence from which on a worker is late."""
        return min(self.late_beats * interval * 1.2, self.lost(interval))

    def lost(self, interval: float) -> float:
        """Seconds of silence from which on a worker is lost."""
        return max(self.lost_seconds, LOST_BEATS * interval)


class Worker(msgspec.Struct):
    """One worker as last heard."""

    beat: Heartbeat
    heard: float
    """Seconds of attention."""

    @property
    def is_drained(self) -> bool:
        """Whether its last word was that it takes nothing more and runs nothing."""
        return self.beat.draining and self.beat.running == 0


class Heard(StrEnum):
    """What became of a heartbeat."""

    TAKEN = "taken"
    STALE = "stale"  # older than one already heard
    REFUSED = "refused"  # no name, or over a bound
    REBOOTED = "rebooted"  # taken, and its machine was started anew


class Patient(msgspec.Struct, kw_only=True):
    """One host with its workers."""

    name: str
    state: HostState
    first_seen: datetime
    last_beat: datetime
    workers: dict[str, Worker]
    newest: str
    """Worker whose measures count."""
    silent_since: float = 0.0
    """Seconds of attention at which it was last heard."""
    rebooted: float | None = None
    is_restored: bool = False
    """Nothing was heard since we started, or since we hear again: time alone makes it no better."""

    def merged(self) -> Heartbeat:
        """The newest beat, with the work of all workers together; one that has said goodbye has no slots to offer."""
        newest = self.workers[self.newest].beat
        if len(self.workers) == 1:
            return newest
        beats = [worker.beat for worker in self.workers.values() if not worker.is_drained] or [
            newest
        ]
        counts: dict[tuple[int, str], int] = {}
        for beat in beats:
            for event, function, count in beat.counts:
                counts[event, function] = counts.get((event, function), 0) + count
        return replace(
            newest,
            slots=sum(beat.slots for beat in beats),
            running=sum(beat.running for beat in beats),
            draining=all(beat.draining for beat in beats),
            held=[claim for beat in beats for claim in beat.held],
            counts=[(event, function, count) for (event, function), count in counts.items()],
            functions={key: value for beat in beats for key, value in beat.functions.items()},
            queues=sorted({queue for beat in beats for queue in beat.queues}),
            readied=[each for worker in self.workers.values() for each in worker.beat.readied],
        )

    def host(self, alarms: int) -> Host:
        """As it is stored and shown."""
        return Host(
            name=self.name,
            state=self.state.value,
            first_seen=self.first_seen,
            last_beat=self.last_beat,
            beat=self.merged(),
            alarms=alarms,
            workers=len(self.workers),
            worker_names=sorted(self.workers),
        )


class Fleet:
    """All hosts, at most HOSTS_MAX."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.hosts: dict[str, Patient] = {}
        self.stale = 0
        self.refused = 0

    def restore(self, hosts: Iterable[Host], seconds: float) -> None:
        """Take over what was stored. Everybody has a whole window from `seconds` on to be heard."""
        known = sorted(hosts, key=lambda host: host.last_beat, reverse=True)[:HOSTS_MAX]
        for host in known:
            worker = Worker(host.beat, seconds)
            self.hosts[host.name] = Patient(
                name=host.name,
                state=HostState(host.state) if host.state in set(HostState) else HostState.LATE,
                first_seen=host.first_seen,
                last_beat=host.last_beat,
                workers={host.beat.worker: worker},
                newest=host.beat.worker,
                silent_since=seconds,
                is_restored=True,
            )

    def excuse(self, seconds: float) -> None:
        """Nobody could be heard until now: whoever is not lost yet has a whole window from `seconds` on to be heard."""
        for patient in self.hosts.values():
            if patient.state is HostState.LOST:
                continue
            for worker in patient.workers.values():
                worker.heard = seconds
            patient.silent_since = seconds
            patient.is_restored = True

    def hear(self, beat: Heartbeat, seconds: float, at: datetime) -> Heard:
        """Take in one cleaned heartbeat."""
        if not beat.host or not beat.worker:
            self.refused += 1
            return Heard.REFUSED
        patient = self.hosts.get(beat.host)
        if patient is None:
            return self._meet(beat, seconds, at)
        worker = patient.workers.get(beat.worker)
        if worker is not None and self._is_stale(worker, beat, seconds):
            self.stale += 1
            return Heard.STALE
        if worker is None and not self._make_room(patient):
            self.refused += 1
            return Heard.REFUSED
        rebooted = self._has_rebooted(patient, beat, seconds)
        if rebooted:
            patient.workers.clear()  # none of them outlived it
        patient.workers[beat.worker] = Worker(beat, seconds)
        patient.newest = beat.worker
        patient.last_beat = at
        patient.silent_since = seconds
        patient.is_restored = False
        patient.state = self._state(patient, seconds)
        return Heard.REBOOTED if rebooted else Heard.TAKEN

    def review(self, seconds: float) -> list[tuple[Patient, HostState]]:
        """Let time pass: the hosts whose state changed, each with the state before."""
        changed = []
        for patient in self.hosts.values():
            self._forget_silent_workers(patient, seconds)
            before, patient.state = patient.state, self._state(patient, seconds)
            if patient.state is not before:
                changed.append((patient, before))
        return changed

    def silence(self, patient: Patient, seconds: float) -> float:
        """Seconds of attention since it was heard."""
        return seconds - patient.silent_since

    def _meet(self, beat: Heartbeat, seconds: float, at: datetime) -> Heard:
        if len(self.hosts) >= HOSTS_MAX and not self._forget_a_host():
            self.refused += 1
            return Heard.REFUSED
        patient = Patient(
            name=beat.host,
            state=HostState.UP,
            first_seen=at,
            last_beat=at,
            workers={beat.worker: Worker(beat, seconds)},
            newest=beat.worker,
            silent_since=seconds,
        )
        patient.state = self._state(patient, seconds)
        self.hosts[beat.host] = patient
        return Heard.TAKEN

    def _is_stale(self, worker: Worker, beat: Heartbeat, seconds: float) -> bool:
        last = worker.beat
        if beat.boot_id != last.boot_id or beat.sequence > last.sequence:
            return False
        # A worker that counts anew under its old name is later by its own clock, or was silent for a while.
        silent = seconds - worker.heard > self._patience.late(last.interval_seconds)
        return not silent and beat.at <= last.at

    def _make_room(self, patient: Patient) -> bool:
        if len(patient.workers) < WORKERS_MAX:
            return True
        drained = next((key for key, worker in patient.workers.items() if worker.is_drained), None)
        if drained is None:
            return False
        del patient.workers[drained]
        return True

    def _has_rebooted(self, patient: Patient, beat: Heartbeat, seconds: float) -> bool:
        last = patient.workers[patient.newest].beat
        if not beat.boot_id or not last.boot_id or beat.boot_id == last.boot_id:
            return False
        if patient.rebooted is not None and seconds - patient.rebooted < REBOOT_QUIET_SECONDS:
            return False
        patient.rebooted = seconds
        return True

    def _forget_a_host(self) -> bool:
        """Make room for a new host: the one silent for longest goes, if there is one that is gone."""
        gone = [
            patient
            for patient in self.hosts.values()
            if patient.state in (HostState.LOST, HostState.DRAINED)
        ]
        if not gone:
            return False
        del self.hosts[min(gone, key=lambda patient: patient.silent_since).name]
        return True

    def _forget_silent_workers(self, patient: Patient, seconds: float) -> None:
        """A worker that is gone does not count while another one of its host is up."""
        if len(patient.workers) == 1:
            return
        workers = patient.workers.values()
        watched = [worker for worker in workers if not worker.is_drained]
        # A drained one that still beats is up as well: beside it, its dead predecessor must not speak for the host.
        is_up = any(self._worker_state(worker, seconds) is HostState.UP for worker in workers)
        for key, worker in list(patient.workers.items()):
            state = self._worker_state(worker, seconds)
            if worker.is_drained:
                gone = bool(watched) and state is not HostState.UP
            else:
                gone = is_up and state is HostState.LOST
            if gone:
                del patient.workers[key]
        if patient.newest not in patient.workers:
            patient.newest = max(patient.workers, key=lambda key: patient.workers[key].heard)

    def _worker_state(self, worker: Worker, seconds: float) -> HostState:
        """By its silence alone."""
        silence, interval = seconds - worker.heard, worker.beat.interval_seconds
        if silence <= self._patience.late(interval):
            return HostState.UP
        return HostState.LATE if silence <= self._patience.lost(interval) else HostState.LOST

    def _state(self, patient: Patient, seconds: float) -> HostState:
        """The best that any of its workers stands for; a drained one stands for nothing while others are known."""
        watched = [worker for worker in patient.workers.values() if not worker.is_drained]
        if not watched:
            return HostState.DRAINED
        state = min((self._worker_state(worker, seconds) for worker in watched), key=_WORSE.index)
        if patient.is_restored and patient.state in _WORSE:
            return max(state, patient.state, key=_WORSE.index)  # time alone makes nobody better
        return state


_WORSE = (HostState.UP, HostState.LATE, HostState.LOST)
