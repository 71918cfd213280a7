"""A consumer on RabbitMQ without a server: what its tags mean over one channel after another."""

import asyncio
from collections.abc import Callable
from typing import Any

from dts_core.brokers.base import Delivery, Message, QueueSpec
from dts_core.brokers.rabbitmq.consumption import RabbitConsumption
from dts_core.brokers.rabbitmq.figures import Figures
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.testing import wait_until


class Channel:
    """Takes one consumer and writes down what is acked and nacked."""

    def __init__(self) -> None:
        self.on_lost: Callable[[str], None] = lambda _: None
        self.on_cancelled: Callable[[str], None] = lambda _: None
        self.ended: list[tuple[str, int]] = []
        self._deliver: Callable[[list[PlaneDelivery]], None] | None = None

    async def consume(self, _queue: str, on_deliveries: Any, *, prefetch: int) -> str:
        assert prefetch
        self._deliver = on_deliveries
        return "c"

    @property
    def is_consuming(self) -> bool:
        return self._deliver is not None

    def bring(self, tag: int, job: str) -> None:
        assert self._deliver is not None
        self._deliver([PlaneDelivery(tag, False, "work", Message(b"", message_id=job))])

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        assert not multiple
        self.ended.append(("ack", tag))

    def nack(self, tag: int, *, requeue: bool) -> None:
        assert requeue
        self.ended.append(("nack", tag))

    async def close(self) -> None:
        self._deliver = None


class Home:
    """A broker with a queue that is always there."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []

    async def open_plane(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    async def make(self, _spec: QueueSpec) -> None: ...

    def has_connection(self) -> bool:
        return True

    def is_paused(self, _queue: str) -> bool:
        return False

    def may_hand_out(self, _queue: str) -> bool:
        return True


async def test_a_tag_of_a_lost_channel_ends_no_message_of_the_next() -> None:
    """The broker counts anew on each channel; what was handed out before is nobody's any more."""
    home = Home()
    taken: list[Delivery] = []
    consumption = RabbitConsumption(
        home, QueueSpec("work"), ["work"], taken.extend,  # type: ignore[arg-type]
        credit=4, figures=Figures(), deadline_seconds=1, ended=lambda _: None,
    )  # fmt: skip
    consumption.begin()
    await consumption.tend()
    first = home.channels[0]
    first.bring(1, "early")
    first.bring(2, "later")
    first.on_lost("it was closed")
    await wait_until(lambda: len(home.channels) == 2 and home.channels[1].is_consuming)
    second = home.channels[1]
    second.bring(1, "another")
    early, later, another = taken
    assert len({early.tag, later.tag, another.tag}) == 3
    consumption.ack([early.tag])
    consumption.nack([later.tag], requeue=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (first.ended, second.ended) == ([], [])
    assert consumption.unacked == 1
    consumption.ack([another.tag])
    await wait_until(lambda: second.ended == [("ack", 1)])
    assert consumption.unacked == 0
    await consumption.close()
