"""A consumer's proof that it hears: a message of its own through its own queue, every second.

What it proves, and to whom, is told in `services.listening`. The stethoscope proves that everybody who beats was heard,
the porter that every result which was sent is recorded.
"""

import asyncio
import logging
import os
import platform
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from dts_core import __version__
from dts_core.brokers.base import HEARTBEATS, RESULTS, Broker, Message, Outgoing
from dts_core.clock import Clock
from dts_core.codec import encode
from dts_core.deadline import answer_within
from dts_core.errors import DtsError
from dts_core.model import JobResults, PartState, ProgressReport
from dts_core.services.listening import EAR, Hearing
from dts_core.services.recording import LAG_SECONDS, RECORDER, STALE_SECONDS
from dts_core.stores.base import RoleStore

PROOF_SECONDS: Final = 1.0
"""How often a proof is sent, more or less."""
SEND_SECONDS: Final = 4.0
"""How long one may take; not waited for anew each time while the broker is away."""
log = logging.getLogger(__name__)


class Ear:
    """Sends proofs, takes those that come back, and says in the store until when everybody was heard.

    Args:
        broker: Carries the proofs.
        store: Where it is said.
        clock: That counts the leases.
        owner: Of this process; unique for each start.
        hearers: How many take from its queue now. One that stands still keeps its share for as long as the broker does
            not miss it: nothing is proved before there is no other one. None: not looked at.
    """

    name = EAR
    """Of the part that says it."""
    queue = HEARTBEATS

    def __init__(
        self,
        broker: Broker,
        store: RoleStore,
        clock: Clock,
        owner: str,
        *,
        hearers: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._broker = broker
        self._store = store
        self._clock = clock
        self._owner = owner
        self._hearers = hearers
        self.trouble = ""
        """Why the last proof could not be sent; empty when it could."""
        self._terms = 0
        self._said: datetime | None = None
        self.open()

    def open(self) -> None:
        """Begin to hear, from now on: what was heard before proves nothing any more."""
        self._terms += 1
        self._id = f"{self.name}-{self._owner}-{self._terms}"
        self._hearing = Hearing(self._clock, self._id)
        self._started = self._clock.now()
        self._is_alone = self._hearers is None

    @property
    def heard(self) -> datetime | None:
        """What the newest proof that has come back stands for; for `written`."""
        return self._hearing.heard

    def hears(self, report: ProgressReport | JobResults) -> bool:
        """Take a message; False when it is no proof, of whomever."""
        if report.host or not report.worker.startswith(self.name):
            return False
        self._hearing.came_back(report.worker)
        return True

    def missed(self) -> None:
        """Something that was heard could not be written."""
        self._hearing.missed()

    async def run(self) -> None:
        """Send proofs until cancelled; one that cannot be sent proves that nobody can be heard."""
        while True:
            try:
                with answer_within(SEND_SECONDS):
                    await self.prove()
            except DtsError as error:
                self.trouble = error.message
                log.debug("a proof was not sent: %s", error)
            else:
                self.trouble = ""
            # Several that share a queue are served in turn: in step, each would be handed the others' proofs for ever.
            await asyncio.sleep(PROOF_SECONDS * random.uniform(0.5, 1.5))

    async def prove(self) -> None:
        """Send one proof; after a gap it counts from when there was no other hearer.

        Raises:
            BrokerError: It may not arrive.
        """
        if not self._is_alone and self.heard is not None:  # so we are one of them
            await self._look_for_others()
        report = self._report(self._hearing.proof())
        message = Message(encode(report), type=type(report).__name__)
        await self._broker.publish([Outgoing(self.queue, message)])

    async def written(self, heard: datetime | None) -> None:
        """What was heard until then is in the store: say so there, if it was not just said."""
        before = self._hearing.since
        self._hearing.written(heard)
        if before is not None and self._hearing.since != before:
            self._is_alone = self._hearers is None
        if not self._is_alone:
            self._hearing.missed()
        since, until = self._hearing.since, self._hearing.until
        if since is None or until is None or until == self._said:
            return
        if self._is_worth_saying(until):
            await self._say(since, until)

    async def _say(
        self, since: datetime | None, until: datetime | None, *, takers: int = 0
    ) -> None:
        part = PartState(
            id=self._id,
            name=self.name,
            host=platform.node(),
            pid=os.getpid(),
            version=__version__,
            started_at=self._started,
            seen_at=self._clock.now(),
            listening_since=since,
            heard_until=until,
            takers=takers,
        )
        try:
            await self._store.save_part(part)
        except DtsError as error:
            log.warning("it cannot be said who was heard: %s", error)
        else:
            self._said = until

    async def _look_for_others(self) -> None:
        if self._hearers is not None and await self._hearers() <= 1:
            self._is_alone = True
            self._hearing.missed()

    def _report(self, proof: str) -> ProgressReport | JobResults:
        return ProgressReport(host="", worker=proof, items=[])

    def _is_worth_saying(self, until: datetime) -> bool:
        return True


class Recorder(Ear):
    """The porter's: says whether what it was sent is recorded, and how far the queue is.

    Where several porters share the queue, each sees some of its own proofs; that is enough to know that nothing waits
    there for long. What a porter was sent only it can know of: while it keeps up it says so every second.

    Args:
        broker: As of Ear; so with store, clock and owner.
        takers: How many take results now; None: not looked at.

    Attributes:
        waits: Seconds that the oldest of what this porter was sent has waited.
    """

    name = RECORDER
    queue = RESULTS

    def __init__(
        self,
        broker: Broker,
        store: RoleStore,
        clock: Clock,
        owner: str,
        *,
        takers: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        super().__init__(broker, store, clock, owner)
        self.waits: Callable[[], float] = lambda: 0.0
        self._takers = takers
        self._known_takers = 0
        self._looked_at = clock.monotonic()
        self._woke_at = float("-inf")

    async def prove(self) -> None:
        """See Ear; says too that this porter keeps up, if it does.

        Raises:
            BrokerError: A proof may not arrive, or nobody can say who takes results.
        """
        await super().prove()
        takers = 0 if self._takers is None else await self._takers()
        if self._keeps_up():
            await self._say(self._hearing.since, self._said, takers=takers)

    def _report(self, proof: str) -> ProgressReport | JobResults:
        return JobResults("", proof, [])

    async def _say(
        self, since: datetime | None, until: datetime | None, *, takers: int = 0
    ) -> None:
        if takers:
            self._known_takers = takers
        await super()._say(since, until, takers=self._known_takers)

    def _is_worth_saying(self, until: datetime) -> bool:
        lag = abs((self._clock.now() - until).total_seconds())
        return lag <= LAG_SECONDS and self._keeps_up()

    def _keeps_up(self) -> bool:
        """Whether what has come is not old. After a pause of ours what has come is still to be read."""
        now = self._clock.monotonic()
        if now - self._looked_at > STALE_SECONDS:
            self._woke_at = now
        self._looked_at = now
        return now - self._woke_at > LAG_SECONDS and self.waits() <= LAG_SECONDS
