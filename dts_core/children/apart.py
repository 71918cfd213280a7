"""Calls for other interpreters than the pool's own: which children they get, and when those end for want of calls."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from dts_core.children.calls import Running
from dts_core.children.process import ChildProcess

APART_MAX = 4
"""Most shared children of other interpreters; with more interpreters in use at once, calls wait."""


class Apart:
    """One shared child for each other interpreter that asynchronous calls ask for, at most APART_MAX.

    Args:
        waiting: Those calls, in order; shared with the pool.
        slots: Calls at once in one child.
        make: A new shared child for a call, or None when there can be none now.
        begin: Starts a call in a child.
        leave: Takes a child out of use.
    """

    def __init__(
        self,
        waiting: deque[Running],
        slots: int,
        *,
        make: Callable[[Running], ChildProcess | None],
        begin: Callable[[ChildProcess, Running], None],
        leave: Callable[[ChildProcess], None],
    ) -> None:
        self._waiting = waiting
        self._slots = slots
        self._make = make
        self._begin = begin
        self._leave = leave
        self._children: dict[str, ChildProcess] = {}

    def children(self) -> list[ChildProcess]:
        """Those that get calls."""
        return list(self._children.values())

    def serve(self) -> None:
        """Start what there is room for; what waits for one interpreter does not hold up another's."""
        for _ in range(len(self._waiting)):
            run = self._waiting.popleft()
            child = self._child_for(run)
            if child is not None:
                self._begin(child, run)
            elif not run.refused:
                self._waiting.append(run)

    def _child_for(self, run: Running) -> ChildProcess | None:
        python = run.call.python
        child = self._children.get(python)
        if child is not None and (child.retiring or child.dead):
            self._leave(child)
            child = None
        if child is None:
            if len(self._children) >= APART_MAX and not self._make_room():
                return None
            child = self._make(run)
            if child is None:
                return None
            self._children[python] = child
        return child if len(child.runs) < self._slots else None

    def _make_room(self) -> bool:
        for child in self.children():
            if not child.runs:
                child.retire("another interpreter needs its place")
                self._leave(child)
                return True
        return False

    def drop(self, child: ChildProcess) -> bool:
        """A child gets no further call; False: it is none of these."""
        if self._children.get(child.python) is not child:
            return False
        del self._children[child.python]
        return True


class IdleWatch:
    """Ends children of other interpreters that nothing was asked of for a while.

    Args:
        seconds: How long.
        idle: The children of other interpreters that run nothing.
        end: Takes one out of use.
        any_left: Whether there are such children at all; without any it rests.
    """

    def __init__(
        self,
        seconds: float,
        *,
        idle: Callable[[], Iterable[ChildProcess]],
        end: Callable[[ChildProcess], None],
        any_left: Callable[[], bool],
    ) -> None:
        self._seconds = seconds
        self._idle = idle
        self._end = end
        self._any_left = any_left
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch from now on. A second call does nothing."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds / 2, self._look)

    def _look(self) -> None:
        self._timer = None
        last = time.monotonic() - self._seconds
        for child in list(self._idle()):
            if child.answered_at <= last:
                child.retire("nothing was asked of it for a while")
                self._end(child)
        if self._any_left():
            self.start()

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
