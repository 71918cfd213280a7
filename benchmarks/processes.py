"""What processes cost: a process with all its children as one."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil


class Family:
    """A process and whatever it started; those that have ended count with what their parents were told of them.

    Args:
        pid: The first of them.
        alone: Leave its children out.
    """

    def __init__(self, pid: int, *, alone: bool = False) -> None:
        self.head = psutil.Process(pid)
        self._alone = alone

    def members(self) -> list[psutil.Process]:
        """The process first, then its children and theirs."""
        if self._alone:
            return [self.head]
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self.head, *self.head.children(recursive=True)]
        return []

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return self._sum(_own_cpu if self._alone else _cpu)

    def rss(self) -> int:
        """Resident bytes; pages that several share count for each."""
        return int(self._sum(lambda each: each.memory_info().rss))

    def pss(self) -> int:
        """Resident bytes; pages that several share count once."""
        return int(self._sum(pss))

    def anonymous(self) -> int:
        """Bytes that no file is behind, shared pages once: what others map, or cease to, changes nothing in it."""
        return int(self._sum(anonymous))

    def descriptors(self) -> int:
        """Open files and sockets."""
        return int(self._sum(lambda each: each.num_fds()))

    def _sum(self, measure: Callable[[psutil.Process], float]) -> float:
        total = 0.0
        for each in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += measure(each)
        return total


def _own_cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def pss(process: psutil.Process) -> int:
    """Resident bytes of one process, shared pages divided by their users; the plain figure where that is not told."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        return int(process.memory_info().rss)


def anonymous(process: psutil.Process) -> int:
    """Bytes of one process that no file is behind, shared pages divided by their users; RSS where that is not told."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:  # it has ended, or this is no Linux: psutil tells which
        return int(process.memory_info().rss)
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss_Anon":
            return int(rest.split()[0]) * 1024
    return int(process.memory_info().rss)


class CpuMark:
    """Processor time of several families since this was made."""

    def __init__(self, families: dict[str, Family]) -> None:
        self._families = families
        self._before = {name: each.cpu_seconds() for name, each in families.items()}

    def us_each(self, count: int) -> dict[str, float]:
        """Microseconds for each of `count` things, by family."""
        return {
            f"{name}_us": (each.cpu_seconds() - self._before[name]) / count * 1e6
            for name, each in self._families.items()
        }
