"""Our own AMQP connection against a scripted server: what a real broker seldom does or must not do."""

import asyncio
import logging
import struct
import traceback
from typing import Any

import pytest

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.framing import fields, open_plane, spec, writing
from dts_core.brokers.rabbitmq.framing.address import address_of
from dts_core.brokers.rabbitmq.framing.channel import FramingPlane
from dts_core.brokers.rabbitmq.plane import PlaneDelivery
from dts_core.brokers.rabbitmq.refusals import Refused
from dts_core.errors import BrokerUnavailable, ConfigError, Forbidden, QueueNotFound, TooLarge
from dts_core.testing import wait_until
from tests.support import amqp
from tests.support.amqp import FakeBroker, fake_broker

BODY = Message(b"body")
REFUSED = b"ACCESS_REFUSED - Login was refused"


def publish(plane: FramingPlane, message: Message = BODY, key: str = "q") -> Any:
    return plane.publish("", key, message, persistent=True, mandatory=True)


async def opened(broker: FakeBroker, **options: Any) -> tuple[FramingPlane, list[str]]:
    """A plane on the scripted server, and the reasons it was lost for."""
    plane = await open_plane(broker.url, **{"deadline_seconds": 10.0, **options})
    lost: list[str] = []
    plane.on_lost = lost.append
    return plane, lost


async def test_the_greeting_says_who_we_are() -> None:
    """Name and capabilities go to the broker; the least of both sides' bounds is agreed upon."""
    tuned = amqp.tune(frame_max=8192, heartbeat=7)
    async with fake_broker({spec.CONNECTION_START_OK: tuned}) as broker:
        plane, _ = await opened(broker, heartbeat_seconds=30, name="worker w-1")
        args = fields.Fields(broker.got[0].args)
        client = args.table()
        assert client["connection_name"] == "worker w-1"
        assert client["capabilities"]["connection.blocked"] is True
        assert (args.short_text(), args.long_raw()) == ("PLAIN", b"\0ann\0pass word")
        assert struct.unpack(">HIH", broker.got[1].args) == (1, 8192, 7)
        assert fields.Fields(broker.got[2].args).short_text() == "v"
        await plane.close()
        await plane.close()
        assert spec.CONNECTION_CLOSE in broker.ids()


@pytest.mark.parametrize(
    ("changed", "greeting", "told"),
    [
        ({}, b"AMQP\x00\x01\x00\x00", "another version"),
        ({}, b"HTTP/1.1 400 Bad Request\r\n\r\n", "no AMQP"),
        ({}, amqp.start(mechanisms=b"GSSAPI"), "no login by PLAIN"),
        ({}, amqp.start(capabilities={}), "confirms"),
        ({}, amqp.tune(), "out of turn"),
        ({spec.CONNECTION_START_OK: amqp.tune(frame_max=100)}, b"", "at most 100 bytes"),
        (
            {spec.CONNECTION_START_OK: amqp.close(spec.CONNECTION_CLOSE, 403, "no")}, b"",
            "refuses user 'ann'",
        ),
        (
            {spec.CONNECTION_OPEN: amqp.close(spec.CONNECTION_CLOSE, 530, "vhost v not found")},
            b"", "vhost v not found",
        ),
        (
            {spec.CHANNEL_OPEN: amqp.close(spec.CONNECTION_CLOSE, 504, "CHANNEL_ERROR")},
            b"", "504 CHANNEL_ERROR",
        ),
    ],
    ids=range(9),
)  # fmt: skip
async def test_a_failed_greeting_says_why(changed: Any, greeting: bytes, told: str) -> None:
    """Each is BrokerUnavailable in words; the socket is closed, and no password is in the error or its causes."""
    async with fake_broker(changed, greeting=greeting) as broker:
        with pytest.raises(BrokerUnavailable) as failed:
            await open_plane(broker.url, deadline_seconds=10)
        said = "".join(traceback.format_exception(failed.value))
        assert told in str(failed.value)
        assert "pass" not in said.replace("passed", "").replace("password", "")
        async with asyncio.timeout(60):
            await broker.is_gone.wait()


async def test_a_server_that_never_answers_is_given_up() -> None:
    """The whole opening has one deadline, at whichever step it stands still."""
    for step in (spec.CONNECTION_START_OK, spec.CONNECTION_OPEN, spec.CONFIRM_SELECT):
        async with fake_broker({step: None}) as broker:
            with pytest.raises(BrokerUnavailable):
                await open_plane(broker.url, deadline_seconds=0.2)
            async with asyncio.timeout(60):
                await broker.is_gone.wait()


