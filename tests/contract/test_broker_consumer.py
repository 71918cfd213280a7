"""The consumer base: every delivery ends exactly once, the ack last."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers.base import Broker, Delivery, Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.consumer import Consumer, HandBack
from dts_core.errors import QueueNotFound, StoreUnavailable
from dts_core.model import Progress
from dts_core.testing import wait_until
from tests.contract.broker_backends import Backend
from tests.support.taking import outgoing, stands, until_stands

NAMES = [f"m{number:02}" for number in range(20)]


class Recorder(Consumer[bytes]):
    """Raw bytes; does what `work` does."""

    name = "recorder"
    queue = "work"

    def __init__(self, broker: Broker, work: Callable[[str], Any], **options: Any) -> None:
        super().__init__(broker, **options)
        self.work = work
        self.seen: list[str] = []

    async def operate(self, message: bytes, delivery: Delivery) -> Any:
        self.seen.append(message.decode())
        answer = self.work(message.decode())
        return await answer if asyncio.iscoroutine(answer) else answer


class Batcher(Recorder):
    """The same in batches."""

    sizes: list[int]

    async def operate_batch(self, messages: Sequence[bytes]) -> Sequence[Any] | None:
        self.sizes = [*getattr(self, "sizes", []), len(messages)]
        names = [message.decode() for message in messages]
        self.seen += names
        return [self.work(name) for name in names]


@asynccontextmanager
async def running(consumer: Consumer[Any]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(consumer.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def work_queue(backend: Backend) -> Broker:
    side = await backend.side()
    await side.declare(QueueSpec("work"))
    return side


async def dead(side: Broker, count: int) -> dict[str, str]:
    """Message id -> reason of every dead letter, once there are so many."""

    async def are_dead() -> bool:
        return len(await side.dead_letters()) >= count

    await wait_until(are_dead, what=f"{count} dead letters")
    return {letter.message.message_id: letter.reason for letter in await side.dead_letters()}


async def test_messages_are_worked_on_and_acked(backend: Backend) -> None:
    """What operate returned from is over, and counted."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", NAMES))
    consumer = Recorder(side, lambda name: None)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["done"] == 20)
        await until_stands(side, "work", 0)
    assert sorted(consumer.seen) == NAMES
    assert consumer.counters["received"] == 20


async def test_the_ack_comes_last(backend: Backend) -> None:
    """While operate works the delivery is unacked; up to prefetch are worked on at once."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", NAMES))
    gate = asyncio.Event()

    async def wait(name: str) -> None:
        await gate.wait()

    consumer = Recorder(side, wait, prefetch=4)
    async with running(consumer):
        await wait_until(lambda: len(consumer.seen) == 4)
        assert await stands(side, "work") == (16, 4)
        gate.set()
        await until_stands(side, "work", 0)


async def test_errors_are_dead_letters_with_their_reason(backend: Backend) -> None:
    """An error ends its own message only, with the error's name and text, made printable."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", ["good", "bad"]))

    def work(name: str) -> None:
        if name == "bad":
            raise ValueError("no \x1b[2J luck")

    consumer = Recorder(side, work)
    async with running(consumer):
        await wait_until(lambda: (consumer.counters["done"], consumer.counters["dead"]) == (1, 1))
        await until_stands(side, "work", 0)
    assert await dead(side, 1) == {"bad": "ValueError: no \\x1b[2J luck"}
    assert consumer.counters["done"] == 1


async def test_undecodable_bodies_are_dead_letters(backend: Backend) -> None:
    """A body that is not the consumer's message never reaches operate."""

    class Typed(Consumer[Progress]):
        queue = "work"
        message_class = Progress
        got: ClassVar[list[Progress]] = []

        async def operate(self, message: Progress, delivery: Delivery) -> None:
            self.got.append(message)

    side = await work_queue(backend)
    progress = Progress("j", 1, 0.5)
    good = Outgoing("work", Message(codec.encode(progress), message_id="good"))
    await side.publish([*outgoing("work", ["rubbish"]), good])
    consumer = Typed(side)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["dead"] == consumer.counters["done"] == 1)
        await until_stands(side, "work", 0)
    assert consumer.got == [progress]
    assert list(await dead(side, 1)) == ["rubbish"]


