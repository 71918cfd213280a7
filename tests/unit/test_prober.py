"""The prober: real figures of this host, on time, and never a crash."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import psutil
import pytest

from dts_core.clock import SystemClock
from dts_core.codec import decode, encode
from dts_core.errors import BrokerUnavailable
from dts_core.model import Disk, Heartbeat, Readied
from dts_core.settings import ProberSettings
from dts_core.states import WorkerEvent
from dts_core.testing import wait_until
from dts_worker import measures
from dts_worker import prober as prober_module
from dts_worker.aside import Aside, Stuck
from dts_worker.prober import Prober


class Facts:
    """A worker with one job."""

    host = "alpha"
    worker = "alpha-1"
    version = "1.2.3"
    loop = "asyncio"
    queues: ClassVar = ["default", "host.alpha"]
    slots = 2
    running = 1
    draining = False

    def held(self) -> list[tuple[str, int]]:
        return [("job", 3)]

    def counts(self) -> list[tuple[int, str, int]]:
        return [(WorkerEvent.RECV, "sample/noop", 2), (WorkerEvent.DONE, "sample/noop", 1)]

    def functions(self) -> dict[str, str]:
        return {"sample/noop": "0" * 64}

    def readied(self) -> list[Readied]:
        return []


class Wire:
    """Takes beats, and can be cut or jammed."""

    def __init__(self) -> None:
        self.beats: list[Heartbeat] = []
        self.tried = 0
        self.is_cut = False
        self.is_jammed = False

    async def publish(self, beat: Heartbeat) -> None:
        self.tried += 1
        if self.is_cut:
            raise BrokerUnavailable("cut")
        if self.is_jammed:
            await asyncio.Event().wait()
        self.beats.append(beat)


@asynccontextmanager
async def running(wire: Wire, **settings: Any) -> AsyncIterator[Prober]:
    given = {"interval_seconds": 0.05, "disks_seconds": 0.05}
    prober = Prober(ProberSettings(**(given | settings)), Facts(), wire.publish, SystemClock())
    task = asyncio.create_task(prober.run())
    try:
        yield prober
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_first_beat_says_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first heartbeat comes at once, with this host's real figures and the worker's facts."""
    wire = Wire()
    async with running(wire, interval_seconds=3600):
        await wait_until(lambda: bool(wire.beats))
    (beat,) = wire.beats
    assert (beat.host, beat.worker, beat.sequence, beat.version) == ("alpha", "alpha-1", 1, "1.2.3")
    assert (beat.slots, beat.running, beat.held) == (2, 1, [("job", 3)])
    assert beat.memory_total == psutil.virtual_memory().total
    assert 0 < beat.memory_available <= beat.memory_total
    assert len(beat.cpu_cores) == psutil.cpu_count()
    assert all(0 <= core <= 1 for core in [beat.cpu, *beat.cpu_cores])
    assert beat.uptime_seconds > 0
    assert beat.python
    assert beat.system
    assert beat.boot_id == measures.boot_id() != ""
    assert beat.missing == []
    assert decode(encode(beat), Heartbeat) == beat


def test_event_numbers_are_fixed() -> None:
    """Other versions count the same events under the same numbers."""
    assert (WorkerEvent.RECV, WorkerEvent.FAIL, WorkerEvent.DONE) == (1, 2, 3)


async def test_beats_go_on_in_order_with_disks_and_rates() -> None:
    """Beats number themselves; later ones hold what needed a second look."""
    wire = Wire()
    async with running(wire):
        await wait_until(lambda: len(wire.beats) >= 4)
    assert [beat.sequence for beat in wire.beats] == list(range(1, len(wire.beats) + 1))
    root = next(disk for disk in wire.beats[-1].disks if disk.mount == "/")
    assert 0 < root.used < root.total == psutil.disk_usage("/").total
    assert wire.beats[-1].network_received >= 0
    assert len({beat.boot_id for beat in wire.beats}) == 1


async def test_beats_that_cannot_be_sent_are_dropped() -> None:
    """A cut or jammed wire stops nothing: each beat is given up in its time, and the next one that passes is fresh."""
    wire = Wire()
    async with running(wire) as prober:
        await wait_until(lambda: len(wire.beats) >= 1)
        wire.is_cut = True
        await wait_until(lambda: wire.tried >= 4)
        wire.is_cut, wire.is_jammed = False, True
        before = wire.tried
        await wait_until(lambda: wire.tried >= before + 3)
        wire.is_jammed = False
        count = len(wire.beats)
        await wait_until(lambda: len(wire.beats) > count)
        assert prober.dropped >= 4
        assert wire.beats[-1].sequence > count + 4


