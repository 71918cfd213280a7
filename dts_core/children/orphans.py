"""Finding and ending the processes that user code left behind. Linux; elsewhere the process group is all there is."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

ROUNDS = 20
"""A fork bomb may add processes while it is being ended: how often to look again."""
PARENT_FIELD = 1
START_FIELD = 19
"""Places in /proc/PID/stat, counted from behind the name."""
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


def send_signal(pid: int, number: int) -> None:
    """Signal one process; one that is gone, or not ours, is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def send_group_signal(group: int, number: int) -> None:
    """Signal a process group; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def kill_tree(pid: int) -> None:
    """End a session leader with everything below it, detached or not. `pid` must not have been reaped.

    It is stopped first, so that it forks no more while its descendants are looked up.
    """
    send_signal(pid, signal.SIGSTOP)
    seen: set[int] = set()
    for _ in range(ROUNDS):
        found = descendants(pid) - seen
        if not found:
            break
        for each in found:
            send_signal(each, signal.SIGKILL)
        seen |= found
    send_group_signal(pid, signal.SIGKILL)
    send_signal(pid, signal.SIGKILL)


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
    try:
        return _fields(Path(f"/proc/{pid}"))[START_FIELD]
    except OSError:
        return b""


def _fields(folder: Path) -> list[bytes]:
    """What stands behind the name in a process's stat; the name itself may hold anything."""
    stat = (folder / "stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`, by one look at /proc; empty where there is none."""
    below = _children_by_parent()
    found: set[int] = set()
    todo = [pid]
    while todo:
        for child in below.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def sweep(known: Iterable[int]) -> int:
    """End children of this process that it did not start itself (adopted orphans); returns how many.

    Args:
        known: Process ids that this process did start; they are left alone.
    """
    keep = set(known)
    seen: set[int] = set()
    for _ in range(ROUNDS):
        strangers = set(_children_by_parent().get(os.getpid(), ())) - keep
        for pid in strangers:
            kill_tree(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not strangers - seen:
            break
        seen |= strangers
    return len(seen)


def _children_by_parent() -> dict[int, list[int]]:
    """Parent -> children over all living processes."""
    table: dict[int, list[int]] = {}
    for entry in _process_folders():
        try:
            parent = int(_fields(entry)[PARENT_FIELD])
        except OSError:
            continue
        table.setdefault(parent, []).append(int(entry.name))
    return table


def _process_folders() -> list[Path]:
    try:
        return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
