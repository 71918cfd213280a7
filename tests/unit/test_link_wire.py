"""One stream of a link: rubbish, silence, congestion and ends of all kinds."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers import frames
from dts_core.brokers.base import Message, Outgoing, QueueSpec
from dts_core.brokers.link import LinkBroker
from dts_core.brokers.wire import Wire
from dts_core.errors import BrokerUnavailable
from dts_core.testing import wait_until
from tests.contract.broker_backends import Owner, Road
from tests.support.taking import Taker, outgoing, until_stands


class Pair:
    """Two ends of a real stream: ours as reader and writer, and the peer's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer_reader: asyncio.StreamReader
    peer_writer: asyncio.StreamWriter


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    pair = Pair()
    one, two = socket.socketpair()
    pair.reader, pair.writer = await asyncio.open_connection(sock=one)
    pair.peer_reader, pair.peer_writer = await asyncio.open_connection(sock=two)
    yield pair
    for writer in (pair.writer, pair.peer_writer):
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def wire_on(pair: Pair, got: list[Any], **options: float) -> Wire:
    return Wire(pair.reader, pair.writer, frames.client_frames, got.append, **options)


async def test_frames_of_a_turn_go_out_in_order(pair: Pair) -> None:
    """What is sent in one loop turn arrives in order; pings are not handed on."""
    got: list[Any] = []
    wire = wire_on(pair, got)
    for number in range(3):
        wire.send(frames.Done([number]))
    running = asyncio.ensure_future(wire.run())
    cutter = frames.Cutter()
    bodies: list[bytes] = []
    while len(bodies) < 3:
        bodies += cutter.feed(await pair.peer_reader.read(4096))
    assert [frames.server_frames.decode(body) for body in bodies] == [
        frames.Done([0]), frames.Done([1]), frames.Done([2]),
    ]  # fmt: skip
    pair.peer_writer.write(frames.pack(frames.Ping()) + frames.pack(frames.Ack(1, [1])))
    await wait_until(lambda: got == [frames.Ack(1, [1])])
    wire.close()
    wire.close()
    assert await running == "it was closed here."


async def test_a_peer_that_misses_its_pings_is_silent_until_it_is_heard(pair: Pair) -> None:
    """Long before it counts as lost, so that nothing more is handed to it."""
    told: list[bool] = []
    wire = wire_on(pair, [], ping_seconds=0.05, lost_seconds=60)
    wire.on_silence = told.append
    running = asyncio.ensure_future(wire.run())
    pair.peer_writer.write(frames.pack(frames.Ping()))
    await wait_until(lambda: told == [True])
    pair.peer_writer.write(frames.pack(frames.Ping()))
    await wait_until(lambda: told[:2] == [True, False])
    wire.close()
    await running


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the peer closed the stream."),
        (frames.pack(frames.Ping())[:-1], "the stream ended within a frame."),
        (b"GET / HTTP/1.1\r\n\r\n", "no peer of ours"),
        (b"\x00\x00\x00\x02\xc1\xc1", "cannot be decoded"),
        (b"\x00\x00\x00\x05" + b"\x91\x91\x91\x91\x91", "cannot be decoded"),
        (b"\x00\x00\x27\x10" + b"\x91" * 10_000, "cannot be decoded"),
    ],
)
async def test_every_end_says_why(pair: Pair, data: bytes, why: str) -> None:
    """An end, a cut and rubbish each end the stream with their reason, and never with an exception."""
    wire = wire_on(pair, [])
    pair.peer_writer.write(data)
    pair.peer_writer.write_eof()
    assert why in await asyncio.wait_for(wire.run(), 60)
    assert not wire.is_open
    wire.send(frames.Ping())  # to nobody: nothing happens


async def test_silence_ends_the_stream(pair: Pair) -> None:
    """A peer that says nothing for too long is lost, though its stream stands."""
    wire = wire_on(pair, [], ping_seconds=0.02, lost_seconds=0.1)
    pair.peer_writer.write(frames.pack(frames.Ping()))
    assert "silent" in await asyncio.wait_for(wire.run(), 60)


async def test_pings_keep_the_stream(pair: Pair) -> None:
    """Two ends that ping each other outlive many times the silence that would end them."""
    ours = wire_on(pair, [], ping_seconds=0.02, lost_seconds=0.5)
    theirs = Wire(
        pair.peer_reader, pair.peer_writer, frames.server_frames, [].append,
        ping_seconds=0.02, lost_seconds=0.5,
    )  # fmt: skip
    running = [asyncio.ensure_future(ours.run()), asyncio.ensure_future(theirs.run())]
    done, _ = await asyncio.wait(running, timeout=1.6)
    assert not done
    ours.close()
    await asyncio.wait_for(asyncio.gather(*running), 60)


async def test_congestion_is_told_and_ends(pair: Pair) -> None:
    """When the peer does not read, nothing more is written than a bound; when it reads again, all of it comes."""
    told: list[bool] = []
    wire = wire_on(pair, [])
    wire.on_congested = told.append
    running = asyncio.ensure_future(wire.run())
    frame = frames.Heard(1, [Message(b"x" * (256 << 10))])
    for _ in range(40):
        wire.send(frame)
        await asyncio.sleep(0)
    await wait_until(lambda: told == [True])
    size, total = 0, 40 * len(frames.pack(frame))
    while size < total:
        size += len(await asyncio.wait_for(pair.peer_reader.read(1 << 20), 60))
    await wait_until(lambda: told[-1] is False)
    assert size == total
    wire.close()
    await running


