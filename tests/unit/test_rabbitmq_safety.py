"""RabbitMQ without a server: what may be acked together, when a publication counts, how long anything is waited for."""

import asyncio
import random
from typing import Any

import pytest

from dts_core.brokers.base import HEARTBEATS, RESULTS, Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.rabbitmq import refusals
from dts_core.brokers.rabbitmq.acks import AckBook
from dts_core.brokers.rabbitmq.aiopika_plane import AioPikaPlane
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.deadlines import answered
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.making import Maker
from dts_core.brokers.rabbitmq.patience import patiently
from dts_core.brokers.rabbitmq.publishing import Parcel, Publisher
from dts_core.brokers.rabbitmq.stream import Stream
from dts_core.brokers.rabbitmq.topology import REPLIES, Topology
from dts_core.errors import BrokerUnavailable, QueueNotFound
from dts_core.settings import QueueNames, RabbitSettings
from dts_core.testing import wait_until
from tests.support import amqp


class Channel:
    """A channel of the driver that says nothing by itself."""

    number = 1

    def __init__(self) -> None:
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()


@pytest.fixture
async def stream() -> Stream:
    """Of a connection without a socket."""
    return Stream(asyncio.StreamReader(), asyncio.get_running_loop())


@pytest.fixture
async def channel() -> Channel:
    return Channel()


@pytest.fixture
async def plane(stream: Stream, channel: Channel) -> AioPikaPlane:
    return AioPikaPlane(channel, stream, 1.0)  # type: ignore[arg-type]


def _publish(plane: AioPikaPlane, name: str) -> "asyncio.Future[None]":
    message = Message(b"body", message_id=name)
    return plane.publish("", "queue", message, persistent=True, mandatory=True)


def _parcel(name: str) -> Parcel:
    return Parcel("", "queue", Message(b"body", message_id=name), True, True)


def test_an_ack_never_covers_what_is_still_out() -> None:
    """Whatever the order in which deliveries are done, each ack ends done ones alone, and each of them once."""
    chance = random.Random(5)
    for _ in range(200):
        book: AckBook[str] = AckBook()
        out = set(range(1, 20))
        for tag in sorted(out):
            book.add(tag, "owner")
        acked: set[int] = set()
        order = sorted(out, key=lambda _: chance.random())
        while order:
            done = {order.pop() for _ in range(min(len(order), chance.randint(1, 4)))}
            for tag in done:
                assert book.end(tag) == "owner"
            ended: set[int] = set()
            for tag, multiple in book.acks():
                ended |= {each for each in out if each <= tag} if multiple else {tag}
            assert ended == done
            out -= ended
            acked |= ended
        assert acked == set(range(1, 20))


async def test_a_publication_counts_with_its_confirm_alone(
    plane: AioPikaPlane, stream: Stream
) -> None:
    """In whatever order the broker confirms; a number confirms no other, `multiple` all before it."""
    sent = [_publish(plane, f"m{number}") for number in range(5)]
    await asyncio.sleep(0)
    assert not any(future.done() for future in sent)
    stream.data_received(amqp.confirm(spec.BASIC_ACK, 3))
    assert [future.done() for future in sent] == [False, False, True, False, False]
    stream.data_received(amqp.confirm(spec.BASIC_ACK, 4, multiple=True))
    assert [future.done() for future in sent] == [True, True, True, True, False]
    stream.data_received(amqp.confirm(spec.BASIC_NACK, 5))
    with pytest.raises(BrokerUnavailable):
        await sent[4]


async def test_a_publication_that_no_queue_took_is_an_error(
    plane: AioPikaPlane, stream: Stream
) -> None:
    """Its confirm follows, and changes nothing."""
    lost, taken = _publish(plane, "lost"), _publish(plane, "taken")
    stream.data_received(amqp.returned("queue", message_id="lost"))
    stream.data_received(amqp.confirm(spec.BASIC_ACK, 2, multiple=True))
    with pytest.raises(QueueNotFound):
        await lost
    await taken


async def test_a_lost_channel_ends_every_wait(plane: AioPikaPlane, channel: Channel) -> None:
    """The outcome is unknown, and is said to be; the owner hears it once."""
    told: list[str] = []
    plane.on_lost = told.append
    future = _publish(plane, "m")
    channel.closing.set_exception(OSError("gone"))
    with pytest.raises(BrokerUnavailable, match="unknown"):
        await future
    assert len(told) == 1


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        return None


@pytest.mark.parametrize("is_slow", [False, True])
async def test_nothing_is_sent_on_a_channel_that_the_broker_closed(
    plane: AioPikaPlane, stream: Stream, is_slow: bool
) -> None:
    """The driver answers it later: an ack behind that answer would cost the connection and all its other channels."""
    transport = Transport()
    told: list[str] = []
    plane.on_lost = told.append
    stream.connection_made(transport)  # type: ignore[arg-type]
    if is_slow:
        stream.pause_writing()
    plane.ack(1)
    stream.data_received(amqp.close(spec.CHANNEL_CLOSE, 406, "late"))
    assert transport.written == [writing.ack(1, 1, multiple=False)]
    plane.ack(2)
    plane.nack(3, requeue=True)
    with pytest.raises(BrokerUnavailable, match="late"):
        await _publish(plane, "m")
    if is_slow:
        stream.resume_writing()
    await asyncio.sleep(0)
    assert len(transport.written) == 1
    assert told == ["the channel was lost (late)."]


