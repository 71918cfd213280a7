"""Adoption: a worker is back with claims that are still its own, wherever their messages stand."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from dts_core.brokers.embedded.outlets import Outlet, Taking
from dts_core.brokers.embedded.queues import Entry, WorkQueue

if TYPE_CHECKING:
    from dts_core.brokers.embedded.links import Link


class Adoption:
    """A claim taken over by a link that came back; its delivery is complete when entry and taking have met."""

    __slots__ = ("entry", "epoch", "is_acked", "link", "outlet", "tag", "taking")

    def __init__(self, link: "Link", epoch: int) -> None:
        self.link = link
        self.epoch = epoch
        self.taking: Taking | None = None
        self.tag = 0
        self.entry: Entry | None = None
        self.outlet: Outlet | None = None
        self.is_acked = False


class Adoptions:
    """The claims that were taken over and whose deliveries are not complete yet.

    Args:
        drop: Ends messages for good.
    """

    def __init__(self, drop: Callable[[Outlet, Sequence[Entry]], None]) -> None:
        self._drop = drop
        self._adoptions: dict[str, Adoption] = {}

    def __bool__(self) -> bool:
        return bool(self._adoptions)

    def meets(self, outlet: Outlet, entry: Entry) -> bool:
        """Whether the message belongs to an adopted claim; it is its link's then."""
        adoption = self._adoptions.get(entry.message.message_id)
        if adoption is None:
            return False
        self.meet(adoption, outlet, entry)
        return True

    def unbind(self, taking: Taking) -> None:
        """A consumer closed: its adopted claims stay with the link."""
        for job in taking.adopted.values():
            if job in self._adoptions:
                self._adoptions[job].taking = None
        taking.adopted.clear()

    def adopt(
        self, link: "Link", claims: Sequence[tuple[str, int]], outlets: Iterable[Outlet]
    ) -> None:
        """Give the link the claims, and the deliveries that belong to them, wherever their messages stand."""
        for job, epoch in claims:
            link.claim(job, epoch)
            self._adoptions[job] = Adoption(link, epoch)
        jobs = {job for job, _ in claims}
        for outlet in outlets:
            queue = outlet.queue
            if not isinstance(queue, WorkQueue) or not queue.claimed:
                continue
            pulled = queue.pull(jobs)
            queue.figures.unacked += len(pulled)
            for entry in [*pulled, *outlet.unpark(jobs)]:
                self.meet(self._adoptions[entry.message.message_id], outlet, entry)

    def bind(self, taking: Taking, tags: Sequence[tuple[int, str]]) -> None:
        """Bind adopted claims, (tag, job), to the consumer that had them; others are ignored."""
        for tag, job in tags:
            adoption = self._adoptions.get(job)
            if adoption is None or adoption.link is not taking.link or adoption.taking is not None:
                continue
            adoption.taking, adoption.tag = taking, tag
            taking.adopted[tag] = job
            taking.next_tag = max(taking.next_tag, tag + 1)
            if adoption.entry is not None and adoption.outlet is not None:
                self.meet(adoption, adoption.outlet, adoption.entry)

    def without_adopted(self, outlet: Outlet, entries: list[Entry]) -> list[Entry]:
        """Those of the entries that nobody adopted; the others meet their adoption."""
        free = []
        for entry in entries:
            adoption = self._adoptions.get(entry.message.message_id)
            if adoption is None:
                free.append(entry)
            else:
                self.meet(adoption, outlet, entry)
        return free

    def meet(self, adoption: Adoption, outlet: Outlet, entry: Entry) -> None:
        """An adopted claim's message was met: it is unacked at the link that has the claim."""
        job = entry.message.message_id
        if adoption.is_acked:
            self._adoptions.pop(job, None)
            self._drop(outlet, [entry])
            return
        entry.epoch = adoption.epoch
        entry.seen = True
        if adoption.taking is not None:
            self._adoptions.pop(job, None)
            adoption.taking.adopted.pop(adoption.tag, None)
            adoption.taking.unacked[adoption.tag] = entry
        elif adoption.entry is None:
            adoption.entry, adoption.outlet = entry, outlet
        else:
            self._drop(outlet, [entry])  # a second invitation to the same run

    def ack(self, taking: Taking, tags: Sequence[int]) -> None:
        """Deliveries are over before their message was met: it ends as soon as it is."""
        for tag in tags:
            job = taking.adopted.pop(tag, None)
            if job is not None and job in self._adoptions:
                adoption = self._adoptions[job]
                adoption.is_acked = True
                taking.link.acked(job, adoption.epoch)

    def end(self, link: "Link") -> list[tuple[Outlet, list[Entry]]]:
        """A link ended; returns the messages that were met and not bound to a consumer yet."""
        ended = [job for job, adoption in self._adoptions.items() if adoption.link is link]
        met: list[tuple[Outlet, list[Entry]]] = []
        for job in ended:
            adoption = self._adoptions.pop(job)
            if adoption.entry is not None and adoption.outlet is not None:
                met.append((adoption.outlet, [adoption.entry]))
        return met
