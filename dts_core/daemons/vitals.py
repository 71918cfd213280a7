"""Heartbeats as they came, made safe: text printable, numbers finite and within reason, lists bounded.

A heartbeat is untrusted: a host that is broken or hostile may say anything that decodes.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeVar

from dts_core.model import Disk, Heartbeat, Readied
from dts_core.text import clean

HOST_MAX: Final = 253
TEXT_MAX: Final = 200
WHY_MAX: Final = 500
CORES_MAX: Final = 1024
DISKS_MAX: Final = 64
HELD_MAX: Final = 10_000
COUNTS_MAX: Final = 3_000
LIST_MAX: Final = 64
SIZE_MAX: Final = 1 << 60
RATE_MAX: Final = 1e15
"""Bytes per second."""
SECONDS_MAX: Final = 1e10
NUMBER_MAX: Final = 1 << 31
INTERVAL_MIN: Final = 0.05
INTERVAL_MAX: Final = 300.0
T = TypeVar("T")


@lru_cache(maxsize=20_000)
def name(text: str) -> str:
    """A name of a host, function, queue or version: printable, short."""
    return clean(text, HOST_MAX)


def finite(value: float, low: float, high: float) -> float:
    """`value` within the bounds; the lower one for what is no number."""
    return min(high, max(low, value)) if math.isfinite(value) else low


def share(value: float) -> float:
    """A share of 0..1; 0 for what is no number."""
    return finite(value, 0.0, 1.0)


def whole(value: int, high: int = SIZE_MAX) -> int:
    """A count or size of 0..high."""
    return min(high, max(0, value))


def instant(value: datetime) -> datetime:
    """An aware instant; one without a zone is taken as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def clean_beat(beat: Heartbeat) -> Heartbeat:
    """The same heartbeat with every field safe to show, to store and to calculate with."""
    total = whole(beat.memory_total)
    swap = whole(beat.swap_total)
    return Heartbeat(
        host=name(beat.host),
        worker=name(beat.worker),
        boot_id=name(beat.boot_id),
        sequence=beat.sequence,
        at=instant(beat.at),
        interval_seconds=finite(beat.interval_seconds, INTERVAL_MIN, INTERVAL_MAX),
        version=name(beat.version),
        python=name(beat.python),
        system=name(beat.system),
        loop=name(beat.loop),
        cpu=share(beat.cpu),
        cpu_cores=[share(core) for core in beat.cpu_cores[:CORES_MAX]],
        load=tuple(finite(value, 0.0, 1e6) for value in beat.load),  # type: ignore[arg-type]  # three stay three
        memory_total=total,
        memory_available=whole(beat.memory_available, total),
        swap_total=swap,
        swap_used=whole(beat.swap_used, swap),
        disks=_disks(beat.disks),
        network_received=finite(beat.network_received, 0.0, RATE_MAX),
        network_sent=finite(beat.network_sent, 0.0, RATE_MAX),
        uptime_seconds=finite(beat.uptime_seconds, 0.0, SECONDS_MAX),
        loop_lag_seconds=finite(beat.loop_lag_seconds, 0.0, SECONDS_MAX),
        slots=whole(beat.slots, NUMBER_MAX),
        running=whole(beat.running, NUMBER_MAX),
        draining=beat.draining,
        held=[claim for claim in beat.held[:HELD_MAX] if len(claim[0]) <= LIST_MAX],
        counts=_counts(beat.counts),
        functions={
            name(key): name(value) for key, value in _first(beat.functions.items(), COUNTS_MAX)
        },
        queues=_names(beat.queues),
        missing=_names(beat.missing),
        readied=_readied(beat),
    )


def _disks(disks: list[Disk]) -> list[Disk]:
    kept: dict[str, Disk] = {}
    for disk in disks[:DISKS_MAX]:
        total = whole(disk.total)
        kept[disk.mount] = Disk(
            mount=clean(disk.mount, TEXT_MAX),
            total=total,
            used=whole(disk.used, total),
            inodes_used=share(disk.inodes_used),
        )
    return list(kept.values())


def _readied(beat: Heartbeat) -> list[Readied]:
    return [
        Readied(
            order=name(each.order),
            worker=name(beat.worker),
            function=name(each.function),
            hash=name(each.hash),
            why=clean(each.why, WHY_MAX),
            runs=name(each.runs),
        )
        for each in beat.readied[-LIST_MAX:]
    ]


def _counts(counts: list[tuple[int, str, int]]) -> list[tuple[int, str, int]]:
    return [
        (whole(event, 255), name(function), whole(count))
        for event, function, count in counts[:COUNTS_MAX]
    ]


def _names(texts: list[str]) -> list[str]:
    return [clean(text, TEXT_MAX) for text in texts[:LIST_MAX]]


def _first(items: Iterable[T], limit: int) -> list[T]:
    return [item for _, item in zip(range(limit), items, strict=False)]


def memory_used(beat: Heartbeat) -> float:
    """Used share of the memory."""
    return 1 - beat.memory_available / beat.memory_total if beat.memory_total else 0.0


def disk_used(disk: Disk) -> float:
    """Used share of one file system."""
    return disk.used / disk.total if disk.total else 0.0


def worst_disk(beat: Heartbeat) -> float:
    """Used share of the fullest file system."""
    return max(map(disk_used, beat.disks), default=0.0)