async def test_figures_that_fail_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform without a figure, or one that refuses it, leaves a default and a name in `missing`."""

    def refuse(*_: object, **__: object) -> None:
        raise psutil.AccessDenied

    def lack(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    monkeypatch.setattr(psutil, "virtual_memory", lack)
    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: None)
    monkeypatch.delattr(psutil, "getloadavg")
    wire = Wire()
    async with running(wire):
        await wait_until(lambda: any("disks" in beat.missing for beat in wire.beats))
    assert set(wire.beats[-1].missing) == {"cpu", "memory", "load", "network", "disks"}
    assert (wire.beats[-1].cpu, wire.beats[-1].memory_total) == (0.0, 0)


async def test_hanging_mount_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead network mount is named as missing; the other disks and the beats go on."""
    release = threading.Event()

    def read(mount: str) -> Disk:
        if mount == "/dead":
            release.wait(60)
        return Disk(mount=mount, total=100, used=50)

    monkeypatch.setattr(prober_module, "mounts", lambda: ["/", "/dead", "/var"])
    monkeypatch.setattr(prober_module, "read_disk", read)
    monkeypatch.setattr(prober_module, "DISK_SECONDS", 0.1)
    wire = Wire()
    try:
        async with running(wire):
            await wait_until(lambda: bool(wire.beats) and "disk:/dead" in wire.beats[-1].missing)
            assert [disk.mount for disk in wire.beats[-1].disks] == ["/", "/var"]
            stuck = [thread for thread in threading.enumerate() if thread.name == "dts-disk /dead"]
            seen = len(wire.beats)
            await wait_until(lambda: len(wire.beats) > seen + 5)
            assert len(stuck) == 1
            release.set()
            await wait_until(lambda: not wire.beats[-1].missing)
            assert len(wire.beats[-1].disks) == 3
    finally:
        release.set()


async def test_slow_figures_do_not_stop_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel does not answer, the beat goes out without figures."""
    release = threading.Event()
    monkeypatch.setattr(prober_module, "READ_SECONDS", 0.05)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: release.wait(60))
    wire = Wire()
    try:
        async with running(wire):
            await wait_until(lambda: len(wire.beats) >= 3)
    finally:
        release.set()
    assert "memory" in wire.beats[-1].missing
    assert wire.beats[-1].held == [("job", 3)]


async def test_loop_lag_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was blocked says for how long, once."""
    monkeypatch.setattr(prober_module, "LAG_SECONDS", 0.02)
    wire = Wire()
    async with running(wire):
        await wait_until(lambda: bool(wire.beats))
        time.sleep(0.3)
        await wait_until(lambda: any(beat.loop_lag_seconds > 0.2 for beat in wire.beats))


async def test_goodbye_is_one_more_beat() -> None:
    """A worker that stops sends its last word through the prober."""
    wire = Wire()
    prober = Prober(ProberSettings(), Facts(), wire.publish, SystemClock())
    await prober.say_goodbye()
    assert len(wire.beats) == 1


async def test_aside_hands_on_errors_and_gives_up() -> None:
    """A call's error reaches who awaits; one that hangs is given up, and not started a second time meanwhile."""
    aside = Aside()
    with pytest.raises(ZeroDivisionError):
        await aside.run("a", lambda: 1 / 0, timeout_seconds=5)
    assert await aside.run("a", lambda: 7, timeout_seconds=5) == 7
    release = threading.Event()
    with pytest.raises(Stuck):
        await aside.run("a", lambda: release.wait(60), timeout_seconds=0.01)
    with pytest.raises(Stuck):
        await aside.run("a", lambda: True, timeout_seconds=5)
    release.set()
    await wait_until(lambda: not aside.is_stuck("a"))
    assert await aside.run("a", lambda: 8, timeout_seconds=5) == 8


def test_boot_id_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Where the kernel gives no id, the minute of the boot stands in; where that fails too, nothing does."""
    monkeypatch.setattr(measures, "_BOOT_ID", tmp_path / "none")
    assert measures.boot_id() == f"boot-{int(psutil.boot_time()) // 60}"

    def refuse() -> float:
        raise OSError

    monkeypatch.setattr(psutil, "boot_time", refuse)
    assert measures.boot_id() == ""


def test_mounts_are_real_and_each_device_once() -> None:
    """The root is there; nothing in memory, no image, no device twice."""
    found = measures.mounts()
    assert "/" in found
    assert len(found) == len(set(found))
    kinds = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    assert not {kinds[mount] for mount in found if mount != "/"} & {"tmpfs", "proc", "squashfs"}
    disk = measures.read_disk("/")
    assert disk is not None
    stats = os.statvfs("/")
    if stats.f_files:
        assert 0 < disk.inodes_used < 1


async def test_a_beat_goes_out_when_the_link_is_back() -> None:
    """Who was not heard for a while does not wait for the next beat's time."""
    wire = Wire()
    wire.is_cut = True
    async with running(wire, interval_seconds=60) as prober:
        await wait_until(lambda: wire.tried == 1)
        wire.is_cut = False
        prober.beat_now()
        await wait_until(lambda: len(wire.beats) == 1)