async def test_nobody_there() -> None:
    """A closed port is BrokerUnavailable too; a URL of another kind is a mistake in the settings."""
    async with fake_broker() as broker:
        url = broker.url
    with pytest.raises(BrokerUnavailable, match="is not there"):
        await open_plane(url)
    for wrong in ("http://ann:word@h", "amqp://ann:word@h:nine", "amqp://ann:word@h?auth=magic"):
        with pytest.raises(ConfigError) as failed:
            address_of(wrong)
        assert "word" not in str(failed.value).removesuffix(failed.value.advice)


def test_an_address_hides_its_password() -> None:
    """Neither its text nor its printed form; defaults are RabbitMQ's own."""
    address = address_of("amqps://ann:s%2Fcret@h.example/a%2Fb")
    assert (address.port, address.vhost, address.password) == (5671, "a/b", "s/cret")
    assert "cret" not in f"{address} {address!r} {[address]}"
    plain = address_of("amqp://h")
    assert (plain.port, plain.vhost, plain.proof()) == (5672, "/", b"\0guest\0guest")
    assert address_of("amqps://ann@h?auth=external").proof() == b""


async def test_a_silent_broker_is_given_up() -> None:
    """Heartbeats go out; when none comes in for two of them, the plane is lost and says so."""
    tuned = amqp.tune(heartbeat=1)
    async with fake_broker({spec.CONNECTION_START_OK: tuned}) as broker:
        plane, lost = await opened(broker)
        waiting = publish(plane)
        await wait_until(lambda: bool(lost))
        assert "silent for 2 seconds" in lost[0]
        assert spec.FRAME_HEARTBEAT in broker.kinds
        with pytest.raises(BrokerUnavailable, match="silent"):
            await waiting


@pytest.mark.alone
async def test_a_broker_that_beats_is_kept() -> None:
    """Its heartbeats alone keep the plane, for longer than two of them."""
    tuned = amqp.tune(heartbeat=1)
    async with fake_broker({spec.CONNECTION_START_OK: tuned}) as broker:
        plane, lost = await opened(broker)
        for _ in range(8):
            broker.send(writing.HEARTBEAT)
            await asyncio.sleep(0.4)
        assert lost == []
        await plane.close()
        assert lost == []


@pytest.mark.parametrize("how", ["connection", "channel", "cut", "rubbish", "other channel"])
async def test_the_end_fails_whatever_waits(how: str) -> None:
    """Publications and questions end at once, the owner is told once, and it stays over."""
    ends = {
        "connection": amqp.close(spec.CONNECTION_CLOSE, 320, "CONNECTION_FORCED - bye"),
        "channel": amqp.close(spec.CHANNEL_CLOSE, 406, "PRECONDITION_FAILED - no"),
        "rubbish": b"HTTP/1.1 400 Bad Request\r\n",
        "other channel": writing.method(2, spec.BASIC_ACK, b"\0" * 9),
    }
    async with fake_broker({spec.BASIC_CANCEL: None}) as broker:
        plane, lost = await opened(broker)
        tag = await plane.consume("q", lambda found: None, prefetch=5)
        waiting = [publish(plane), asyncio.ensure_future(plane.cancel(tag))]
        await wait_until(lambda: spec.BASIC_CANCEL in broker.ids())
        if how == "cut":
            assert broker.writer is not None
            broker.writer.transport.abort()
        else:
            broker.send(ends[how])
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in found] == [BrokerUnavailable] * 2
        assert len(lost) == 1
        with pytest.raises(BrokerUnavailable):
            await publish(plane)
        with pytest.raises(BrokerUnavailable):
            await plane.consume("q", lambda found: None, prefetch=5)
        plane.ack(1)
        plane.nack(1, requeue=True)
        await plane.cancel(tag)
        await plane.close()
        assert len(lost) == 1
        replies = {"connection": spec.CONNECTION_CLOSE_OK, "channel": spec.CHANNEL_CLOSE_OK}
        async with asyncio.timeout(60):
            await broker.is_gone.wait()
        if how in replies:
            assert replies[how] in broker.ids()


