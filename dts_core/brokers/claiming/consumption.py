"""A consumer on a queue of jobs that is handed only what it has a claim on.

Three rules keep a queued job from losing its message. A job that runs needs none: when its lease ends, the control side
publishes a new one. Every message that comes for a claim of this worker is bound to it and puts it in doubt, until the
control side has said that the claim still stands. Messages of a claim in doubt are never acked: they are asked about.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import msgspec

from dts_core import codec
from dts_core.brokers.base import JOBS, Consumption, Delivery, OnDeliveries
from dts_core.brokers.claiming.records import Ask, Claim
from dts_core.brokers.link_ends import guarded
from dts_core.errors import CodecError
from dts_core.model import JobMessage

if TYPE_CHECKING:
    from dts_core.brokers.claiming.asking import Asking

PARKED_MAX: Final = 256
"""Messages that wait for another one's lease take no place of others, up to so many."""
CLOSE_SECONDS: Final = 3.0
"""How long giving claims back may take at the end."""


@runtime_checkable
class LosesStreams(Protocol):
    """A consumption below that may lose what it was sent on while its connection stands."""

    on_lost: Callable[[], None]
    """Set by the owner; called when it does, before anything comes on another one."""


class ClaimedConsumption:
    """The worker's side of one consumer; its tags are its own, and outlive every stream of the broker below.

    Args:
        asking: Asks for claims.
        queue: Its name.
        on_deliveries: Handed what is granted.
        credit: Most deliveries unacked.
        monotonic: The time.
    """

    def __init__(
        self,
        asking: "Asking",
        queue: str,
        on_deliveries: OnDeliveries,
        credit: int,
        monotonic: Callable[[], float],
    ) -> None:
        self.queue = queue
        self.name = queue.removeprefix(JOBS)
        self.asked: dict[str, Ask] = {}
        self.held: dict[str, Claim] = {}
        """By job, those on their way back too."""
        self.is_open = True
        self._asking = asking
        self._on_deliveries = on_deliveries
        self._monotonic = monotonic
        self._credit = credit
        self._granted = 0
        self._tag = 0
        self._live: dict[int, Claim] = {}
        self._inner: Consumption | None = None

    # --- the worker's side

    def ack(self, tags: Sequence[int]) -> None:
        """End deliveries for good; unknown tags are ignored."""
        done: list[int] = []
        live, ended, was_aged = self._live, self._asking.ended, False
        for tag in tags:
            claim = live.pop(tag, None)
            if claim is None:
                continue
            job = claim.job
            ended.add(job, claim.epoch)
            if self.held.get(job) is claim:
                del self.held[job]
            if claim.doubts:
                self._ask_again(claim)
            elif claim.tags:
                done += claim.tags
            else:
                was_aged = True
        if done and self._inner is not None:
            self._inner.ack(done)
        if was_aged:
            self.regrant()

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """Give claims back, or hand messages to the dead letters."""
        for tag in tags:
            claim = self._live.pop(tag, None)
            if claim is None:
                continue
            if requeue:
                claim.is_live = False
                self._asking.give_back(claim)
                continue
            self._forget(claim)
            if self._inner is not None:
                self._inner.nack(claim.tags, requeue=False, reason=reason)

    def grant(self, credit: int) -> None:
        """Set how many deliveries may be unacked; with 0 what is not claimed yet goes back."""
        self._credit = max(credit, 0)
        self.regrant()
        if not self._credit:
            self.hand_back()

    async def close(self) -> None:
        """Take no more; every claim goes back uncharged. A second call does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self._credit = 0
        self.regrant()
        self.nack(list(self._live), requeue=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS if self._asking.is_linked else 0):
                await self._asking.returns.flushed()
        self._asking.remove(self)
        if self._inner is not None:
            await self._inner.close()

    # --- the broker's side

    def begin(self, inner: Consumption) -> None:
        """The consumer below is there; it has no credit yet."""
        self._inner = inner
        if isinstance(inner, LosesStreams):
            inner.on_lost = self._lost_alone
        self.regrant()

    def arrived(self, deliveries: list[Delivery]) -> None:
        """Messages came: ask for their claims, or bind them to those that stand."""
        since = self._monotonic()
        asked, held, waiting = self.asked, self.held, self._asking.waiting
        for delivery in deliveries:
            job = delivery.message.message_id
            if job in held:
                self._bind(held[job], delivery)
            elif job in asked:
                self._join(asked[job], delivery)
            elif not job or not self.is_open:
                self._refuse(delivery)
            else:
                ask = asked[job] = Ask(self, delivery, [delivery.tag], since)
                if delivery.redelivered and self._asking.ended.epoch(job):
                    # Its ack was lost with a stream: its own result is on the way, and no other worker's run.
                    ask.is_redelivered = False
                waiting.append(ask)
        self._asking.wake()

    def _join(self, ask: Ask, delivery: Delivery) -> None:
        if ask.is_asked:
            ask.late.append(delivery)
        else:
            ask.join([delivery])

    def lost(self) -> None:
        """The stream below is gone and every tag with it: what was unacked comes again, here or elsewhere."""
        for claim in [*self.held.values(), *self._live.values()]:
            claim.tags = []
        for ask in list(self.asked.values()):
            ask.tags = []
            ask.late = []
            if not ask.is_asked:
                self.drop(ask)

    def _lost_alone(self) -> None:
        """So it is, though the connection stands: others may be handed our messages, while their jobs run on here."""
        self.lost()
        self._asking.doubt()
        self.regrant()

    def _bind(self, claim: Claim, delivery: Delivery) -> None:
        claim.tags = [*claim.tags, delivery.tag]
        self._doubt(claim)

    def _doubt(self, claim: Claim) -> None:
        claim.doubts += 1
        if claim.is_live:
            self._asking.doubt()

    def _refuse(self, delivery: Delivery) -> None:
        if self._inner is not None:
            is_job = bool(delivery.message.message_id)
            self._inner.nack(
                [delivery.tag], requeue=is_job, reason="" if is_job else "it names no job"
            )

    # --- what the control side answered

    def granted(self, ask: Ask, epoch: int, attempt: int) -> Delivery | None:
        """A claim is this worker's; returns what is to be handed over, None when it is not wanted any more."""
        self.drop(ask)
        claim = Claim(ask, epoch)
        job = ask.job
        self.held[job] = claim
        for delivery in ask.late:
            self._bind(claim, delivery)
        if not self.is_open:
            claim.is_live = False
            self._asking.give_back(claim)
            return None
        self._tag = claim.tag = self._tag + 1
        self._live[claim.tag] = claim
        given = ask.delivery
        return Delivery(claim.tag, self.queue, given.message, given.redelivered, epoch, attempt)

    def adopt(self, ask: Ask, epoch: int) -> None:
        """A claim was granted whose answer was lost."""
        delivery = self.granted(ask, epoch, _attempt(ask.delivery))
        if delivery is not None:
            self._doubt(self.held[ask.job])  # its message may have come since the answer
            self.hand_over([delivery])

    def hand_over(self, deliveries: list[Delivery]) -> None:
        """Give the worker what it has claims on."""
        guarded(self._on_deliveries, deliveries)

    def finish(self, ask: Ask) -> None:
        """Nothing is to be done for this message."""
        self.drop(ask)
        if self._inner is not None and ask.tags:
            self._inner.ack(ask.tags)
        if ask.late:
            self.arrived(ask.late)

    def drop(self, ask: Ask) -> None:
        """It is not asked about any more."""
        ask.is_over = True
        if self.asked.get(ask.job) is ask:
            del self.asked[ask.job]

    def stands(self, claim: Claim, doubts: int) -> None:
        """A claim stood when its doubts were so many."""
        if claim.doubts == doubts:
            claim.doubts = 0

    def is_gone(self, claim: Claim) -> None:
        """A claim is not this worker's any more; what came of its message is asked about anew."""
        self._live.pop(claim.tag, None)
        self._forget(claim)
        if claim.tags:
            self._ask_again(claim)

    def returned(self, claim: Claim) -> None:
        """A claim's return is confirmed."""
        if self.held.get(claim.job) is not claim:
            return
        self._forget(claim)
        if claim.doubts:
            self._ask_again(claim)
        elif claim.tags and self._inner is not None:
            self._inner.ack(claim.tags)
        self.regrant()

    def live(self) -> list[Claim]:
        """What the worker has."""
        return list(self._live.values())

    # --- its bounds

    def sweep(self, before: float) -> int:
        """Ack deliveries that came before an instant, on the strength of their claims; returns how many."""
        aged = [c for c in self._live.values() if c.since <= before and c.tags and not c.doubts]
        if aged and self._inner is not None:
            self._inner.ack([tag for claim in aged for tag in claim.tags])
            for claim in aged:
                claim.tags = []
        self.regrant()
        return len(aged)

    @property
    def is_taking(self) -> bool:
        """Whether claims are wanted."""
        return self._credit > 0 and self.is_open

    def hand_back(self) -> None:
        """What is not claimed goes back to its queue, save for messages of jobs that run without them."""
        back: list[int] = []
        for ask in list(self.asked.values()):
            if ask.is_asked:
                continue
            if ask.stands_against:
                self.finish(ask)
            else:
                self.drop(ask)
                back += ask.tags
        if back and self._inner is not None:
            self._inner.nack(back, requeue=True)

    def regrant(self) -> None:
        """Have the broker hand out as much as the worker wants, no more and no less."""
        wanted = 0
        if self._credit and not self._asking.is_away:
            aged = sum(not claim.tags for claim in self._live.values())
            parked = sum(ask.is_parked for ask in self.asked.values())
            wanted = max(self._credit - aged, 0) + min(parked, PARKED_MAX)
        if wanted != self._granted and self._inner is not None:
            self._granted = wanted
            self._inner.grant(wanted)

    def _forget(self, claim: Claim) -> None:
        if self.held.get(claim.job) is claim:
            del self.held[claim.job]

    def _ask_again(self, claim: Claim) -> None:
        """A message whose claim is over: whoever holds the job now is in the right."""
        if (other := self.asked.get(claim.job)) is not None:
            for tag in claim.tags:
                self._join(other, msgspec.structs.replace(claim.delivery, tag=tag))
            return
        ask = self.asked[claim.job] = Ask(self, claim.delivery, claim.tags, self._monotonic())
        ask.is_redelivered = False
        self._asking.waiting.append(ask)
        self._asking.wake()


def _attempt(delivery: Delivery) -> int:
    """The attempt that a message invites to."""
    try:
        job = codec.decode(delivery.message.body, JobMessage)
    except CodecError:
        return 1
    return job.attempt
