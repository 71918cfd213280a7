"""What stands behind one link, as its session sees it: the owner's queues, or a broker elsewhere.

What is known at once is done at once; what takes a while gives a future.
"""

import asyncio
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from dts_core.brokers.base import (
    DeadLetter,
    Delivery,
    Message,
    OnMessage,
    Outgoing,
    QueueSpec,
)
from dts_core.model import QueueStats

__all__ = ["Heard", "Side", "Taken"]


class Taken(Protocol):
    """One consumer of a link; see `Consumption`."""

    def ack(self, tags: Sequence[int]) -> None:
        """End deliveries for good."""
        ...

    def nack(self, tags: Sequence[int], *, requeue: bool, reason: str = "") -> None:
        """Hand deliveries back, or to the dead letters."""
        ...

    def grant(self, credit: int) -> None:
        """Set how many deliveries may be unacked."""
        ...

    def end(self) -> None:
        """Take no more; what is unacked goes back uncharged."""
        ...


class Heard(Protocol):
    """One subscription of a link; `dropped` counts what its bounded queue lost."""

    dropped: int

    def pause(self) -> None:
        """Hand over nothing until `resume`."""
        ...

    def resume(self) -> None:
        """Hand over again."""
        ...

    def end(self) -> None:
        """Take no more."""
        ...


class Side(Protocol):
    """One link. How it ends is said by exactly one of `close`, `lose`, `leave` and `abandon`."""

    host: str
    worker: str

    @property
    def held(self) -> int:
        """How many claims there are."""
        ...

    def holds(self, job: str, epoch: int) -> bool:
        """Whether a result for this claim may come from here."""
        ...

    def reported(self, job: str, epoch: int) -> None:
        """The claim's result was published."""
        ...

    def silence(self, is_silent: bool) -> None:
        """While the far end is not heard nothing more is handed over."""
        ...

    def publish_soon(self, items: Sequence[Outgoing]) -> asyncio.Future[None] | None:
        """Publish in order; None: it is done. Raises as `Broker.publish` does, then nothing is published."""
        ...

    def fanout_now(self, exchange: str, message: Message) -> None:
        """Hand the message to every subscriber."""
        ...

    def declare_soon(self, spec: QueueSpec) -> asyncio.Future[None] | None:
        """Make the queue when it is not there; None: it is done."""
        ...

    def take_soon(
        self, queue: str, on_deliveries: Callable[[list[Delivery]], None], prefetch: int,
        first_tag: int, adopt: Sequence[tuple[int, str]],
    ) -> tuple[Taken, asyncio.Future[None] | None]:  # fmt: skip
        """Start taking, after everything that was declared before; None: it is done."""
        ...

    def listen_soon(
        self, exchange: str, on_message: OnMessage, limit: int
    ) -> tuple[Heard, asyncio.Future[None] | None]:
        """Hear a fanout; None: from now on."""
        ...

    async def request(
        self, queue: str, message: Message, *, timeout_seconds: float = 5.0
    ) -> Message:
        """See Broker."""
        ...

    async def stats(self) -> list[QueueStats]:
        """See Broker."""
        ...

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See Broker."""
        ...

    async def send_again(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        ...

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See Broker."""
        ...

    def set_paused(self, queue: str, *, on: bool) -> None:
        """Pause a queue, or let it hand out again."""
        ...

    async def close(self) -> None:
        """Everything goes back uncharged."""
        ...

    def lose(self, reason: str, keep: Container[str] = frozenset()) -> None:
        """The far end is gone: what it held is lost with it, save for the jobs in `keep`."""
        ...

    def leave(self) -> None:
        """The far end gave the stream up and comes back."""
        ...

    def abandon(self) -> None:
        """This process stops; claims stay with the far end."""
        ...