async def test_confirms_in_any_order() -> None:
    """A set, not a maximum: single, up to a tag, refused; what is not named stays open."""
    async with fake_broker() as broker:
        plane, lost = await opened(broker)
        waiting = [publish(plane, key=str(number)) for number in range(1, 9)]
        broker.send(amqp.confirm(spec.BASIC_ACK, 3) + amqp.confirm(spec.BASIC_NACK, 5))
        await asyncio.wait(waiting[4:5])
        assert [each.done() for each in waiting] == [False, False, True, False, True] + [False] * 3
        broker.send(amqp.confirm(spec.BASIC_ACK, 6, multiple=True))
        await asyncio.wait(waiting[:6])
        assert [each.done() for each in waiting[6:]] == [False, False]
        broker.send(amqp.confirm(spec.BASIC_ACK, 0, multiple=True))
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in found if each] == [Refused]
        assert found[4] is not None
        broker.send(amqp.confirm(spec.BASIC_ACK, 9))  # of what was never published
        await wait_until(lambda: bool(lost))
        assert "never published" in lost[0]


async def test_a_return_belongs_to_its_message() -> None:
    """The return names no tag: the route and the id tell; several alike all count as returned, so none is lost."""
    async with fake_broker() as broker:
        plane, _ = await opened(broker)
        ids = ["a", "b", "b", "c"]
        waiting = [publish(plane, Message(b"", message_id=each)) for each in ids]
        broker.send(
            amqp.returned("q", message_id="b") + amqp.confirm(spec.BASIC_ACK, 4, multiple=True)
        )
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in found] == [type(None), QueueNotFound, QueueNotFound, type(None)]  # fmt: skip
        later = publish(plane, Message(b"", message_id="b"))
        broker.send(amqp.confirm(spec.BASIC_ACK, 5))
        assert await later is None  # an old return says nothing of it
        await plane.close()


async def test_publications_of_a_turn_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is sent in one turn of the loop leaves together, acks too."""
    async with fake_broker() as broker:
        plane, _ = await opened(broker)
        writes: list[bytes] = []
        outlet = plane._connection._outlet
        assert outlet._transport is not None
        monkeypatch.setattr(outlet, "_transport", Recording(outlet._transport, writes))
        for _ in range(50):
            publish(plane).cancel()
        plane.ack(7, multiple=True)
        plane.nack(9, requeue=False)
        await wait_until(lambda: spec.BASIC_NACK in broker.ids())
        assert len(writes) == 1
        await plane.close()


class Recording:
    """A transport that keeps what was written."""

    def __init__(self, transport: asyncio.WriteTransport, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_deliveries_of_a_read_come_together() -> None:
    """One list per consumer and read; a callback's mistake ends nothing."""
    async with fake_broker() as broker:
        plane, lost = await opened(broker)
        lists: list[list[PlaneDelivery]] = []

        def wrong(found: list[PlaneDelivery]) -> None:
            raise ValueError("a mistake")

        await plane.consume("one", wrong, prefetch=0)
        await plane.consume("two", lists.append, prefetch=0)
        broker.send(
            b"".join(
                amqp.deliver(f"dts.{1 + tag % 2}", tag, b"x", redelivered=tag > 3)
                for tag in range(1, 7)
            )
        )
        await wait_until(lambda: bool(lists))
        assert [(each.tag, each.redelivered) for each in lists[0]] == [
            (1, False), (3, False), (5, True),
        ]  # fmt: skip
        assert lost == []
        await plane.close()


async def test_an_unreadable_delivery_goes_to_the_dead_letters() -> None:
    """It is rejected without a requeue, so that it does not come again; the plane goes on."""
    async with fake_broker() as broker:
        plane, lost = await opened(broker)
        await plane.consume("q", lambda found: None, prefetch=5)
        broker.send(amqp.deliver("dts.1", 4, b"x", properties=b"\x80\0\xffx"))
        await wait_until(lambda: spec.BASIC_NACK in broker.ids())
        assert broker.got[-1].args == struct.pack(">QB", 4, 0)
        assert lost == []
        await plane.close()


async def test_a_refused_consumer_says_why() -> None:
    """No such queue and no permission are told apart; the channel is lost with them."""
    for code, error in ((404, QueueNotFound), (403, Forbidden), (405, BrokerUnavailable)):
        closing = amqp.close(spec.CHANNEL_CLOSE, code, "no", cause=spec.BASIC_CONSUME)
        async with fake_broker({spec.BASIC_CONSUME: closing}) as broker:
            plane, lost = await opened(broker)
            with pytest.raises(error):
                await plane.consume("q", lambda found: None, prefetch=5)
            assert len(lost) == 1
            await plane.close()