# --- a server and its clients


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    owner = Owner(tmp_path)
    owner.ping_seconds, owner.lost_seconds = 0.05, 0.3
    await owner.open()
    await owner.broker.declare(QueueSpec("work"))
    yield owner
    await owner.close()


async def answer_to(owner: Owner, data: bytes) -> list[Any]:
    """What the server says to raw bytes, until it closes."""
    reader, writer = await asyncio.open_unix_connection(owner.socket)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(-1), 60)
    writer.close()
    bodies = frames.Cutter().feed(answer)
    said = [frames.server_frames.decode(body) for body in bodies]
    return [frame for frame in said if type(frame) is not frames.Ping]


async def test_another_version_is_refused_with_advice(owner: Owner) -> None:
    """A client of another version is told which versions met, and the link ends."""
    (failed,) = await answer_to(owner, frames.pack(frames.Hello(99, "a", "w")))
    assert failed.number == 0
    assert "version 1" in failed.message
    assert "99" in failed.message


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x00\x00\x01\xc1",
        frames.pack(frames.Ack(1, [1])),
        frames.pack(frames.Hello(1, "a", "w")) + frames.pack(frames.Publish(1, [])),
    ],
)
async def test_clients_that_do_not_keep_the_order_are_cut(owner: Owner, data: bytes) -> None:
    """Rubbish, a missing hello and impatience end a link; the server lives on."""
    assert frames.Done not in [type(frame) for frame in await answer_to(owner, data)]
    side = await LinkBroker.connect(Road(owner.socket), host="a", worker="w")
    await side.publish(outgoing("work", ["a"]))
    await side.close()


async def test_a_client_without_hello_is_cut(owner: Owner) -> None:
    """A connection that says nothing at all is not kept."""
    said = await answer_to(owner, b"")
    assert [type(frame) for frame in said] in ([], [frames.Failed])


class SilentRoad(Road):
    """A stream on which, from a moment on, nothing arrives any more, and which never closes by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_silent = False

    async def __call__(self) -> Any:
        reader, writer = await super().__call__()
        return reader, Muffled(self, writer)


class Muffled:
    def __init__(self, road: SilentRoad, writer: asyncio.StreamWriter) -> None:
        self._road, self._writer = road, writer

    def write(self, data: bytes) -> None:
        if not self._road.is_silent:
            self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


async def test_a_silent_client_loses_its_deliveries(owner: Owner) -> None:
    """A host that froze or vanished without closing is lost after its silence; its messages go to others."""
    road = SilentRoad(owner.socket)
    side = await LinkBroker.connect(road, host="a", worker="w", ping_seconds=0.05, lost_seconds=9)
    await side.publish(outgoing("work", ["a"]))
    await (await Taker.on(side, "work")).has(1)
    road.is_silent = road.is_blocked = True
    await until_stands(owner.broker, "work", 1)
    await side.close()


async def test_a_silent_owner_is_left(owner: Owner) -> None:
    """A client whose owner froze gives the stream up after the silence and says so."""
    said: list[tuple[bool, str]] = []
    servers: list[asyncio.StreamWriter] = []

    async def freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        servers.append(writer)
        await reader.read(1000)
        writer.write(frames.pack(frames.Welcome(1)))

    path = owner.folder / "frozen.sock"
    server = await asyncio.start_unix_server(freeze, path)
    side = LinkBroker(Road(path), host="a", worker="w", ping_seconds=0.02, lost_seconds=0.1)
    side.on_state = lambda connected, why: said.append((connected, why))
    await side.start()
    await wait_until(lambda: (False, "the peer was silent for 0.1 seconds.") in said)
    await side.close()
    server.close()
    for writer in servers:
        writer.close()


async def test_a_slow_listener_loses_its_own_messages_only(owner: Owner) -> None:
    """While a client does not read, its fanout queue drops the oldest; others hear everything."""
    reader, writer = await asyncio.open_unix_connection(owner.socket)
    writer.write(frames.pack(frames.Hello(1, "a", "slow")))
    await wait_until(lambda: bool(owner.server.links))
    writer.write(frames.pack(frames.Subscribe(1, 5, "events", 10)))
    quick = await LinkBroker.connect(Road(owner.socket), host="a", worker="quick")
    heard: list[int] = []
    await quick.subscribe("events", lambda message: heard.append(len(message.body)), limit=1000)
    for _ in range(200):
        writer.write(frames.pack(frames.Ping()))
        await owner.broker.fanout("events", Message(b"x" * (64 << 10)))
        await quick.stats()
    await wait_until(lambda: len(heard) == 200)
    cutter, slow, dropped = frames.Cutter(), 0, 0
    while slow + dropped < 200:
        for body in cutter.feed(await asyncio.wait_for(reader.read(1 << 20), 60)):
            frame = frames.server_frames.decode(body)
            if isinstance(frame, frames.Heard):
                slow += len(frame.items)
                dropped = frame.dropped
        writer.write(frames.pack(frames.Ping()))
    assert slow + dropped == 200
    assert dropped > 100
    await quick.close()
    writer.transport.abort()


async def test_questions_fail_when_the_stream_goes(owner: Owner) -> None:
    """A call whose answer can no longer come ends at once, with an unknown outcome."""
    road = Road(owner.socket)
    side = await LinkBroker.connect(road, host="a", worker="w")
    asking = asyncio.ensure_future(side.request("none", Message(b""), timeout_seconds=5))
    publishing = asyncio.ensure_future(side.publish([Outgoing("work", Message(b""))]))
    await asyncio.sleep(0)
    road.is_blocked = True
    road.cut()
    for call in (asking, publishing):
        with pytest.raises(BrokerUnavailable):
            await call
    await side.close()
    with pytest.raises(BrokerUnavailable):
        await side.stats()
