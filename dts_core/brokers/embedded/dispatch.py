"""Handing out: which message goes to which consumer, and what becomes of it. All of it lives on the loop's thread."""

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from dts_core.brokers.base import ClaimAnswer, ClaimRequest, ClaimVerdict, Delivery
from dts_core.brokers.embedded.adoptions import Adoptions
from dts_core.brokers.embedded.claiming import Desk, Tasks
from dts_core.brokers.embedded.endings import Endings
from dts_core.brokers.embedded.outlets import Outlet, Outlets, Taking
from dts_core.brokers.embedded.parking import Parking
from dts_core.brokers.embedded.queues import Entry
from dts_core.clock import Clock
from dts_core.sqlite import Database

if TYPE_CHECKING:
    from dts_core.brokers.embedded.links import Link

BATCH_MAX: Final = 256
"""Most messages handed to one consumer at once."""
DESK_PAUSE_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class Dispatcher:
    """Takes messages out of queues and hands them to takings; keeps who has what."""

    def __init__(self, database: Database, clock: Clock, desk: Desk, tasks: Tasks) -> None:
        self._desk = desk
        self._tasks = tasks
        self._endings = Endings(database, clock, desk=desk, tasks=tasks, wake=self.wake)
        self._parking = Parking(self._endings.put_back)
        self._adoptions = Adoptions(self._endings.forget)
        self.outlets = Outlets()
        self.is_open = True

    def stop(self) -> None:
        """Hand nothing out any more."""
        self.is_open = False
        self._parking.close(self.outlets.values())

    def flush(self) -> None:
        """Send the acks that are left to the file."""
        self._endings.flush()

    # --- handing out

    def wake(self, outlet: Outlet) -> None:
        """Have the queue hand out soon, once for all that happens in this turn of the loop."""
        if not outlet.is_woken and outlet.takings and self.is_open:
            outlet.is_woken = True
            asyncio.get_running_loop().call_soon(self._hand_out, outlet)

    def _hand_out(self, outlet: Outlet) -> None:
        outlet.is_woken = False
        queue = outlet.queue
        claimed = queue.claimed
        if outlet.is_paused or not self.is_open or (claimed and self._desk.desk is None):
            return
        while queue.ready:
            takers = [taking for taking in outlet.takings if taking.room() > 0]
            if not takers:
                return
            if len(takers) > 1:
                takers.sort(key=lambda taking: len(taking.unacked))
            share = min(max(-(-queue.ready // len(takers)), 1), BATCH_MAX)
            for taking in takers:
                entries = queue.take(min(share, taking.room()))
                if not entries:
                    return  # taken by the others, or still to be read: the read wakes us
                outlet.queue.figures.unacked += len(entries)
                if claimed:
                    taking.claiming += len(entries)
                    self._tasks.start(self._claim(taking, entries), "claim")
                else:
                    self._deliver(taking, entries, None)

    def _deliver(
        self, taking: Taking, entries: Sequence[Entry], answers: Sequence[ClaimAnswer] | None
    ) -> None:
        name = taking.outlet.queue.name
        tag, unacked = taking.next_tag, taking.unacked
        deliveries = []
        for index, entry in enumerate(entries):
            unacked[tag] = entry
            if answers is None:
                delivery = Delivery(tag, name, entry.message, entry.seen)
            else:
                answer = answers[index]
                delivery = Delivery(
                    tag, name, entry.message, entry.seen, answer.epoch, answer.attempt
                )
            entry.seen = True
            deliveries.append(delivery)
            tag += 1
        taking.next_tag = tag
        taking.outlet.queue.figures.delivered += len(deliveries)
        try:
            taking.on_deliveries(deliveries)
        except Exception:  # a consumer's mistake must not stop the queue for the others
            log.exception("a consumer failed while taking deliveries", queue=name)

    # --- claims

    async def _claim(self, taking: Taking, entries: list[Entry]) -> None:
        outlet, link = taking.outlet, taking.link
        if self._adoptions:
            taking.claiming -= len(entries)
            entries = self._adoptions.without_adopted(outlet, entries)
            taking.claiming += len(entries)
        requests = [
            ClaimRequest(
                entry.message.message_id,
                link.host,
                link.worker,
                entry.released,
                entry.epoch,
                returned=entry.returned,
            )
            for entry in entries
        ]
        answers: list[ClaimAnswer] | None = None
        settled = False
        try:
            answers = await self._desk.grant(requests) if requests else []
            settled = True
        finally:
            taking.claiming -= len(entries)
            if not settled:
                self._endings.put_back(outlet, entries)
        if answers is None:
            self._endings.put_back(outlet, entries)
            self._rest(taking)
            return
        await self._settle(taking, entries, answers)
        self.wake(outlet)

    async def _settle(
        self, taking: Taking, entries: list[Entry], answers: list[ClaimAnswer]
    ) -> None:
        """Sort the answers: granted ones are delivered, finished ones end, held ones wait aside."""
        granted: list[Entry] = []
        grants: list[ClaimAnswer] = []
        finished: list[Entry] = []
        for entry, answer in zip(entries, answers, strict=True):
            if answer.verdict is ClaimVerdict.GRANTED:
                granted.append(entry)
                grants.append(answer)
            elif answer.verdict is ClaimVerdict.FINISHED:
                finished.append(entry)
            elif not self._adoptions.meets(taking.outlet, entry):
                self._parking.park(taking.outlet, entry, answer.retry_after_seconds)
        if finished:
            self._endings.forget(taking.outlet, finished)
        if not granted:
            return
        if not taking.is_open or not self.is_open:
            claims = [
                (entry.message.message_id, answer.epoch)
                for entry, answer in zip(granted, grants, strict=True)
            ]
            await self._desk.give_back(claims, "the consumer was gone before the delivery")
            self._endings.put_back(taking.outlet, granted)
            return
        for entry, answer in zip(granted, grants, strict=True):
            entry.released = entry.returned = False
            entry.epoch = answer.epoch
            taking.link.claim(entry.message.message_id, answer.epoch)
        self._deliver(taking, granted, grants)

    def _rest(self, taking: Taking) -> None:
        """Ask the claim desk again after a pause."""
        taking.resting = True

        def resume() -> None:
            taking.resting = False
            self.wake(taking.outlet)

        asyncio.get_running_loop().call_later(DESK_PAUSE_SECONDS, resume)

    def unpark(self, jobs: set[str]) -> None:
        """Nothing stands against these any more: those of their messages that are parked are ready."""
        self._parking.unpark(jobs, self.outlets.values())

    # --- how a delivery ends

    def ack(self, taking: Taking, tags: Sequence[int]) -> None:
        """End deliveries; unknown tags are ignored."""
        unacked = taking.unacked
        entries = [entry for tag in tags if (entry := unacked.pop(tag, None)) is not None]
        if taking.adopted:
            self._adoptions.ack(taking, tags)
        if entries:
            taking.outlet.queue.figures.acked += len(entries)
            if taking.outlet.queue.claimed:
                for entry in entries:
                    taking.link.acked(entry.message.message_id, entry.epoch)
            self._endings.forget(taking.outlet, entries)
        self.wake(taking.outlet)

    def nack(self, taking: Taking, tags: Sequence[int], requeue: bool, reason: str) -> None:
        """Take deliveries back, charged one return, or bury them."""
        entries = [entry for tag in tags if (entry := taking.unacked.pop(tag, None)) is not None]
        if not entries:
            return
        outlet = taking.outlet
        claims = taking.link.forget(entries) if outlet.queue.claimed else []
        if not requeue:
            self._endings.bury(outlet, entries, reason or "refused by its consumer")
        elif claims:
            self._tasks.start(
                self._give_back(outlet, entries, claims, reason, charged=True), "return"
            )
        else:
            self._endings.charge(outlet, entries)

    def release(self, taking: Taking, reason: str) -> None:
        """End a consumer gracefully: what it holds goes back uncharged."""
        entries = self._detach(taking)
        if not entries:
            return
        if taking.outlet.queue.claimed:
            claims = taking.link.forget(entries)
            work = self._give_back(taking.outlet, entries, claims, reason, charged=False)
            self._tasks.start(work, "release")
        else:
            self._endings.put_back(taking.outlet, entries)

    def lose(self, link: "Link", reason: str, keep: Container[str] = frozenset()) -> None:
        """A link is gone: its deliveries are ready again, its claims are charged a loss.

        A claim whose result is already published is neither: that result counts, so its message ends.

        Args:
            link: The one that is gone.
            reason: For the jobs' records.
            keep: Jobs whose claim goes on, because their worker is back on another link: nothing is charged for them.
        """
        held = [(taking.outlet, self._detach(taking)) for taking in list(link.takings)]
        held += self._adoptions.end(link)
        lost = [claim for claim in link.take_unreported() if claim[0] not in keep]
        counts = frozenset(lost)
        charged: list[tuple[Outlet, list[Entry]]] = []
        for outlet, entries in held:
            if not outlet.queue.claimed:
                self._endings.charge(outlet, entries)
                continue
            kept, gone, over = [], [], []
            for entry in entries:
                if entry.message.message_id in keep:
                    kept.append(entry)
                elif (entry.message.message_id, entry.epoch) in counts:
                    gone.append(entry)
                else:
                    over.append(entry)
            self._endings.put_back(outlet, kept)
            self._endings.forget(outlet, over)
            charged.append((outlet, gone))
        if lost:
            self._tasks.start(self._charge(charged, lost, reason), "lose")

    def release_link(self, link: "Link", reason: str) -> None:
        """A link says good-bye: what it holds goes back uncharged."""
        for taking in list(link.takings):
            self.release(taking, reason)
        for outlet, entries in self._adoptions.end(link):
            claims = link.forget(entries)
            self._tasks.start(
                self._give_back(outlet, entries, claims, reason, charged=False), "release"
            )
        rest = link.take_unreported()
        if rest:
            self._tasks.start(self._desk.give_back(rest, reason), "release")

    async def _charge(
        self, held: list[tuple[Outlet, list[Entry]]], claims: list[tuple[str, int]], reason: str
    ) -> None:
        buried = frozenset(await self._desk.lose(claims, reason))
        for outlet, entries in held:
            self._endings.forget(
                outlet, [entry for entry in entries if entry.message.message_id in buried]
            )
            rest = [entry for entry in entries if entry.message.message_id not in buried]
            for entry in rest:
                entry.released = True
            self._endings.charge(outlet, rest)

    async def _give_back(
        self, outlet: Outlet, entries: list[Entry], claims: list[tuple[str, int]], reason: str, *, charged: bool
    ) -> None:  # fmt: skip
        await self._desk.give_back(
            claims, reason
        )  # which may have been in vain: the next claim says it again
        for entry in entries:
            entry.released = entry.returned = True
        if charged:
            self._endings.charge(outlet, entries)
        else:
            self._endings.put_back(outlet, entries)

    def _detach(self, taking: Taking) -> list[Entry]:
        taking.is_open = False
        taking.link.takings.discard(taking)
        if taking in taking.outlet.takings:
            taking.outlet.takings.remove(taking)
        entries = list(taking.unacked.values())
        taking.unacked.clear()
        self._adoptions.unbind(taking)
        return entries

    # --- adoption

    def adopt(self, link: "Link", claims: Sequence[tuple[str, int]]) -> None:
        """Give a link that came back its claims, and the deliveries that belong to them."""
        self._adoptions.adopt(link, claims, self.outlets.values())

    def bind(self, taking: Taking, tags: Sequence[tuple[int, str]]) -> None:
        """Bind adopted claims, (tag, job), to the consumer that had them."""
        self._adoptions.bind(taking, tags)

    def abandon(self, link: "Link") -> None:
        """The owner stops: the link is handed nothing more, what it has stays its own."""
        for taking in list(link.takings):
            self._detach(taking)