async def test_a_question_without_an_answer_ends_the_plane() -> None:
    """Whether the broker did it is unknown, so nothing is built upon it."""
    async with fake_broker({spec.BASIC_CONSUME: None}) as broker:
        plane, lost = await opened(broker, deadline_seconds=0.3)
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await plane.consume("q", lambda found: None, prefetch=5)
        assert len(lost) == 1
        await plane.close()


async def test_a_cancelled_consume_leaves_no_consumer() -> None:
    """It is cancelled at the broker, and what came meanwhile goes back to the queue."""
    async with fake_broker({spec.BASIC_CONSUME: None}) as broker:
        plane, lost = await opened(broker)
        got: list[PlaneDelivery] = []
        consuming = asyncio.ensure_future(plane.consume("q", got.extend, prefetch=5))
        await wait_until(lambda: spec.BASIC_CONSUME in broker.ids())
        consuming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consuming
        told = fields.short_text("dts.1")
        broker.send(
            writing.method(1, spec.BASIC_CONSUME_OK, told)
            + amqp.deliver("dts.1", 1, b"x")
            + writing.method(1, spec.BASIC_CANCEL_OK, told)
        )
        await wait_until(lambda: spec.BASIC_NACK in broker.ids())
        assert spec.BASIC_CANCEL in broker.ids()
        assert (got, lost) == ([], [])
        await plane.close()


async def test_the_broker_ends_a_consumer() -> None:
    """Its queue is gone: the owner hears the tag; the plane goes on. An unknown tag says nothing."""
    async with fake_broker() as broker:
        plane, lost = await opened(broker)
        ended: list[str] = []
        plane.on_cancelled = ended.append
        tag = await plane.consume("q", lambda found: None, prefetch=5)
        for name in ("other", tag):
            args = fields.short_text(name) + b"\x01"
            broker.send(writing.method(1, spec.BASIC_CANCEL, args))
        await wait_until(lambda: bool(ended))
        assert (ended, lost) == ([tag], [])
        await plane.cancel(tag)
        await plane.close()


async def test_blocked_and_flow() -> None:
    """The broker's wish to be left alone shows, and passes."""
    async with fake_broker() as broker:
        plane, _ = await opened(broker)
        assert not plane.is_blocked
        reason = fields.short_text("low on memory")
        broker.send(writing.method(0, spec.CONNECTION_BLOCKED, reason))
        await wait_until(lambda: plane.is_blocked)
        broker.send(writing.method(0, spec.CONNECTION_UNBLOCKED))
        await wait_until(lambda: not plane.is_blocked)
        broker.send(writing.method(1, spec.CHANNEL_FLOW, b"\0"))
        await wait_until(lambda: plane.is_blocked)
        broker.send(writing.method(1, spec.CHANNEL_FLOW, b"\x01"))
        await wait_until(lambda: not plane.is_blocked)
        await wait_until(lambda: broker.ids().count(spec.CHANNEL_FLOW_OK) == 2)
        await plane.close()


async def test_a_broker_that_does_not_read() -> None:
    """What waits for it is bounded: publishing is refused beyond, and close does not wait for ever."""
    async with fake_broker() as broker:
        plane, _ = await opened(broker, deadline_seconds=1)
        broker.is_reading.clear()
        message = Message(bytes(4 << 20))
        waiting = []
        refused: list[BaseException | None] = []
        while not refused:
            waiting.append(publish(plane, message))
            await asyncio.sleep(0)
            refused = [each.exception() for each in waiting if each.done()]
            assert len(waiting) < 40
        assert isinstance(refused[0], BrokerUnavailable)
        async with asyncio.timeout(60):
            await plane.close()
        broker.is_reading.set()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_too_large_and_unfit_messages_cost_nothing() -> None:
    """They end at once, are not counted among the broker's tags, and the next one goes on."""
    async with fake_broker() as broker:
        plane, lost = await opened(broker)
        with pytest.raises(TooLarge):
            await publish(plane, Message(bytes(spec.BODY_MAX + 1)))
        good = publish(plane)
        broker.send(amqp.confirm(spec.BASIC_ACK, 1))
        await good
        assert lost == []
        await plane.close()


async def test_the_password_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither on the way in nor at the end, with everything logged that can be."""
    caplog.set_level(logging.DEBUG)
    async with fake_broker() as broker:
        plane, _ = await opened(broker)
        broker.send(amqp.close(spec.CONNECTION_CLOSE, 403, REFUSED.decode()))
        async with asyncio.timeout(60):
            await broker.is_gone.wait()
        await plane.close()
        assert "pass word" not in caplog.text
        assert "pass word" not in f"{vars(plane)} {vars(plane._connection)}"