async def test_a_confirm_is_waited_for_no_longer_than_its_deadline(plane: AioPikaPlane) -> None:
    """A broker that says nothing more is doubted."""
    doubts: list[str] = []
    publisher = Publisher(window=10, deadline_seconds=0.05, in_doubt=doubts.append)
    publisher.use(plane)
    async with asyncio.timeout(60):
        with pytest.raises(BrokerUnavailable, match="did not confirm"):
            await publisher.publish([_parcel("m")])
    assert doubts


async def test_a_channel_that_refuses_is_given_up(
    plane: AioPikaPlane, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment later, and only while it is in use: it may know none but a node of the cluster that is gone."""
    monkeypatch.setattr(refusals, "ELECTION_SECONDS", 0.01)
    doubts: list[str] = []
    publisher = Publisher(window=10, deadline_seconds=5, in_doubt=doubts.append)
    publisher.use(plane)
    for number in (1, 2):
        task = asyncio.create_task(publisher.publish([_parcel("m")]))
        await wait_until(lambda: len(plane._confirms) == 1)
        stream.data_received(amqp.confirm(spec.BASIC_NACK, number))
        with pytest.raises(BrokerUnavailable, match="refused"):
            await task
        if number == 1:
            await wait_until(lambda: len(doubts) == 1)
            continue
        publisher.stop()
        await asyncio.sleep(0.05)
    assert len(doubts) == 1


async def test_without_a_connection_a_publisher_gives_up_in_time() -> None:
    """It would wait for ever for one to come."""
    publisher = Publisher(window=10, deadline_seconds=0.05, in_doubt=lambda reason: None)
    async with asyncio.timeout(60):
        with pytest.raises(BrokerUnavailable):
            await publisher.publish([_parcel("m")])


async def test_a_publisher_returns_after_the_last_confirm(
    plane: AioPikaPlane, stream: Stream
) -> None:
    """Not with the first, and with the error of any."""
    publisher = Publisher(window=10, deadline_seconds=5, in_doubt=lambda reason: None)
    publisher.use(plane)
    task = asyncio.create_task(publisher.publish([_parcel("a"), _parcel("b")]))
    await wait_until(lambda: len(plane._confirms) == 2)
    stream.data_received(amqp.confirm(spec.BASIC_ACK, 2))
    await asyncio.sleep(0)
    assert not task.done()
    stream.data_received(amqp.returned("queue", message_id="a"))
    stream.data_received(amqp.confirm(spec.BASIC_ACK, 1))
    with pytest.raises(QueueNotFound):
        await task


async def test_any_answer_of_the_broker_has_a_deadline() -> None:
    """What the driver would wait for without end."""
    async with asyncio.timeout(60):
        with pytest.raises(BrokerUnavailable, match="no answer"):
            async with answered("asking", 0.02):
                await asyncio.Event().wait()


async def test_work_is_persistent_and_everything_for_a_queue_is_mandatory() -> None:
    """What no queue takes comes back, and a restart of the broker costs no result; answers may go nowhere."""
    broker = RabbitmqBroker("amqp://guest:guest@127.0.0.1:1/v", host="h", role="worker")
    parcels = [
        await broker._parcel(Outgoing(queue, Message(b"body")))
        for queue in (RESULTS, HEARTBEATS, f"{REPLIES[0]}x")
    ]
    ways = [(parcel.is_persistent, parcel.is_mandatory) for parcel in parcels]
    assert ways == [(True, True), (False, True), (False, False)]


class Declarations:
    """A supervisor whose channel for declarations knows no queue and makes each."""

    deadline_seconds = 1.0
    made: list[str]

    def __init__(self) -> None:
        self.made = []

    async def control(self) -> "Declarations":
        return self

    async def declare_queue(self, queue: str, *, passive: bool = False, **_: Any) -> None:
        if passive:
            raise QueueNotFound(queue)
        self.made.append(queue)


@pytest.mark.parametrize(
    ("kind", "promise", "waits"),
    [
        ("quorum", QueueKind.WORK, True),
        ("classic", QueueKind.WORK, True),
        ("classic", QueueKind.BOUNDED, False),
    ],
)
async def test_a_new_queue_that_may_lose_nothing_settles_before_it_takes_messages(
    kind: Any, promise: QueueKind, waits: bool
) -> None:
    """RabbitMQ forgets a queue's messages when it crashes just after the queue was made."""
    settings = RabbitSettings(kinds={"*": kind})
    maker = Maker(Declarations(), Topology(QueueNames(), settings), 0.05)  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    await maker.queue(QueueSpec("work", promise))
    made = loop.time()
    waiting = asyncio.ensure_future(maker.settled(["work"]))
    await asyncio.sleep(0)
    assert waiting.done() is not waits
    await maker.settled(["another"])  # one that was there before
    assert waiting.done() is not waits
    await waiting
    assert loop.time() - made >= (0.05 if waits else 0)
    again = asyncio.ensure_future(maker.settled(["work"]))
    await asyncio.sleep(0)
    assert again.done()


async def test_a_broker_that_is_coming_back_is_asked_again() -> None:
    """Until it answers, or the time is over; another refusal is passed on at once."""
    answers: list[Exception | str] = [BrokerUnavailable("INTERNAL_ERROR"), "here"]
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        answer = answers[min(asked, len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await patiently(ask, 10) == "here"
    asked, answers = 0, [QueueNotFound("gone")]
    with pytest.raises(QueueNotFound):
        await patiently(ask, 10)
    assert asked == 1
    asked, answers = 0, [BrokerUnavailable("INTERNAL_ERROR")]
    with pytest.raises(BrokerUnavailable):
        await patiently(ask, 0.1)
    assert asked == 2
