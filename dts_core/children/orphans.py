"""Finding and ending the processes that user code left behind. Linux; elsewhere the process group is all there is."""

import contextlib
import os
import sys
from collections.abc import Iterable

from dts_core.runner.family import (
    ROUNDS,
    children_by_parent,
    descendants,
    kill_tree,
    send_group_signal,
    send_signal,
    stat_fields,
)

__all__ = [
    "become_subreaper",
    "descendants",
    "family",
    "forbid_inspection",
    "kill_family",
    "kill_tree",
    "send_group_signal",
    "send_signal",
    "sweep",
]

START_FIELD = 19
"""Place in /proc/PID/stat, counted from behind the name."""
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4


def become_subreaper() -> bool:
    """Adopt orphaned descendants, so that `sweep` finds them; False where the system cannot."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def forbid_inspection() -> bool:
    """Let no process of the same user read our memory or environment; False where the system cannot."""
    return _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0


def family(pid: int) -> dict[int, bytes]:
    """The descendants of a process, each with the instant of its start, which tells it from a later one of that id."""
    found = {}
    for each in descendants(pid):
        started = _started(each)
        if started:
            found[each] = started
    return found


def kill_family(members: dict[int, bytes]) -> None:
    """End those that still live, with everything below them; for when their ancestor has died already."""
    for pid, started in members.items():
        if _started(pid) == started:
            kill_tree(pid)


def _started(pid: int) -> bytes:
    fields = stat_fields(str(pid))
    return fields[START_FIELD] if fields is not None else b""


def sweep(known: Iterable[int]) -> int:
    """End children of this process that it did not start itself (adopted orphans); returns how many.

    Args:
        known: Process ids that this process did start; they are left alone.
    """
    keep = set(known)
    seen: set[int] = set()
    for _ in range(ROUNDS):
        strangers = set(children_by_parent().get(os.getpid(), ())) - keep
        for pid in strangers:
            kill_tree(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not strangers - seen:
            break
        seen |= strangers
    return len(seen)
