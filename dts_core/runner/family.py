"""Finding and ending the processes below one. Linux; elsewhere the process group is all there is."""

from __future__ import annotations

import os

from dts_core.runner.plain import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

ROUNDS = 20
"""A fork bomb may add processes while it is being ended: how often to look again."""
PARENT_FIELD = 1
"""Place in /proc/PID/stat, counted from behind the name."""


def send_signal(pid: int, number: int) -> None:
    """Signal one process; one that is gone, or not ours, is no error."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def send_group_signal(group: int, number: int) -> None:
    """Signal a process group; one that is gone is no error."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_tree(pid: int) -> None:
    """End a session leader with everything below it, detached or not. `pid` must not have been reaped.

    It is stopped first, so that it forks no more while its descendants are looked up.
    """
    send_signal(pid, signal.SIGSTOP)
    kill_below(pid)
    send_group_signal(pid, signal.SIGKILL)
    send_signal(pid, signal.SIGKILL)


def kill_below(pid: int) -> None:
    """End everything below a process."""
    seen: set[int] = set()
    for _ in range(ROUNDS):
        found = descendants(pid) - seen
        if not found:
            return
        for each in found:
            send_signal(each, signal.SIGKILL)
        seen |= found


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`, by one look at /proc; empty where there is none."""
    below = children_by_parent()
    found: set[int] = set()
    todo = [pid]
    while todo:
        for child in below.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def children_by_parent() -> dict[int, list[int]]:
    """Parent -> children over all living processes; empty where there is no /proc."""
    table: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return table
    for name in names:
        fields = stat_fields(name) if name.isdigit() else None
        if fields is not None:
            table.setdefault(int(fields[PARENT_FIELD]), []).append(int(name))
    return table


def stat_fields(pid: str) -> list[bytes] | None:
    """What stands behind the name in a process's stat (the name itself may hold anything); None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            stat = stream.read()
    except OSError:
        return None
    return stat[stat.rindex(b")") + 2 :].split()
