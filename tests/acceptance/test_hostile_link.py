"""A hostile worker on the socket of a real stack: it moves nothing that is not its own, and holds up nobody."""

import asyncio
import os
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime

import msgspec
import psutil
import pytest

from dts_core.brokers import frames
from dts_core.brokers.base import CONTROL, EVENTS, Message, Outgoing, QueueSpec
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.clients import SyncAdminClient
from dts_core.codec import encode
from dts_core.errors import DtsError, Forbidden, ResultRefused
from dts_core.model import JobResult, JobResults, LogBatch, LogRecord, Progress, ProgressReport
from dts_core.states import JobEvent
from tests.support.beats import make_beat
from tests.support.processes import Up, eventually, up

SLEEPER = "import time\n\ndef main(seconds: float = 2.0):\n    time.sleep(seconds)\n    return 'its own'\n"
HELLO = frames.pack(frames.Hello(frames.VERSION, "evil", "evil-1"))
MEGABYTES_MORE = 250


@pytest.fixture
def stack(tmp_path: object) -> Iterator[tuple[Up, SyncAdminClient]]:
    with up(tmp_path) as running, running.client() as client:  # type: ignore[arg-type]  # a Path
        client.namespaces.add("test")
        client.functions.add("test/sleeper", SLEEPER)
        yield running, client


@contextmanager
def raw(stack: Up, data: bytes, *, seconds: float = 3.0) -> Iterator[None]:
    """A connection that sent as much of this as was taken, and reads nothing."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(stack.data / "link.sock"))
        sock.settimeout(seconds)
        with suppress(OSError):
            sock.sendall(data)
        yield


def healthy(stack: Up, client: SyncAdminClient, before: int) -> None:
    """Jobs run, the real worker is up, memory is what it was but for a bound."""
    ended = client.submit("test/sleeper", args=[0.0], wait=60)
    assert (ended.state, ended.result) == ("done", "its own")
    assert stack.process.poll() is None
    more = psutil.Process(stack.process.pid).memory_info().rss - before
    assert more < MEGABYTES_MORE << 20, f"{more >> 20} MiB more"


GARBAGE = {
    "random": os.urandom(100_000),
    "a frame of 4 GB": b"\xff\xff\xff\xff" + b"x" * 100_000,
    "a frame of nothing": b"\x00\x00\x00\x00",
    "no hello": frames.pack(frames.AskStats(1)),
    "another version": frames.pack(frames.Hello(99, "evil", "evil-1")),
    "no host": frames.pack(frames.Hello(frames.VERSION, "\x1b[2J", "evil-1")),
    "not MessagePack": (5).to_bytes(4, "big") + b"\xc1\xc1\xc1\xc1\xc1",
    "deep": (100_000).to_bytes(4, "big") + b"\x91" * 100_000,
    "long arrays that are none": (6).to_bytes(4, "big") + b"\xdd\xff\xff\xff\xff\x00",
    "frames of a server": HELLO + frames.pack(frames.Done([1, 2, 3])),
    "half a frame": HELLO + (1 << 20).to_bytes(4, "big") + b"x" * 1000,
}  # fmt: skip


def test_garbage_ends_its_own_link_only(stack: tuple[Up, SyncAdminClient]) -> None:
    """Whatever is no frame of a client, many times at once, costs its sender the stream and the others nothing."""
    running, client = stack
    before = psutil.Process(running.process.pid).memory_info().rss
    with ExitStack() as open_ones:
        for data in [*GARBAGE.values()] * 10:
            open_ones.enter_context(raw(running, data))
        healthy(running, client, before)
    log = (running.data / "logs" / "server.log").read_text()
    assert "Traceback" not in log
    assert "\x1b" not in log


def test_who_never_reads_is_not_kept_in_memory(stack: tuple[Up, SyncAdminClient]) -> None:
    """Questions by the hundred thousand whose answers nobody takes: the sender is stopped, the others go on."""
    running, client = stack
    before = psutil.Process(running.process.pid).memory_info().rss
    wrong = Outgoing("nowhere", Message(b"x"))
    flood = HELLO + b"".join(
        frames.pack(frames.Publish(number, [wrong])) for number in range(1, 50_000)
    )
    flood += b"".join(frames.pack(frames.AskStats(number)) for number in range(50_000, 100_000))
    with ExitStack() as deaf:
        for _ in range(3):
            deaf.enter_context(raw(running, flood * 3, seconds=2.0))
        healthy(running, client, before)


def _bomb(size: int) -> bytes:
    """A batch of log records that inflates to `size` bytes."""
    record = LogRecord(datetime.now(UTC), "", "bomb", 40, "x" * size)
    packed = msgspec.msgpack.encode(LogBatch("evil", "evil-1", [record]))
    return bytes((1, 1)) + zlib.compress(packed, 9)


def test_a_flood_of_reports_starves_nobody(stack: tuple[Up, SyncAdminClient]) -> None:
    """Heartbeats and inflating logs as fast as they go: jobs run, calls are answered, memory stays within its bound."""
    running, client = stack
    before = psutil.Process(running.process.pid).memory_info().rss
    bombs = [Outgoing("logs", Message(_bomb(15 << 20), type="LogBatch"))] * 5
    beats = [
        Outgoing("heartbeats", Message(encode(make_beat("evil", sequence=n)), type="Heartbeat"))
        for n in range(2_000)
    ]
    noise = [Outgoing("logs", Message(os.urandom(500_000)))] * 5
    stop = threading.Event()

    async def flood() -> None:
        link = await LinkBroker.connect(
            unix_stream(running.data / "link.sock"), host="evil", worker="evil-1"
        )
        try:
            while not stop.is_set():
                for items in (bombs, beats, noise):
                    with suppress(DtsError):
                        await link.publish(items)
        finally:
            await link.close()

    flooding = threading.Thread(target=lambda: asyncio.run(flood()))
    flooding.start()
    try:
        slowest = 0.0
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            started = time.monotonic()
            client.counts()
            slowest = max(slowest, time.monotonic() - started)
        print(f"slowest call beside the flood: {slowest:.3f} s")
        healthy(running, client, before)
    finally:
        stop.set()
        flooding.join(60)
    healthy(running, client, before)


def test_nothing_of_others_is_moved(stack: tuple[Up, SyncAdminClient]) -> None:
    """Results, progress and beats for another worker's claim, and queues that are not its own: all refused."""
    running, client = stack
    job = client.submit("test/sleeper", args=[3.0])
    eventually(lambda: client.job(job.id).state == "running", what="it runs on the real worker")
    asyncio.run(_forge(running, job.id))
    ended = client.wait_for(job.id, timeout_seconds=60)
    assert (ended.state, ended.result, ended.progress_text) == ("done", "its own", "")
    real = {host.name for host in client.hosts().items if host.name != "evil"}
    assert len(real) == 1
    assert client.host(real.pop()).beat.cpu_cores != []


