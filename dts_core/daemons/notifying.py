"""What a daemon tells people by mail: its alarms and their end, once each, and that it died.

Alarms are their own outbox. What is owed is written with the alarm, in the same write; then a job is submitted under a
key that follows from the alarm; then the alarm is written once more, marked. A crash in between leaves what is owed in
the store, and submitting it again is the same job.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from dts_core.clock import Clock
from dts_core.daemons.base import Part
from dts_core.errors import DtsError
from dts_core.model import Alarm, Notice
from dts_core.services.mailtext import (
    OPENED,
    Letter,
    alarm_letter,
    death_letter,
    digest_letter,
)
from dts_core.settings import NotifySettings
from dts_core.text import one_line

__all__ = ["Notifier", "Submit", "telling"]

Submit = Callable[[str, Letter], Awaitable[object]]
"""Have a letter mailed by a job under an idempotency key. Raises DtsError when that is not certain."""
CLOSED: Final = "closed"
LAST_WORDS_SECONDS: Final = 5.0
"""How long a daemon that died takes to say so."""
_log = logging.getLogger(__name__)


class Notifier:
    """Decides what people are owed of alarms, and submits it.

    `owing` before an alarm is written, `kept` or `forget` after it; `send` from time to time, and what it returns is to
    be written again. At most so many mails go out in a window; what more there is goes out as one at its end.

    Args:
        name: Of the daemon.
        settings: `[notify]`.
        clock: For the windows.
        submit: To the groups of the daemon.
    """

    def __init__(self, name: str, settings: NotifySettings, clock: Clock, submit: Submit) -> None:
        self._name = name
        self._most = settings.mails_max
        self._window = timedelta(seconds=settings.window_seconds)
        self._clock = clock
        self._submit = submit
        self._entries: dict[str, _Entry] = {}
        self._untold: set[str] = set()
        """Open alarms from a time without mail: their end is no news either."""
        self._until: datetime | None = None
        self._count = 0
        self._digested: set[str] = set()
        """Keys of digests that go out or did: nothing joins them any more."""

    def restore(self, alarms: Iterable[Alarm]) -> None:
        """Take over what the store says; what is known here already stays."""
        is_first = self._until is None
        for alarm in alarms:
            if alarm.id in self._entries:
                continue
            for notice in alarm.notices if is_first else ():
                self._count_in(notice)
            if alarm.notices and not _is_done(alarm):
                self._entries[alarm.id] = _Entry(alarm)
            elif not alarm.notices and alarm.closed_at is None:
                self._untold.add(alarm.id)

    def owing(self, alarm: Alarm) -> Alarm:
        """The alarm as it is to be written: with what people are owed of it."""
        if alarm.id in self._untold:
            return alarm
        entry = self._entries.get(alarm.id)
        if entry is None:
            entry = self._entries[alarm.id] = _Entry(alarm)
        for of in (OPENED, CLOSED):
            if of not in entry.notices and (of == OPENED or alarm.closed_at is not None):
                entry.notices[of] = self._decide(alarm, of)
                entry.unkept.add(of)
        return replace(alarm, notices=list(entry.notices.values()))

    def kept(self, alarm: Alarm) -> None:
        """It was written, as `owing` gave it."""
        entry = self._entries.get(alarm.id)
        if entry is not None:
            entry.alarm = alarm
            entry.unkept.difference_update(notice.of for notice in alarm.notices)
            entry.marked |= alarm.notices != list(entry.notices.values())  # marked meanwhile
            if _is_done(alarm):
                del self._entries[alarm.id]
        elif alarm.closed_at is not None:
            self._untold.discard(alarm.id)

    def forget(self, alarm: Alarm) -> None:
        """It is not written, and will not be."""
        self._entries.pop(alarm.id, None)

    async def send(self) -> list[Alarm]:
        """Submit what is due; the alarms to be written again, for they are marked now.

        Raises:
            DtsError: Some of it was not accepted, or nobody knows; the next call tries again, and returns what was
                accepted of this one.
        """
        for by in self._due():
            told = list(self._of(by))
            if _is_digest(by):
                self._digested.add(by)
            await self._submit(by, _letter([(entry.alarm, notice) for entry, notice in told]))
            for entry, notice in told:
                entry.notices[notice.of] = replace(notice, sent=True)
                entry.marked = True
        marked = [entry for entry in self._entries.values() if entry.marked]
        for entry in marked:
            entry.marked = False
        return [entry.alarm for entry in marked]

    def _of(self, by: str) -> "Iterator[tuple[_Entry, Notice]]":
        for entry in self._entries.values():
            for notice in entry.notices.values():
                if notice.by == by and not notice.sent:
                    yield entry, notice

    def _due(self) -> list[str]:
        """Keys of what may be submitted now: everything that they carry is in the store."""
        now = self._clock.now()
        due: dict[str, None] = {}
        waiting: set[str] = set()
        for entry in self._entries.values():
            for of, notice in entry.notices.items():
                if notice.sent:
                    continue
                if of in entry.unkept or (_is_digest(notice.by) and self._is_ahead(notice, now)):
                    waiting.add(notice.by)
                due[notice.by] = None
        return [by for by in due if by not in waiting]

    def _is_ahead(self, notice: Notice, now: datetime) -> bool:
        """Whether the end of its window is still to come; one beyond reach is of a clock that was set back."""
        return now < notice.until <= now + self._window

    def _decide(self, alarm: Alarm, of: str) -> Notice:
        now = self._clock.now()
        if self._until is None or not now < self._until <= now + self._window:
            self._begin(now + self._window)
        by = self._digest()
        if self._count >= self._most and by in self._digested:
            self._begin(now + self._window)
        assert self._until is not None
        if self._count < self._most:
            self._count += 1
            by = f"alarm.{alarm.id}.{of}"
        return Notice(of=of, by=by, until=self._until)

    def _begin(self, until: datetime) -> None:
        self._until, self._count = until, 0

    def _digest(self) -> str:
        assert self._until is not None
        return f"{_DIGEST}{self._name}.{round(self._until.timestamp() * 1e6)}"

    def _count_in(self, notice: Notice) -> None:
        """Be in the window that the newest notice was counted in."""
        if _is_digest(notice.by) and notice.sent:
            self._digested.add(notice.by)
        if self._until is None or notice.until > self._until:
            self._begin(notice.until)
        if notice.until == self._until and not _is_digest(notice.by):
            self._count += 1


class _Entry:
    """What is known of one alarm: as it stands in the store, and what is owed of it."""

    __slots__ = ("alarm", "marked", "notices", "unkept")

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.notices = {notice.of: notice for notice in alarm.notices}
        self.unkept: set[str] = set()
        """Notices that the store does not have yet."""
        self.marked = False


_DIGEST: Final = "digest."


def _is_digest(by: str) -> bool:
    return by.startswith(_DIGEST)


def _is_done(alarm: Alarm) -> bool:
    return alarm.closed_at is not None and all(notice.sent for notice in alarm.notices)


def _letter(told: list[tuple[Alarm, Notice]]) -> Letter:
    alarm, notice = told[0]
    return digest_letter(told) if _is_digest(notice.by) else alarm_letter(alarm, notice.of)


def telling(name: str, part: Part, submit: Submit, settings: NotifySettings, clock: Clock) -> Part:
    """The same part, which mails its groups when it dies, at most once a window however often it is started anew.

    Args:
        name: Of the daemon.
        part: Works until it is cancelled.
        submit: To the groups of the daemon.
        settings: `[notify]`.
        clock: For the windows.
    """

    async def run() -> None:
        try:
            await part()
        except Exception as error:
            await _last_words(name, error, submit, settings, clock)
            raise

    return run


async def _last_words(
    name: str, error: Exception, submit: Submit, settings: NotifySettings, clock: Clock
) -> None:
    now, host = clock.now(), platform.node()
    key = f"died.{name}.{host}.{now.timestamp() // settings.window_seconds:.0f}"
    why = one_line(f"{type(error).__name__}: {error}", 500)
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await submit(key, death_letter(name, host, why, now))
    except (DtsError, TimeoutError) as failure:
        _log.warning("nobody was told that %s died: %s", name, failure)
