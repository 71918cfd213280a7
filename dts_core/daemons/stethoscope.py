"""Listens to heartbeats: who is there, how they are, and what is wrong with them.

Heartbeats change the state in memory at once; what changed is written in bulk a moment later, so a slow store delays
what people see, and never what we hear. Messages are acked before that: the next beat says it all again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from dts_core.brokers.base import EVENTS, HEARTBEATS, LOGS, Broker, Message, Outgoing
from dts_core.brokers.consumer import Consumer
from dts_core.clock import Clock
from dts_core.codec import encode
from dts_core.daemons.alarms import Book
from dts_core.daemons.attention import Attention
from dts_core.daemons.deafness import Deafness
from dts_core.daemons.diagnosis import Diagnosis
from dts_core.daemons.ear import Ear
from dts_core.daemons.fleet import Fleet, Heard, HostState, Patience, Patient
from dts_core.daemons.notifying import Notifier
from dts_core.daemons.vitals import clean_beat, finite, memory_used, share, worst_disk
from dts_core.deadline import answer_within
from dts_core.errors import DtsError, StoreUnavailable
from dts_core.model import (
    Alarm,
    Change,
    Changes,
    Heartbeat,
    HostSample,
    LogBatch,
    LogRecord,
    Progress,
    ProgressReport,
)
from dts_core.names import new_id
from dts_core.settings import StethoscopeSettings
from dts_core.stores.base import Store
from dts_core.text import clean

TICK_SECONDS: Final = 1.0
"""How often silence is judged."""
GATHER_SECONDS: Final = 0.1
"""How long changes gather before they are written as one."""
SAMPLE_SECONDS: Final = 1.0
"""Shortest time between two points of a host's history."""
PEAK_SECONDS: Final = 60.0
"""How often the peaks of open alarms are written."""
TELL_SECONDS: Final = 2.0
"""How long the next look at silence waits for what is told of the last."""
EVENTS_MAX: Final = 1_000
"""Entries of one message on `events`."""
ALARMS_MAX: Final = 10_000
ID_MAX: Final = 64
EPOCH_MAX: Final = (1 << 63) - 1
"""What a store holds."""
WARNING: Final = 30
log = logging.getLogger(__name__)


