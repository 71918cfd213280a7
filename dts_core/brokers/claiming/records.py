"""What a worker knows of a message of a claimed queue: first asked about, then claimed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dts_core.brokers.base import Delivery

if TYPE_CHECKING:
    from dts_core.brokers.claiming.consumption import ClaimedConsumption

ENDED_MAX: Final = 4_096
"""Claims that ended lately, of which at least so many are remembered."""


class Ask:
    """A message whose claim is asked for, with every tag that it came under."""

    __slots__ = (
        "consumption",
        "delivery",
        "is_asked",
        "is_over",
        "is_parked",
        "is_redelivered",
        "late",
        "lease",
        "since",
        "stands_against",
        "tags",
    )

    def __init__(
        self, consumption: "ClaimedConsumption", delivery: Delivery, tags: list[int], since: float
    ) -> None:
        self.consumption = consumption
        self.delivery = delivery
        self.tags = tags
        self.since = since
        """When it came, by the monotonic clock."""
        self.late: list[Delivery] = []
        """Messages that came while the question was on its way: the answer may be older than they are."""
        self.is_redelivered = delivery.redelivered
        """Asked for as a delivery whose former holder is gone."""
        self.is_asked = False
        """On its way to the control side."""
        self.is_parked = False
        """Waits for another claim's lease to end."""
        self.is_over = False
        """Handed back meanwhile: the answer changes nothing here."""
        self.stands_against = 0
        """Epoch of the live claim that all of its messages met when they were asked for last; 0: none."""
        self.lease = 0
        """What was said of that claim when its holder was called; 0: it was not."""

    @property
    def job(self) -> str:
        """Its job."""
        return self.delivery.message.message_id

    def join(self, deliveries: Sequence[Delivery]) -> None:
        """Ask for further messages with it. They may have come because the claim that stood against it is over."""
        if deliveries:
            self.tags += [delivery.tag for delivery in deliveries]
            self.stands_against = 0


class Claim:
    """A claim of this worker, from the grant until its delivery has ended."""

    __slots__ = ("consumption", "delivery", "doubts", "epoch", "is_live", "since", "tag", "tags")

    def __init__(self, ask: Ask, epoch: int) -> None:
        self.consumption = ask.consumption
        self.delivery = ask.delivery
        self.tags = ask.tags
        """What its messages are known by where they came from; empty once they are acked, or lost with the stream."""
        self.tag = 0
        """What the worker knows it by."""
        self.since = ask.since
        self.epoch = epoch
        self.doubts = 0
        """How often a message came for it of which is not known yet whether the claim still stood then."""
        self.is_live = True
        """The worker has it; False while it is given back."""

    @property
    def job(self) -> str:
        """Its job."""
        return self.delivery.message.message_id


class Ended:
    """Claims that ended here lately: what still stands for them has its result, or its return, on the way."""

    def __init__(self) -> None:
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def add(self, job: str, epoch: int) -> None:
        """Remember one."""
        self._now[job] = epoch
        if len(self._now) >= ENDED_MAX:
            self._before, self._now = self._now, {}

    def epoch(self, job: str) -> int:
        """The epoch of the last one of a job, 0 when none is remembered."""
        return self._now.get(job) or self._before.get(job, 0)