async def _forge(running: Up, job: str) -> None:
    link = await LinkBroker.connect(
        unix_stream(running.data / "link.sock"), host="evil", worker="evil-1"
    )

    async def send(queue: str, record: object) -> None:
        await link.publish([Outgoing(queue, Message(encode(record), type=type(record).__name__))])

    try:
        for event in (JobEvent.FINISH, JobEvent.FAIL, JobEvent.GIVE_BACK):
            result = JobResult(id=job, epoch=1, event=event, result=b'"forged"')
            with pytest.raises(ResultRefused):
                await send("results", JobResults("evil", "evil-1", [result]))
        item = Progress(job, 1, 0.9, "forged")
        await send("heartbeats", ProgressReport(host="evil", worker="evil-1", items=[item]))
        await send("heartbeats", make_beat("evil", held=[(job, 1)], cpu_cores=[]))
        with pytest.raises(Forbidden):
            await send("heartbeats", make_beat("victim"))
        for queue in ("jobs.dts", "jobs.host.victim", "results", "heartbeats", "logs", "requests"):
            with pytest.raises(Forbidden):
                await link.consume(queue, lambda deliveries: None, prefetch=1)
            with pytest.raises(Forbidden):
                await link.declare(QueueSpec(queue))
        for queue in ("jobs.default", "jobs.dts", "requests"):
            with pytest.raises(Forbidden):
                await link.publish([Outgoing(queue, Message(b"x"))])
        with pytest.raises(Forbidden):
            await link.subscribe(EVENTS, lambda message: None)
        with pytest.raises(Forbidden):
            await link.fanout(CONTROL, Message(b"x"))
        for look in (link.stats, link.dead_letters):
            with pytest.raises(Forbidden):
                await look()
    finally:
        await link.close()