class Stethoscope(Consumer[Heartbeat | ProgressReport]):
    """Consumer of `heartbeats`.

    Args:
        on_unwritten: Called when what was heard, leases among it, could not be written.
        ear: Proves until when everybody was heard, to other processes and here; None: broker and judges of leases are
            in this process.
        notifier: Tells people of alarms; None: nobody is told.

    Raises:
        ConfigError: A clear line is not below its fire line.
    """

    name = "stethoscope"
    queue = HEARTBEATS
    message_class = Heartbeat | ProgressReport

    def __init__(
        self,
        broker: Broker,
        store: Store,
        settings: StethoscopeSettings,
        clock: Clock,
        *,
        on_unwritten: Callable[[], None] = lambda: None,
        ear: Ear | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        super().__init__(broker, prefetch=settings.prefetch, batch=settings.batch)
        self._store = store
        self._settings = settings
        self._clock = clock
        self._attention = Attention(clock.monotonic())
        patience = Patience(late_beats=settings.late_beats, lost_seconds=settings.lost_seconds)
        self.fleet = Fleet(patience)
        self.book = Book(new_id)
        self._diagnosis = Diagnosis(settings, self.fleet, self.book)
        self._deafness = None if ear is None else Deafness(ear, self.fleet, self.book)
        self._changed = asyncio.Event()
        self._dirty: dict[str, HostSample | None] = {}
        self._sampled: dict[str, float] = {}
        self._claims: set[tuple[str, int]] = set()
        self._progress: dict[str, Progress] = {}
        self._alarms: dict[str, Alarm] = {}
        self._notes: list[LogRecord] = []
        self._peaks: dict[str, float] = {}
        self._peaks_due = 0.0
        self._store_failed = False
        self._on_unwritten = on_unwritten
        self._ear = ear
        self._notifier = notifier

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.restore()
                break
            except StoreUnavailable as error:
                log.warning("hosts cannot be read, trying again: %s", error)
                await asyncio.sleep(TICK_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run(), name="stethoscope-listen")
            tasks.create_task(self._keep(), name="stethoscope-keep")
            if self._notifier is not None:
                tasks.create_task(self._keep_notifying(), name="stethoscope-notices")
            if self._ear is not None:
                self._ear.open()
                tasks.create_task(self._ear.run(), name="stethoscope-ear")

    async def restore(self) -> None:
        """Know what was known before: hosts (each with a whole window to be heard) and open alarms."""
        seconds = self._attention.look(self._clock.monotonic())
        self.fleet.restore(await self._store.hosts(), seconds)
        await self._restore_alarms()
        self._peaks = {alarm.id: alarm.peak for alarm in self.book.open_alarms()}

    async def operate_batch(self, messages: Sequence[Heartbeat | ProgressReport]) -> None:
        """Take in heartbeats and progress, in order; never waits."""
        monotonic, at = self._clock.monotonic(), self._clock.now()
        behind = len(messages) >= self.batch
        seconds = self._attention.look(monotonic, behind=behind, deaf=self._is_deaf(monotonic))
        for message in messages:
            if isinstance(message, Heartbeat):
                self._hear(clean_beat(message), seconds, at)
            elif self._ear is None or not self._ear.hears(message):
                self._note_progress(message)
        self._changed.set()

    def review(self) -> None:
        """Judge silence; called every tick."""
        monotonic, at = self._clock.monotonic(), self._clock.now()
        seconds = self._attention.look(monotonic, deaf=self._is_deaf(monotonic))
        if self._deafness is not None:
            for alarm in self._deafness.judge(seconds, at):
                self._keep_alarm(alarm)
        for patient, before in self.fleet.review(seconds):
            self._dirty.setdefault(patient.name, None)
            if patient.state is HostState.LOST:
                self._note(patient.name, f"host is silent; it was {before}", at)
        for alarm in self._diagnosis.judge_silence(seconds, at):
            self._keep_alarm(alarm)
        if seconds >= self._peaks_due:
            self._peaks_due = seconds + PEAK_SECONDS
            self._keep_peaks()

    async def flush(self) -> None:
        """Write what changed, then tell it. What could not be written is tried again with the next flush."""
        heard = None if self._ear is None else self._ear.heard
        try:
            changes = await self._write()
        except DtsError as error:
            self._on_unwritten()
            if self._ear is not None:
                self._ear.missed()
            if not self._store_failed:
                log.warning("hosts cannot be written, trying again: %s", error)
            self._store_failed = True
            return
        self._store_failed = False
        if self._ear is not None:
            await self._ear.written(heard)
        try:
            with answer_within(TELL_SECONDS):
                await self._tell(changes)
        except DtsError as error:
            log.debug("changes were not told: %s", error)  # streams look at the store by themselves

    async def notify(self) -> None:
        """Tell people what they are owed; the next flush writes down what they were told.

        Raises:
            DtsError: Some of it has to wait.
        """
        assert self._notifier is not None
        marked = await self._notifier.send()
        for alarm in marked:
            self._alarms.setdefault(alarm.id, alarm)
        if marked:
            self._changed.set()

    async def _keep_notifying(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.notify()
            except DtsError as error:
                log.warning("mail of alarms has to wait: %s", error)

    async def _restore_alarms(self) -> None:
        """Open ones; and closed ones of which people may be owed news, among the newest ALARMS_MAX."""
        told = self._notifier is not None
        alarms = await self._store.alarms(open_only=not told, limit=ALARMS_MAX)
        self.book.restore(alarms)
        if self._notifier is not None:
            self._notifier.restore(alarms)

    async def _keep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._changed.clear()
            self.review()
            await self.flush()

    def _is_deaf(self, monotonic: float) -> bool:
        return self._deafness is not None and self._deafness.look(monotonic)

    def _hear(self, beat: Heartbeat, seconds: float, at: datetime) -> None:
        known = self.fleet.hosts.get(beat.host)
        before = None if known is None else known.state
        heard = self.fleet.hear(beat, seconds, at)
        if heard in (Heard.STALE, Heard.REFUSED):
            return
        patient = self.fleet.hosts[beat.host]
        self._claims.update((job, epoch) for job, epoch in beat.held if 0 <= epoch <= EPOCH_MAX)
        self._dirty[beat.host] = self._sample(patient, seconds, at) or self._dirty.get(beat.host)
        if heard is Heard.REBOOTED:
            self._note(beat.host, f"host was started anew {beat.uptime_seconds:.0f} s ago", at)
        if before is HostState.LOST:
            self._note(beat.host, "host is back", at)
        for alarm in self._diagnosis.examine(patient, beat, seconds, at):
            self._keep_alarm(alarm)

    def _sample(self, patient: Patient, seconds: float, at: datetime) -> HostSample | None:
        last = self._sampled.get(patient.name)
        if last is not None and seconds - last < SAMPLE_SECONDS:
            return None
        self._sampled[patient.name] = seconds
        if len(self._sampled) > 2 * len(self.fleet.hosts) + 100:  # hosts that were forgotten
            self._sampled = {name: self._sampled.get(name, 0.0) for name in self.fleet.hosts}
        beat = patient.merged()
        return HostSample(
            at=at,
            cpu=beat.cpu,
            memory=memory_used(beat),
            disk=worst_disk(beat),
            running=beat.running,
            load1=beat.load[0],
            received=beat.network_received,
            sent=beat.network_sent,
        )

    def _note_progress(self, report: ProgressReport) -> None:
        for item in report.items:
            if len(item.id) > ID_MAX or not 0 <= item.epoch <= EPOCH_MAX:
                continue
            self._progress[item.id] = Progress(
                id=item.id,
                epoch=item.epoch,
                fraction=share(item.fraction),
                text=clean(item.text, 500),
            )

    def _keep_alarm(self, alarm: Alarm) -> None:
        self._alarms[alarm.id] = alarm
        self._dirty.setdefault(alarm.host, None)
        if alarm.closed_at is None:
            self._peaks[alarm.id] = alarm.peak
        else:
            self._peaks.pop(alarm.id, None)

    def _keep_peaks(self) -> None:
        for alarm in self.book.open_alarms():
            if alarm.peak > self._peaks.get(alarm.id, alarm.peak):
                self._keep_alarm(alarm)

    def _note(self, host: str, text: str, at: datetime) -> None:
        if len(self._notes) < EVENTS_MAX:
            self._notes.append(
                LogRecord(at=at, host=host, source="stethoscope", level=WARNING, text=text)
            )

    async def _write(self) -> list[Change]:
        claims, self._claims = self._claims, set()
        if claims:
            lease = timedelta(seconds=finite(self._settings.lease_seconds, 0.1, 3600))
            await self._store.renew(list(claims), self._clock.now() + lease)
        changes = await self._write_hosts()
        changes += await self._write_alarms()
        progress, self._progress = self._progress, {}
        if progress:
            ids = await self._store.set_progress(list(progress.values()))
            changes += [Change("jobs", job, "running", 0, progress[job].epoch) for job in ids]
        return changes

    async def _write_hosts(self) -> list[Change]:
        dirty, self._dirty = self._dirty, {}
        patients = [self.fleet.hosts[name] for name in dirty if name in self.fleet.hosts]
        if not patients:
            return []
        hosts = [patient.host(self.book.count(patient.name)) for patient in patients]
        samples = [(name, sample) for name, sample in dirty.items() if sample is not None]
        try:
            await self._store.save_hosts(hosts, samples)
        except DtsError:
            self._dirty = dirty | self._dirty
            raise
        return [Change("hosts", host.name, host.state) for host in hosts]

    async def _write_alarms(self) -> list[Change]:
        changes = []
        while self._alarms:
            alarm_id = next(iter(self._alarms))
            alarm = self._alarms[alarm_id]
            if not await self._save_alarm(alarm):
                # Another one of that name is open in the store: that one counts.
                await self._restore_alarms()
            if self._alarms.get(alarm_id) is alarm:
                del self._alarms[alarm_id]
            state = "open" if alarm.closed_at is None else "closed"
            changes.append(Change("alarms", alarm.id, state))
        return changes

    async def _save_alarm(self, alarm: Alarm) -> bool:
        if self._notifier is None:
            return await self._store.save_alarm(alarm)
        owing = self._notifier.owing(alarm)
        kept = await self._store.save_alarm(owing)
        (self._notifier.kept if kept else self._notifier.forget)(owing)
        return kept

    async def _tell(self, changes: list[Change]) -> None:
        notes, self._notes = self._notes, []
        if notes:
            batch = LogBatch(host="", worker="stethoscope", records=notes)
            message = Message(
                encode(batch), type="LogBatch", timestamp=self._clock.now().timestamp()
            )
            await self.broker.publish([Outgoing(LOGS, message)])
        for start in range(0, len(changes), EVENTS_MAX):
            body = encode(Changes(changes[start : start + EVENTS_MAX]))
            message = Message(body, type="Changes", timestamp=self._clock.now().timestamp())
            await self.broker.fanout(EVENTS, message)
