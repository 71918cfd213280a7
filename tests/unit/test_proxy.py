"""The fault proxy does what each of its commands says, and nothing else."""

import asyncio
import contextlib
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.testing import wait_until
from tests.support.proxy import ACK, PUBLISH, Frame, Proxy, Way, proxied

HOST = "127.0.0.1"
GREETING = b"AMQP\0\0\x09\x01"
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _method(frame: Frame, rest: bytes = b"") -> bytes:
    payload = struct.pack(">HH", *frame) + rest
    return struct.pack(">BHI", 1, 1, len(payload)) + payload + b"\xce"


class Server:
    """Keeps what arrives; its connections are used directly."""

    def __init__(self) -> None:
        self.port = 0
        self.links: list[Streams] = []

    async def link(self, number: int = 0) -> Streams:
        """The connection of that number, once it is there."""
        await wait_until(lambda: len(self.links) > number)
        return self.links[number]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.links.append((reader, writer))

    listening = await asyncio.start_server(keep, HOST, 0)
    found.port = listening.sockets[0].getsockname()[1]
    yield found
    listening.close()
    for _, writer in found.links:
        writer.transport.abort()
    await asyncio.sleep(0)


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with Proxy(HOST, server.port, seed=7, amqp=True) as found:
        yield found


@contextlib.asynccontextmanager
async def _client(proxy: Proxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def _quiet(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes for a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
            return False
    return True


async def _told(reader: asyncio.StreamReader) -> str:
    """How a connection ended."""
    try:
        async with asyncio.timeout(60):
            while await reader.read(1000):
                pass
    except ConnectionResetError:
        return "reset"
    return "end"


async def test_passes_both_ways(server: Server, proxy: Proxy) -> None:
    """What one end sends the other receives, also after one of them has said its last."""
    async with _client(proxy) as (reader, writer):
        writer.write(b"question")
        upstream, answer = await server.link()
        assert await upstream.readexactly(8) == b"question"
        answer.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        writer.write_eof()
        assert await upstream.read() == b""
        answer.write(b"late")
        answer.close()
        assert await reader.read() == b"late"
    assert proxy.passed == {Way.UP: 8, Way.DOWN: 10}


async def test_refuses_and_accepts_again_on_the_same_port(server: Server, proxy: Proxy) -> None:
    """New connections are refused and open ones go on; later they are taken again where clients look."""
    async with _client(proxy) as (_, writer):
        upstream, _ = await server.link()
        proxy.refuse()
        await wait_until(lambda: proxy.accepted == 1)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"still")
        assert await upstream.readexactly(5) == b"still"
        proxy.accept()
        async with _client(proxy) as (_, second):
            second.write(b"new")
            assert await (await server.link(1))[0].readexactly(3) == b"new"


async def test_a_target_that_is_away_resets_the_client() -> None:
    """Nobody behind the proxy is told by a reset, not by an end."""
    async with Proxy(HOST, 1) as proxy, _client(proxy) as (reader, _):
        assert await _told(reader) == "reset"


async def test_accepts_and_is_silent(server: Server, proxy: Proxy) -> None:
    """Bytes that came while it was silent are passed on when it speaks again."""
    proxy.silence()
    async with _client(proxy) as (reader, writer):
        writer.write(b"hello")
        upstream, answer = await server.link()
        answer.write(b"welcome")
        assert await _quiet(upstream)
        assert await _quiet(reader)
        proxy.resume()
        assert await upstream.readexactly(5) == b"hello"
        assert await reader.readexactly(7) == b"welcome"


@pytest.mark.parametrize("way", list(Way))
async def test_silence_one_way_lets_the_other_pass(server: Server, proxy: Proxy, way: Way) -> None:
    """A way that is silent does not hold up the other."""
    async with _client(proxy) as client:
        ends = {Way.UP: (client[1], (await server.link())[0])}
        ends[Way.DOWN] = ((await server.link())[1], client[0])
        proxy.silence(way)
        for sender, _ in ends.values():
            sender.write(b"x")
        [other] = set(Way) - {way}
        assert await ends[other][1].readexactly(1) == b"x"
        assert await _quiet(ends[way][1])


async def test_the_end_of_a_silent_peer_is_not_seen(server: Server, proxy: Proxy) -> None:
    """Silence hides an end as well, until it is over."""
    async with _client(proxy) as (reader, _):
        _, answer = await server.link()
        proxy.silence()
        answer.close()
        assert await _quiet(reader)
        proxy.resume()
        assert await reader.read() == b""


async def test_reset(server: Server, proxy: Proxy) -> None:
    """Both ends of every connection see a reset."""
    async with _client(proxy) as (reader, _):
        upstream, _ = await server.link()
        proxy.reset()
        assert [await _told(reader), await _told(upstream)] == ["reset", "reset"]


async def test_finish(server: Server, proxy: Proxy) -> None:
    """Both ends of every connection see an orderly end."""
    async with _client(proxy) as (reader, _):
        upstream, _ = await server.link()
        proxy.finish()
        assert [await _told(reader), await _told(upstream)] == ["end", "end"]


async def test_half_close(server: Server, proxy: Proxy) -> None:
    """One way ends, the other still carries."""
    async with _client(proxy) as (reader, _):
        upstream, answer = await server.link()
        proxy.half_close(Way.UP)
        assert await _told(upstream) == "end"
        answer.write(b"on")
        assert await reader.readexactly(2) == b"on"


async def test_drip_is_slow_but_whole(server: Server, proxy: Proxy) -> None:
    """A dripping connection passes a few bytes at a time and loses none."""
    proxy.drip(3, 0.001)
    async with _client(proxy) as (_, writer):
        upstream, _ = await server.link()
        writer.write(bytes(range(60)))
        assert len(await upstream.read(1000)) <= 3
        proxy.resume()
        await wait_until(lambda: proxy.passed[Way.UP] == 60)


async def test_cut_after_some_bytes(server: Server, proxy: Proxy) -> None:
    """Exactly so many bytes pass, then both ends are reset."""
    async with _client(proxy) as (reader, writer):
        upstream, _ = await server.link()
        proxy.cut_after(5, Way.UP)
        writer.write(b"123")
        assert await upstream.readexactly(3) == b"123"
        writer.write(b"4567")
        assert await upstream.read() == b"45"
        assert await _told(reader) == "reset"
    assert proxy.cuts == 1


def test_a_seed_repeats_its_dice() -> None:
    """A campaign that is run again with its seed cuts at the same bytes."""

    async def chosen() -> list[int]:
        proxy = Proxy(HOST, 1, seed=3)
        found = []
        for _ in range(5):
            proxy.cut_within(1000, Way.UP)
            assert proxy.cut is not None
            found.append(proxy.cut.bytes)
        return found

    first = asyncio.run(chosen())
    assert first == asyncio.run(chosen())
    assert len(set(first)) > 1


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_cut_before_the_confirm(server: Server, proxy: Proxy, piece: int) -> None:
    """The publication is with the server, its confirm never arrives whole."""
    body = struct.pack(">BHI", 3, 1, 3) + _method(ACK)[:3] + b"\xce"
    published = GREETING + HEARTBEAT + _method(PUBLISH, b"rest") + body
    async with _client(proxy) as (reader, writer):
        upstream, answer = await server.link()
        proxy.cut_at(ACK, Way.DOWN)
        writer.write(published)
        assert await upstream.readexactly(len(published)) == published
        before = HEARTBEAT + _method(Frame(60, 60))
        for start in range(0, len(before + _method(ACK)), piece):
            answer.write((before + _method(ACK))[start : start + piece])
            await answer.drain()
            await asyncio.sleep(0)
        got = await asyncio.wait_for(reader.read(), 60)
    assert got.startswith(before)
    assert len(got) < len(before + _method(ACK))


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_cut_after_the_ack_was_sent(server: Server, proxy: Proxy, piece: int) -> None:
    """The server has the ack whole, and nothing that came after it."""
    sent = GREETING + HEARTBEAT + _method(ACK, bytes(9))
    whole = sent + _method(PUBLISH)
    async with _client(proxy) as (reader, writer):
        upstream, _ = await server.link()
        proxy.cut_at(ACK, Way.UP, after=True)
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(whole), piece):
                writer.write(whole[start : start + piece])
                await writer.drain()
        assert await asyncio.wait_for(upstream.read(), 60) == sent
        assert await _told(reader) == "reset"


