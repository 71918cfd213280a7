"""Asks for claims: one question at a time, with everything that came meanwhile in the next one."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from dts_core import codec
from dts_core.brokers.base import ClaimVerdict, Delivery
from dts_core.brokers.claiming.questions import Questions
from dts_core.brokers.claiming.records import Ask, Claim, Ended
from dts_core.brokers.claiming.returns import Returns
from dts_core.brokers.consumer import PAUSE_FIRST_SECONDS, PAUSE_MAX_SECONDS
from dts_core.brokers.link_ends import guarded
from dts_core.errors import CodecError, DtsError
from dts_core.model import ClaimGrant, ClaimItem, Holders

if TYPE_CHECKING:
    from dts_core.brokers.claiming.consumption import ClaimedConsumption

ITEMS_MAX: Final = 256
"""Most claims in one question."""
PARK_MIN_SECONDS: Final = 0.05
PARK_MAX_SECONDS: Final = 15.0
"""A message that has to wait is asked about again at least so often."""
AWAY_SECONDS: Final = 60.0
"""A control side that does not answer for so long is away: what is not claimed goes back, and nothing more is taken."""

Resumed = list[tuple[str, int, bool, int | None]]
"""(job, epoch, whether it is still ours, the tag of its delivery, None when there is none here)"""
log = structlog.get_logger(__name__)


class Asking:
    """The worker's talk with the control side about claims. Belongs to the loop's thread.

    Args:
        questions: How they are put.
        returns: Where claims go that are not wanted.
        monotonic: The time.

    Attributes:
        holding: Gives the (job, epoch) that run here beside those with a delivery.
        on_resumed: Told what became of all those whenever it was asked.
    """

    def __init__(
        self, questions: Questions, returns: Returns, monotonic: Callable[[], float]
    ) -> None:
        self.waiting: deque[Ask] = deque()
        self.ended = Ended()
        self.returns = returns
        self.is_away = False
        self.is_linked = True
        """Whether there is a connection below."""
        self.holding: Callable[[], Sequence[tuple[str, int]]] = lambda: ()
        self.on_resumed: Callable[[Resumed], None] = lambda claims: None
        self.consumptions: list[ClaimedConsumption] = []
        self._questions = questions
        self._monotonic = monotonic
        self._is_doubtful = False
        self._owed: dict[tuple[str, int], None] = {}
        """Claims that ended here and may not be recorded yet: their leases are to be renewed."""
        self._wake = asyncio.Event()
        self._answered = monotonic()

    def wake(self) -> None:
        """Something is to be asked."""
        self._wake.set()

    def doubt(self) -> None:
        """Ask which claims still stand, before anything else."""
        self._is_doubtful = True
        self._wake.set()

    def called(self, body: bytes) -> None:
        """The control side looks for the holders of jobs: whoever has one asks for its claims, which renews them."""
        try:
            jobs = codec.decode(body, Holders).jobs
        except CodecError as error:
            log.warning("a call for holders cannot be read", reason=str(error))
            return
        held = {job for job, _ in self.holding()}
        for each in self.consumptions:
            held |= each.held.keys()
        ended = [(job, epoch) for job in jobs if (epoch := self.ended.epoch(job))]
        self._owed |= dict.fromkeys(ended)
        if ended or not held.isdisjoint(jobs):
            self.doubt()

    def give_back(self, claim: Claim) -> None:
        """A claim goes back: whoever took it up again before that is recorded would run it beside the next one."""
        self.ended.add(claim.job, claim.epoch)
        self.returns.add(claim)

    def remove(self, consumption: "ClaimedConsumption") -> None:
        """A consumer has closed."""
        if consumption in self.consumptions:
            self.consumptions.remove(consumption)

    async def run(self) -> None:
        """Ask until cancelled; while nobody answers, ever more slowly."""
        pause = PAUSE_FIRST_SECONDS
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._is_doubtful or self.waiting:
                if await self._step():
                    pause = PAUSE_FIRST_SECONDS
                    continue
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, PAUSE_MAX_SECONDS)

    async def _step(self) -> bool:
        """One question; False when it was not answered."""
        try:
            if self._is_doubtful:
                await self._verify()
            else:
                await self._claim()
        except DtsError as error:
            log.warning("claims wait: the control side does not answer", reason=str(error))
            self._unanswered()
            return False
        except Exception:  # a mistake here must not leave the worker idle for good
            log.exception("asking for claims failed")
            self._unanswered()
            return False
        self._answered = self._monotonic()
        if self.is_away:
            self._set_away(False)
        return True

    def _unanswered(self) -> None:
        # What was asked may have been granted all the same.
        self._is_doubtful = True
        if not self.is_away and self._monotonic() - self._answered >= AWAY_SECONDS:
            self._set_away(True)

    def _set_away(self, away: bool) -> None:
        log.warning("the control side is away: nothing is taken" if away else "it is back")
        self.is_away = away
        for consumption in self.consumptions:
            if away:
                consumption.hand_back()
            consumption.regrant()

    # --- for claims

    async def _claim(self) -> None:
        batch = self._take()
        if not batch:
            return
        items = [
            ClaimItem(ask.job, ask.is_redelivered, 0, ask.consumption.name, ask.lease)
            for ask in batch
        ]
        try:
            grants = await self._questions.claims(items)
        except BaseException:
            self._put_back(batch)
            raise
        granted: dict[ClaimedConsumption, list[Delivery]] = {}
        for ask, grant in zip(batch, grants, strict=True):
            ask.is_asked = False
            if grant.verdict == ClaimVerdict.GRANTED:
                delivery = ask.consumption.granted(ask, grant.epoch, grant.attempt)
                if delivery is not None:
                    granted.setdefault(ask.consumption, []).append(delivery)
            elif not ask.is_over:
                self._refused(ask, grant)
        for consumption, deliveries in granted.items():
            consumption.hand_over(deliveries)

    def _put_back(self, batch: list[Ask]) -> None:
        for ask in reversed(batch):
            ask.is_asked = False
            _take_late(ask)
            if not ask.is_over:
                self.waiting.appendleft(ask)
        for consumption in {ask.consumption for ask in batch}:
            if not consumption.is_taking:
                consumption.hand_back()

    def _take(self) -> list[Ask]:
        batch: list[Ask] = []
        waiting = self.waiting
        while waiting and len(batch) < ITEMS_MAX:
            ask = waiting.popleft()
            if ask.is_over:
                continue
            if not ask.consumption.is_taking:
                ask.consumption.hand_back()
                continue
            ask.is_asked = True
            batch.append(ask)
        return batch

    def _refused(self, ask: Ask, grant: ClaimGrant) -> None:
        if grant.verdict != ClaimVerdict.HELD:
            ask.consumption.finish(ask)
            return
        if grant.epoch:
            # Perhaps it stands for this very worker, and its answer was lost.
            self._is_doubtful = True
            if ask.stands_against == grant.epoch and not ask.late:
                # It lives without this message: when its lease ends there will be another one.
                ask.consumption.finish(ask)
                return
            ask.stands_against = grant.epoch
            ask.lease = grant.lease
            if not grant.lease:
                ask.is_redelivered = False
        _take_late(ask)
        seconds = min(max(grant.retry_after_seconds, PARK_MIN_SECONDS), PARK_MAX_SECONDS)
        ask.is_parked = True
        asyncio.get_running_loop().call_later(seconds * random.uniform(1.0, 1.1), self._unpark, ask)
        ask.consumption.regrant()

    def _unpark(self, ask: Ask) -> None:
        if ask.is_parked and not ask.is_over:
            ask.is_parked = False
            self.waiting.append(ask)
            self._wake.set()

    # --- for what became of them

    async def _verify(self) -> None:
        self._is_doubtful = False
        live = {(c.job, c.epoch): (c, c.doubts) for each in self.consumptions for c in each.live()}
        claims = list(dict.fromkeys([*live, *self.holding()]))
        owed = list(self._owed)
        reply = await self._questions.held([*claims, *owed])
        for each in owed:
            self._owed.pop(each, None)
        resumed: Resumed = []
        for (job, epoch), is_mine in zip(claims, reply.mine[: len(claims)], strict=True):
            claim, doubts = live.get((job, epoch), (None, 0))
            if claim is not None and self.ended.epoch(job) == epoch:
                continue  # over meanwhile
            resumed.append((job, epoch, is_mine, None if claim is None else claim.tag))
            if claim is not None and claim.is_live:
                self._settle(claim, doubts, is_mine)
        if resumed:
            guarded(self.on_resumed, resumed)
        for job, epoch in reply.unheld:
            self._not_known(job, epoch)
        for consumption in self.consumptions:
            consumption.regrant()

    def _settle(self, claim: Claim, doubts: int, is_mine: bool) -> None:
        if is_mine:
            claim.consumption.stands(claim, doubts)
        else:
            claim.consumption.is_gone(claim)

    def _not_known(self, job: str, epoch: int) -> None:
        """A claim stands for this worker that it does not know of."""
        if self.ended.epoch(job) == epoch:
            return  # its result is on the way, or its return
        for consumption in self.consumptions:
            claim, ask = consumption.held.get(job), consumption.asked.get(job)
            if claim is not None and claim.epoch == epoch:
                return  # granted, or given back, while it was asked
            if ask is not None:
                consumption.adopt(ask, epoch)
                return
        self.ended.add(job, epoch)
        self.returns.add_unknown(job, epoch)


def _take_late(ask: Ask) -> None:
    """Put what came meanwhile to the rest, to be asked about with it."""
    late, ask.late = ask.late, []
    ask.join(late)
