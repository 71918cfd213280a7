"""Calls that wait for a child."""

from collections import deque

from dts_core.children.calls import Running

SPLIT = 4
"""Into how many groups the calls of a child that died are divided."""


class Waiting:
    """Who waits for a slot, in order; and who ran in a child that died, in groups that run again apart."""

    def __init__(self) -> None:
        self.sync: deque[Running] = deque()
        self.shared: deque[Running] = deque()
        """The asynchronous ones, which share a child."""
        self.apart: deque[Running] = deque()
        """The asynchronous ones for another interpreter than the pool's own."""
        self.suspects: deque[list[Running]] = deque()

    def __len__(self) -> int:
        return len(self.sync) + len(self.shared) + len(self.apart) + sum(map(len, self.suspects))

    def line(self, *, is_async: bool) -> deque[Running]:
        """The calls of one kind, save asynchronous ones for another interpreter."""
        return self.shared if is_async else self.sync

    def drop(self, run: Running) -> None:
        """Forget a call, wherever it waits; one that has a child does not."""
        if run.child is None:
            for waiting in (self.sync, self.shared, self.apart, *self.suspects):
                if run in waiting:
                    waiting.remove(run)
            while [] in self.suspects:
                self.suspects.remove([])

    def put_back(self, run: Running) -> None:
        """A call whose child never came up waits again, in front."""
        run.child, run.started_at = None, None
        run.set_timer(None)
        apart = run.call.is_async and run.call.python
        (self.apart if apart else self.line(is_async=run.call.is_async)).appendleft(run)

    def suspect(self, runs: list[Running]) -> None:
        """One of these took its child down: each runs again among fewer."""
        for run in runs:
            run.child = None
            run.set_timer(None)
        groups = (runs[first::SPLIT] for first in range(SPLIT))
        self.suspects.extend(group for group in groups if group)
