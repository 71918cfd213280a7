"""A small TCP proxy that does to a connection what networks, brokers and databases do: on request, and by a seed.

In a loop of ours: `async with Proxy(host, port) as proxy`. In a thread, for tests and tools without a loop:
`with proxied(host, port) as tell: tell(Proxy.reset)`. As a process, told by lines on its standard input:
`python -m tests.support.proxy HOST PORT [--listen N] [--seed N] [--amqp]`, which prints its port first.
"""

import argparse
import asyncio
import contextlib
import enum
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Self, TypeVar

T = TypeVar("T")
CHUNK_BYTES: Final = 1 << 16


class Way(enum.Enum):
    """Where bytes go."""

    UP = "up"
    """From the client to the server."""
    DOWN = "down"
    """From the server to the client."""


class Frame(NamedTuple):
    """A kind of AMQP 0-9-1 method frame: class and method number."""

    class_id: int
    method_id: int


PUBLISH: Final = Frame(60, 40)
DELIVER: Final = Frame(60, 60)
ACK: Final = Frame(60, 80)
"""Upwards the ack of a delivery, downwards the confirm of a publication."""
CONSUME_OK: Final = Frame(60, 21)

_HEAD_BYTES: Final = 7  # type, channel, size of the payload
_METHOD_BYTES: Final = _HEAD_BYTES + 4
_METHOD_FRAME: Final = 1
_GREETING_BYTES: Final = 8


class _Frames:
    """Finds the frames in a stream that comes in pieces; positions count from the stream's first byte."""

    def __init__(self, way: Way) -> None:
        self._next = _GREETING_BYTES if way is Way.UP else 0
        self._position = 0
        self._head = b""

    def feed(self, data: bytes) -> Iterator[tuple[Frame | None, int, int]]:
        """Kind, first byte and end of each frame that became known; None for what is no method."""
        begin, end = self._position, self._position + len(data)
        self._position = end
        while True:
            known = self._next + len(self._head)
            self._head += data[max(0, known - begin) : max(0, self._next + _METHOD_BYTES - begin)]
            if len(self._head) < _METHOD_BYTES and not self._complete():
                return
            kind, _, size, class_id, method_id = struct.unpack(
                ">BHIHH", self._head.ljust(_METHOD_BYTES, b"\0")
            )
            start, self._next = self._next, self._next + _HEAD_BYTES + size + 1
            self._head = b""
            yield (Frame(class_id, method_id) if kind == _METHOD_FRAME else None), start, self._next

    def _complete(self) -> bool:
        """Whether the head is of a frame that is shorter than a method's (a heartbeat)."""
        if len(self._head) < _HEAD_BYTES:
            return False
        size = struct.unpack_from(">I", self._head, 3)[0]
        return bool(len(self._head) >= _HEAD_BYTES + size + 1)


class _Cut(NamedTuple):
    way: Way
    frame: Frame | None
    after: bool
    bytes: int