async def test_outages_bury_nothing(backend: Backend) -> None:
    """While the store is away the same messages are tried again here, without being returned or buried."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", ["a", "b"]))
    away = {"a": 2, "b": 0}

    def work(name: str) -> None:
        away[name] -= 1
        if away[name] >= 0:
            raise StoreUnavailable("away")

    consumer = Recorder(side, work)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["done"] == 2)
        await until_stands(side, "work", 0)
    assert sorted(consumer.seen) == ["a", "a", "a", "b"]
    assert consumer.counters["retried"] == 2
    assert await dead(side, 0) == {}
    assert not consumer.counters["returned"]


async def test_handed_back_messages_come_again(backend: Backend) -> None:
    """HandBack returns the delivery to the front of its queue."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", ["a", "b"]))
    refused: list[str] = []

    def work(name: str) -> None:
        if name == "a" and not refused:
            refused.append(name)
            raise HandBack("not now")

    consumer = Recorder(side, work, prefetch=1)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["done"] == 2)
        await until_stands(side, "work", 0)
    assert consumer.seen == ["a", "a", "b"]
    assert consumer.counters["returned"] == 1


async def test_stopping_returns_what_is_not_begun_and_ends_what_is(backend: Backend) -> None:
    """On cancel what is worked on may end and is acked; the rest is ready for others at once."""
    side = await work_queue(backend)
    other = await work_queue(backend)
    await side.publish(outgoing("work", NAMES[:6]))
    gate = asyncio.Event()

    class Slow(Batcher):
        async def operate_batch(self, messages: Sequence[bytes]) -> Sequence[Any] | None:
            self.seen += [message.decode() for message in messages]
            await gate.wait()
            return None

    consumer = Slow(side, lambda name: None, batch=2)
    task = asyncio.ensure_future(consumer.run())
    await wait_until(lambda: len(consumer.seen) == 2)
    task.cancel()
    await until_stands(other, "work", 4, backend.promises.seen(2))
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_stands(other, "work", 4, 0)
    assert consumer.seen == ["m00", "m01"]


async def test_batches_take_what_is_there(backend: Backend) -> None:
    """One batch after the other, in order, up to the bound, never waiting for a full one."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", NAMES))
    consumer = Batcher(side, lambda name: None, batch=8, prefetch=20)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["done"] == 20)
        await side.publish(outgoing("work", ["late"]))
        await wait_until(lambda: consumer.counters["done"] == 21)
    assert consumer.seen == [*NAMES, "late"]
    assert max(consumer.sizes) == 8
    assert consumer.sizes[-1] == 1


async def test_one_bad_message_does_not_bury_its_batch(backend: Backend) -> None:
    """When a batch fails as a whole its messages are tried one by one: only the one at fault is dead."""
    side = await work_queue(backend)
    await side.publish(outgoing("work", NAMES[:6]))

    def work(name: str) -> None:
        if name == "m03":
            raise KeyError(name)

    consumer = Batcher(side, work, batch=6)
    async with running(consumer):
        await wait_until(lambda: consumer.counters["done"] == 5)
        await until_stands(side, "work", 0)
    assert list(await dead(side, 1)) == ["m03"]
    assert consumer.counters["done"] == 5


async def test_callers_are_answered(backend: Backend) -> None:
    """What operate returns goes to the caller with its correlation id; None answers nothing."""

    class Doubled(msgspec.Struct):
        text: str

    side, client = await backend.side(), await backend.side()
    await side.declare(QueueSpec("requests", QueueKind.REQUEST))
    consumer = Recorder(side, lambda name: Doubled(name * 2), queue="requests")
    async with running(consumer):
        answer = await client.request("requests", Message(b"ab", correlation_id="mine"))
        await client.publish([Outgoing("requests", Message(b"no caller"))])
        await wait_until(lambda: consumer.counters["done"] == 2)
    assert (answer.type, answer.correlation_id) == ("Doubled", "mine")
    assert codec.decode(answer.body, Doubled) == Doubled("abab")
    assert consumer.counters["answered"] == 1


async def test_a_missing_queue_is_an_error(backend: Backend) -> None:
    """A consumer on a queue that nobody declared does not wait for ever."""
    with pytest.raises(QueueNotFound):
        await Recorder(await backend.side(), lambda name: None, queue="none").run()


async def test_deliveries_of_lost_channels_do_not_pile_up() -> None:
    """During an outage of the store each new connection brings again what is held: no more is kept than is unacked."""
    consumer = Recorder(cast(Broker, None), lambda name: None, prefetch=3)
    for number in range(5):
        first = number * 3
        consumer._arrived(
            [Delivery(first + at, "work", Message(NAMES[at].encode())) for at in range(3)]
        )
    assert [delivery.tag for delivery in consumer._waiting] == [12, 13, 14]
