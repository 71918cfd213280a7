"""The host's figures, by psutil. Everything here blocks: called from a thread beside the loop.

A figure that a platform cannot give stays at its default and is named in `missing`; nothing here raises.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psutil

from dts_core.model import Disk

FIRST_GLANCE_SECONDS: Final = 0.1
"""How long the very first look at the processor takes: a share needs two readings."""
MOUNTS_MAX: Final = 64
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NETWORK_TYPES = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "ceph", "glusterfs", "lustre", "beegfs", "zfs", "9p"}
)
_IMAGE_TYPES = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "udf", "cd9660", "devfs"})
_LOOPBACK = ("lo", "lo0", "Loopback Pseudo-Interface 1")


class HostFigures(msgspec.Struct, kw_only=True):
    """One reading, in the fields and units of a Heartbeat."""

    cpu: float = 0.0
    cpu_cores: list[float] = []
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    memory_total: int = 0
    memory_available: int = 0
    swap_total: int = 0
    swap_used: int = 0
    network_received: float = 0.0
    network_sent: float = 0.0
    uptime_seconds: float = 0.0
    missing: list[str] = []


class Measures:
    """Reads the host; remembers the last counters, since shares and rates need two readings."""

    def __init__(self) -> None:
        self._processor: list[tuple[float, float]] = []
        self._network: tuple[float, int, int] | None = None

    def read(self) -> HostFigures:
        """All figures but the disks. Takes FIRST_GLANCE_SECONDS the first time, then well under a millisecond."""
        figures = HostFigures()
        readings: dict[str, Callable[[HostFigures], None]] = {
            "cpu": self._read_processor,
            "load": _read_load,
            "memory": _read_memory,
            "swap": _read_swap,
            "network": self._read_network,
            "uptime": _read_uptime,
        }
        for name, reading in readings.items():
            try:
                reading(figures)
            except Exception:  # noqa: BLE001 - however a platform fails at it, the beat goes out
                figures.missing.append(name)
        return figures

    def _read_processor(self, figures: HostFigures) -> None:
        if not self._processor:
            self._processor = _processor_times()
            time.sleep(FIRST_GLANCE_SECONDS)
        before, now = self._processor, _processor_times()
        self._processor = now
        if len(before) != len(now):
            raise ValueError("cores came or went")
        spans = [(b1 - b0, t1 - t0) for (b0, t0), (b1, t1) in zip(before, now, strict=True)]
        figures.cpu_cores = [_share(busy, total) for busy, total in spans]
        figures.cpu = _share(sum(busy for busy, _ in spans), sum(total for _, total in spans))

    def _read_network(self, figures: HostFigures) -> None:
        counters = psutil.net_io_counters(pernic=True, nowrap=False)
        cards = [card for name, card in counters.items() if name not in _LOOPBACK]
        received = sum(card.bytes_recv for card in cards)
        sent = sum(card.bytes_sent for card in cards)
        now = time.monotonic()
        before, self._network = self._network, (now, received, sent)
        if before is None or now <= before[0]:
            return
        seconds = now - before[0]
        # A counter that went back belongs to a card that was reset or unplugged.
        figures.network_received = max(0, received - before[1]) / seconds
        figures.network_sent = max(0, sent - before[2]) / seconds


def _processor_times() -> list[tuple[float, float]]:
    """(busy, total) seconds of every core since boot; waiting for a disk is idle."""
    times = []
    for core in psutil.cpu_times(percpu=True):
        fields = core._asdict()
        # On Linux the time of guests is contained in `user` and `nice` already.
        total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
        times.append((total - fields["idle"] - fields.get("iowait", 0.0), total))
    return times


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0


def _read_load(figures: HostFigures) -> None:
    figures.load = psutil.getloadavg()


def _read_memory(figures: HostFigures) -> None:
    memory = psutil.virtual_memory()
    figures.memory_total, figures.memory_available = memory.total, memory.available


def _read_swap(figures: HostFigures) -> None:
    swap = psutil.swap_memory()
    figures.swap_total, figures.swap_used = swap.total, swap.used


def _read_uptime(figures: HostFigures) -> None:
    figures.uptime_seconds = max(0.0, time.time() - psutil.boot_time())


def boot_id() -> str:
    """What changes with every start of the machine: the kernel's own id, else the minute of the boot, else empty."""
    try:
        return _BOOT_ID.read_text("ascii").strip()[:64]
    except (OSError, UnicodeDecodeError):
        pass
    try:
        return f"boot-{int(psutil.boot_time()) // 60}"
    except Exception:  # noqa: BLE001 - as above
        return ""


def system_name() -> str:
    """Name, release and architecture of the operating system, in one line."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"[:120]


def mounts() -> list[str]:
    """Where real file systems are mounted, each device once, at most MOUNTS_MAX. Touches none of them.

    Images and file systems in memory are left out; the root is always there, of whatever kind it is.
    """
    best: dict[str, str] = {}
    for part in psutil.disk_partitions(all=True):
        root = part.mountpoint == "/"
        real = part.device.startswith("/dev/") or os.name == "nt" or part.fstype in _NETWORK_TYPES
        if not root and (not real or not part.fstype or part.fstype in _IMAGE_TYPES):
            continue
        known = best.get(part.device)
        if known is None or len(part.mountpoint) < len(known):
            best[part.device] = part.mountpoint
    return sorted(set(best.values()))[:MOUNTS_MAX]


def read_disk(mount: str) -> Disk | None:
    """How full one file system is; None where there is nothing to fill (or a single file is mounted). May hang.

    Raises:
        OSError: It cannot be asked.
    """
    if not Path(mount).is_dir():
        return None
    usage = psutil.disk_usage(mount)
    inodes = 0.0
    if hasattr(os, "statvfs"):
        stats = os.statvfs(mount)
        # btrfs and others have no fixed number of inodes and say 0.
        inodes = _share(stats.f_files - stats.f_favail, stats.f_files)
    if not usage.total:
        return None
    # As df counts: what only root may still use does not make the disk less full for everybody else.
    used = round(usage.total * usage.percent / 100)
    return Disk(mount=mount, total=usage.total, used=used, inodes_used=inodes)
