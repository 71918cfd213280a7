"""When a lease is over, where the ears are another process's: a control side of several processes on one store.

The leading stethoscope renews leases; scheduler and claims judge them elsewhere. What they need to know is one thing:
until when everybody was heard, and since when without a gap. The stethoscope proves it with a message of its own, sent
every second through the same queue as the heartbeats: when that has come back and what was heard before it is written,
everything said until it was sent is in the store. A lease that ended before that instant is over, once the hearing has
lasted for a lease's length. Both instants and the leases come from one clock, the stethoscope's own, so that the clocks
of several machines are never compared.

A job that has ended is named by no heartbeat any more, and its lease may end before its result is recorded. So no lease
is over either while results are not: the porters prove in the same way that they keep up with them (`recording`).
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.model import PartState
from dts_core.services.leases import LOOK_SECONDS
from dts_core.services.recording import Recording
from dts_core.stores.base import RoleStore

EAR: Final = "ear"
"""Name of the part that a stethoscope says its hearing with."""
GAP_SECONDS: Final = 5.0
"""Longest time between two proofs that is no gap: with it and a beat missed, a lease still lasts."""
PROOFS_MAX: Final = 60
"""Most proofs on their way."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
log = logging.getLogger(__name__)


class Judge(Protocol):
    """Says when a lease is over; `leases.Leases` does it for one process with everything in it."""

    def now(self) -> datetime:
        """When a lease that is given now begins."""
        ...

    def horizon(self) -> datetime:
        """A lease is over when it ended strictly before this instant."""
        ...

    def seconds_left(self, until: datetime) -> float:
        """Seconds after which a lease that ends then may count as over; at least 0."""
        ...


class Hearing:
    """What a stethoscope knows of its own hearing; no I/O. Belongs to the loop's thread.

    Args:
        clock: That counts the leases.
        name: Unique for each start; part of the proofs.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._number = 0
        self._sent: dict[str, datetime] = {}
        self.heard: datetime | None = None
        """When the newest proof that has come back was sent."""
        self.since: datetime | None = None
        self.until: datetime | None = None
        self._written = (clock.monotonic(), clock.now())

    def proof(self) -> str:
        """The text of a new proof, to be sent now."""
        self._number += 1
        text = f"{self._name}#{self._number}"
        self._sent[text] = self._clock.now()
        if len(self._sent) > PROOFS_MAX:
            del self._sent[next(iter(self._sent))]
        return text

    def came_back(self, text: str) -> bool:
        """A proof was heard; False when it is none of ours."""
        sent = self._sent.pop(text, None)
        if sent is not None:
            self.heard = sent
        return sent is not None

    def missed(self) -> None:
        """Something that was heard did not get into the store: a gap, whatever is written next."""
        self.since = None

    def written(self, heard: datetime | None) -> None:
        """What was heard until the proof that was sent at `heard` is in the store."""
        last_monotonic, last_wall = self._written
        monotonic, wall = self._clock.monotonic(), self._clock.now()
        self._written = (monotonic, wall)
        if heard is None:
            return
        step = (wall - last_wall).total_seconds() - (monotonic - last_monotonic)
        jump = 0.0 if self.until is None else (heard - self.until).total_seconds()
        is_gap = max(monotonic - last_monotonic, abs(step), abs(jump)) > GAP_SECONDS
        if self.since is None or is_gap:
            self.since = heard
        self.until = heard


class ToldLeases:
    """Judges leases by what stethoscopes say in the store; `run` keeps it up to date.

    Args:
        store: Where they say it.
        clock: For leases that are given here.
        length: Of one lease; so long must the hearing have lasted.
    """

    def __init__(self, store: RoleStore, clock: Clock, length: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._length = length
        self._since = self._until = self._horizon = _NEVER
        self._recording = Recording(clock)

    async def run(self) -> None:
        """Look until cancelled; a store that is away ends no lease."""
        while True:
            try:
                await self.look()
            except DtsError as error:
                log.warning("nobody says who was heard: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read what stethoscopes and porters say.

        Raises:
            StoreUnavailable: What was known stays.
        """
        parts = await self._store.parts()
        self._recording.look(parts)
        ears = [part for part in parts if part.name == EAR]
        if ears:
            self._hear(max(ears, key=lambda part: part.seen_at))

    def _hear(self, ear: PartState) -> None:
        if ear.listening_since is None or ear.heard_until is None:
            return
        self._since, self._until = ear.listening_since, ear.heard_until
        if self._recording.keeps_up() and self._until - self._since >= self._length:
            self._horizon = self._until
        else:
            self._horizon = min(self._horizon, self._until)

    def now(self) -> datetime:
        """See Judge: by this process's clock, but never behind the stethoscope's."""
        return max(self._clock.now(), self._until)

    def horizon(self) -> datetime:
        """See Judge."""
        return self._horizon

    def seconds_left(self, until: datetime) -> float:
        """See Judge."""
        if until < self._horizon:
            return 0.0
        if self._until == _NEVER:
            return self._length.total_seconds()
        settles = self._since + self._length
        return max((max(until, settles) - self._until).total_seconds(), LOOK_SECONDS)