async def test_only_the_first_connection_is_cut(server: Server, proxy: Proxy) -> None:
    """A cut is spent once; the client that comes again gets through."""
    proxy.cut_after(0, Way.UP)
    async with _client(proxy) as (reader, writer):
        writer.write(b"x")
        assert await _told(reader) == "reset"
    async with _client(proxy) as (_, writer):
        writer.write(b"x")
        assert await (await server.link(1))[0].readexactly(1) == b"x"


async def test_in_a_thread_of_its_own(server: Server) -> None:
    """A test without a loop drives the proxy as well."""
    with proxied(HOST, server.port) as tell:
        reader, writer = await asyncio.open_connection(HOST, tell.port)
        await server.link()
        await asyncio.to_thread(tell, Proxy.reset)
        assert await _told(reader) == "reset"
        writer.close()


@pytest.mark.serial
async def test_as_a_process(server: Server) -> None:
    """A campaign drives it by lines, each answered when it is done."""
    command = [sys.executable, "-m", "tests.support.proxy", HOST, str(server.port), "--amqp"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await asyncio.to_thread(process.stdout.readline))
        reader, writer = await asyncio.open_connection(HOST, port)
        await server.link()
        for line in ("silence up", "drip 4 0.1", "cut_at 60 80 up after", "resume", "reset"):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert await asyncio.to_thread(process.stdout.readline) == "done\n"
        assert await _told(reader) == "reset"
        writer.close()
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0
