"""Whether we hear at all: while the broker is away nobody is silent, they only cannot be heard.

The proof is a message of our own through the queue of the heartbeats, every second (`ear.py`). While none comes back,
the silence of hosts does not count, and one alarm says what is away, in place of one for each host. Pure: no I/O.
"""

from datetime import datetime
from typing import Final, Protocol

from dts_core.daemons.alarms import CRITICAL, Book
from dts_core.daemons.attention import STEP_MAX_SECONDS
from dts_core.daemons.fleet import Fleet
from dts_core.model import Alarm

DEAF_SECONDS: Final = 5.0
"""No proof for so long, where one is sent every 1.5 s at the latest, and each second one may be another's to take."""
BROKER: Final = "broker"
"""Rule name of the alarm; its host is empty."""


class Listener(Protocol):
    """What of an ear counts here."""

    trouble: str
    """Why the last proof could not be sent; empty when it could."""

    @property
    def heard(self) -> datetime | None:
        """Changes with every proof that comes back."""
        ...


class Deafness:
    """Watches one ear.

    Args:
        ear: Sends the proofs.
        fleet: Whoever is known there gets a whole window to be heard, once somebody can be.
        book: Keeps the alarm.
    """

    def __init__(self, ear: Listener, fleet: Fleet, book: Book) -> None:
        self._ear = ear
        self._fleet = fleet
        self._book = book
        self._heard = ear.heard
        self._last: float | None = None
        self._seconds = 0.0
        self._was_deaf = False

    def look(self, monotonic: float) -> bool:
        """Bring it up to date; whether nobody can be heard now. A pause of our own proves nothing."""
        step = 0.0 if self._last is None else monotonic - self._last
        self._last = monotonic
        self._seconds += min(max(0.0, step), STEP_MAX_SECONDS)
        if self._ear.heard != self._heard:
            self._heard, self._seconds = self._ear.heard, 0.0
        return self._seconds > DEAF_SECONDS

    def judge(self, seconds: float, at: datetime) -> list[Alarm]:
        """After `look`: the alarm that opened or closed.

        Args:
            seconds: Of attention.
            at: As the alarm will say it.
        """
        is_deaf = self._seconds > DEAF_SECONDS
        if self._was_deaf and not is_deaf:
            self._fleet.excuse(seconds)
        self._was_deaf = is_deaf
        is_open = self._book.alarm("", BROKER) is not None
        changed = None
        if is_deaf and not is_open:
            changed = self._open(at)
        elif is_open and self._heard is not None and not is_deaf:
            changed = self._book.close("", BROKER, at)
        return [] if changed is None else [changed]

    def _open(self, at: datetime) -> Alarm | None:
        why = self._ear.trouble or "what is sent through it does not come back."
        text = f"the broker is away: {why} No host can be heard; none counts as lost for that."
        return self._book.open("", BROKER, level=CRITICAL, text=text, value=self._seconds, at=at)