class _Pair:
    """One client's connection and the server's for it."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._streams: dict[Way, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        """Where the bytes of a way come in, and where they go out."""
        self._half_closed: set[Way] = set()

    async def run(self, client: socket.socket) -> None:
        """Until either end is through with it."""
        from_client, to_client = await asyncio.open_connection(sock=client)
        try:
            from_server, to_server = await asyncio.open_connection(*self._proxy.target)
        except OSError:
            _reset(to_client)
            return
        self._streams = {
            Way.UP: (from_client, to_server),
            Way.DOWN: (from_server, to_client),
        }
        try:
            async with asyncio.TaskGroup() as group:
                for way in Way:
                    group.create_task(self._pipe(way))
        except* OSError:
            self.reset()
        finally:
            for writer in (to_client, to_server):
                writer.close()

    async def _pipe(self, way: Way) -> None:
        reader, writer = self._streams[way]
        proxy, frames, position, cut_at = self._proxy, _Frames(way), 0, None
        while data := await reader.read(proxy.most):
            if proxy.pause_seconds:
                await asyncio.sleep(proxy.pause_seconds)
            await proxy.gates[way].wait()
            if way in self._half_closed:
                continue  # its receiver has seen the end
            cut_at = self._cut_position(way, frames, data, position) if cut_at is None else cut_at
            if cut_at is not None and cut_at <= position + len(data):
                writer.write(data[: max(0, cut_at - position)])
                proxy.cuts += 1
                self.finish(way)
                return
            writer.write(data)
            await writer.drain()
            position += len(data)
            proxy.passed[way] += len(data)
        await proxy.gates[way].wait()
        if way in self._half_closed:
            return
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _cut_position(self, way: Way, frames: _Frames, data: bytes, position: int) -> int | None:
        """Where in the stream the cut that was asked for falls; takes the request."""
        found = list(frames.feed(data)) if self._proxy.amqp else []
        cut = self._proxy.cut
        if cut is None or cut.way is not way:
            return None
        if cut.frame is None:
            self._proxy.cut = None
            return position + cut.bytes
        for frame, start, end in found:
            if frame == cut.frame:
                self._proxy.cut = None
                return end if cut.after else start
        return None

    def finish(self, way: Way | None = None) -> None:
        """FIN to the receiver of `way`, what was written before it included, and RST to its sender; FIN to both."""
        for each, (_, writer) in self._streams.items():
            if way is None or each is way:
                writer.close()
            else:
                _reset(writer)

    def half_close(self, way: Way) -> None:
        """No more bytes this way: its receiver sees the end, the other way goes on."""
        if way in self._streams and way not in self._half_closed:
            self._half_closed.add(way)
            self._streams[way][1].write_eof()

    def reset(self) -> None:
        """RST to both."""
        for _, writer in self._streams.values():
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """Listens and passes on to `target`, well or badly; each command holds until the next says else.

    Attributes:
        port: Where clients connect; stays the same through `refuse` and `accept`.
        accepted: Connections so far.
        passed: Bytes passed on, each way.
        cuts: How many of the cuts that were asked for have happened.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        bind: str = "127.0.0.1",
        listen: int = 0,
        seed: int = 0,
        amqp: bool = False,
    ) -> None:
        self.target = (host, port)
        self.bind = bind
        self.port = listen
        self.amqp = amqp
        self.chance = random.Random(seed)
        self.accepted = 0
        self.cuts = 0
        self.passed = dict.fromkeys(Way, 0)
        self.gates = {way: asyncio.Event() for way in Way}
        self.cut: _Cut | None = None
        self.pause_seconds = 0.0
        self.most = CHUNK_BYTES
        self._pairs: dict[asyncio.Task[None], _Pair] = {}
        self._listener: asyncio.Task[None] | None = None
        self.resume()

    async def __aenter__(self) -> Self:
        self.accept()
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [*self._pairs, *([self._listener] if self._listener else [])]
        self.refuse()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def accept(self) -> None:
        """Take connections (again)."""
        if self._listener is None:
            server = socket.create_server((self.bind, self.port), backlog=1024)
            server.setblocking(False)
            self.port = server.getsockname()[1]
            self._listener = asyncio.get_running_loop().create_task(self._accept(server))

    def refuse(self) -> None:
        """New connections are refused; those that are there go on."""
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    async def _accept(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with server:
            while True:
                client, _ = await loop.sock_accept(server)
                self.accepted += 1
                pair = _Pair(self)
                task = loop.create_task(pair.run(client))
                self._pairs[task] = pair
                task.add_done_callback(self._pairs.pop)

    def silence(self, *ways: Way) -> None:
        """Nothing arrives these ways (none named: both), also on new connections; nothing is lost, as with TCP."""
        for way in ways or Way:
            self.gates[way].clear()

    def resume(self) -> None:
        """What was held goes on its way, at full speed; no cut is asked for any more."""
        for gate in self.gates.values():
            gate.set()
        self.pause_seconds, self.most, self.cut = 0.0, CHUNK_BYTES, None

    def drip(self, most: int = 8, pause_seconds: float = 0.01) -> None:
        """At most so many bytes at once, the number by the dice, with a pause before each piece."""
        self.most, self.pause_seconds = self.chance.randint(1, most), pause_seconds

    def reset(self) -> None:
        """RST on every connection, to both ends."""
        for pair in self._pairs.values():
            pair.reset()

    def finish(self) -> None:
        """FIN on every connection, to both ends."""
        for pair in self._pairs.values():
            pair.finish()

    def half_close(self, way: Way) -> None:
        """FIN on every connection to the receiver of `way` alone."""
        for pair in self._pairs.values():
            pair.half_close(way)

    def cut_after(self, count: int, way: Way) -> None:
        """Cut the first connection that sends something this way, when that many bytes of it have arrived."""
        self.cut = _Cut(way, None, after=True, bytes=count)

    def cut_within(self, most: int, way: Way) -> None:
        """`cut_after` with a number by the dice."""
        self.cut_after(self.chance.randint(0, most), way)

    def cut_at(self, frame: Frame, way: Way, *, after: bool = False) -> None:
        """Cut the first connection that carries such a frame, before it arrives whole or right after; takes `amqp`.

        `cut_at(ACK, Way.DOWN)`: published, and the confirm never comes. `cut_at(ACK, Way.UP, after=True)`: the broker
        has the ack, and the client does not know.
        """
        assert self.amqp, "only a proxy with amqp=True looks for frames"
        self.cut = _Cut(way, frame, after, 0)


class Told:
    """Passes commands to a proxy that lives in another thread."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy, self._loop = proxy, loop
        self.port = proxy.port

    def __call__(self, act: Callable[[Proxy], T]) -> T:
        """What `act` returns; run in the proxy's own loop."""

        async def acting() -> T:
            return act(self._proxy)

        return asyncio.run_coroutine_threadsafe(acting(), self._loop).result(60)


@contextlib.contextmanager
def proxied(
    host: str,
    port: int,
    *,
    bind: str = "127.0.0.1",
    listen: int = 0,
    seed: int = 0,
    amqp: bool = False,
) -> Iterator[Told]:
    """A proxy in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
    thread.start()

    async def start() -> Proxy:
        proxy = Proxy(host, port, bind=bind, listen=listen, seed=seed, amqp=amqp)
        return await proxy.__aenter__()

    try:
        proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            yield Told(proxy, loop)
        finally:
            asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


_COMMANDS: Final[dict[str, Callable[[Proxy, list[str]], None]]] = {
    "accept": lambda proxy, _: proxy.accept(),
    "refuse": lambda proxy, _: proxy.refuse(),
    "silence": lambda proxy, words: proxy.silence(*map(Way, words)),
    "resume": lambda proxy, _: proxy.resume(),
    "reset": lambda proxy, _: proxy.reset(),
    "finish": lambda proxy, _: proxy.finish(),
    "half_close": lambda proxy, words: proxy.half_close(Way(words[0])),
    "drip": lambda proxy, words: proxy.drip(int(words[0]), float(words[1])),
    "cut_after": lambda proxy, words: proxy.cut_after(int(words[0]), Way(words[1])),
    "cut_within": lambda proxy, words: proxy.cut_within(int(words[0]), Way(words[1])),
    "cut_at": lambda proxy, words: proxy.cut_at(
        Frame(int(words[0]), int(words[1])), Way(words[2]), after=words[3:] == ["after"]
    ),
}


def main() -> int:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description="A TCP proxy with faults.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amqp", action="store_true")
    options = parser.parse_args()
    with proxied(
        options.host, options.port, listen=options.listen, seed=options.seed, amqp=options.amqp
    ) as tell:
        print(tell.port, flush=True)
        for line in sys.stdin:
            name, *words = line.split()
            tell(lambda proxy, name=name, words=words: _COMMANDS[name](proxy, words))  # type: ignore[misc]
            print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
