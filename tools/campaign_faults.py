"""The faults of a campaign."""

import collections
import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import psutil

from tests.support.processes import Running
from tools.campaign_stack import STOP_SECONDS, Stack

WORKER_SILENCE_SECONDS: Final = 6.0
"""A worker that is frozen for longer may be taken for lost; nobody is to blame while the owner was frozen."""


class Faults:
    """One fault after the other, by the dice."""

    def __init__(self, stack: Stack, seed: int, only: str) -> None:
        self.hurt: set[str] = set()
        """Process ids of workers that may be charged with losses."""
        self.counts: collections.Counter[str] = collections.Counter()
        self._stack = stack
        self._chance = random.Random(seed)
        self._kinds: list[tuple[str, int, Callable[[], None]]] = [
            ("kill a child", 6, self._kill_child),
            ("kill a worker", 4, lambda: self._end_worker(signal.SIGKILL)),
            ("terminate a worker", 3, lambda: self._end_worker(signal.SIGTERM)),
            ("freeze a worker", 3, lambda: self._freeze(self._worker(), 14.0)),
            ("kill the owner", 3, lambda: self._end_owner(signal.SIGKILL)),
            ("terminate the owner", 2, lambda: self._end_owner(signal.SIGTERM)),
            ("freeze the owner", 3, lambda: self._freeze(self._stack.owner, 16.0)),
            ("freeze the owner, kill a worker", 1, self._freeze_and_kill),
            ("freeze everybody", 1, self._freeze_all),
            ("kill the owner and a worker", 1, self._kill_two),
        ]
        self._kinds = [kind for kind in self._kinds if only in kind[0]]

    def one(self) -> str:
        """Do one and say which."""
        weights = [weight for _, weight, _ in self._kinds]
        name, _, act = self._chance.choices(self._kinds, weights=weights)[0]
        act()
        self.counts[name] += 1
        return name

    def pause(self) -> float:
        """Seconds until the next."""
        return self._chance.uniform(0.3, 4.0)

    def _worker(self) -> Running | None:
        return self._stack.workers[self._chance.choice(sorted(self._stack.workers))]

    def _kill_child(self) -> None:
        children = self._stack.children()
        if children:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._chance.choice(children).kill()

    def _end_worker(self, number: signal.Signals) -> None:
        if (worker := self._worker()) is not None and worker.process.poll() is None:
            worker.process.send_signal(number)
            if number is signal.SIGKILL:
                self.hurt.add(str(worker.process.pid))
                worker.process.wait(10)

    def _end_owner(self, number: signal.Signals) -> None:
        owner = self._stack.owner
        if owner is None or owner.process.poll() is not None:
            return
        owner.process.send_signal(number)
        status = owner.process.wait(STOP_SECONDS)
        if number is signal.SIGTERM and status != 0:
            self._stack.statuses.append(f"the owner's exit status after SIGTERM was {status}")

    def _freeze(self, part: Running | None, longest: float) -> None:
        if part is not None:
            self._freeze_parts([part], self._chance.uniform(0.5, longest))

    def _freeze_parts(self, parts: list[Running], seconds: float) -> None:
        alive = [part for part in parts if part.process.poll() is None]
        if seconds > WORKER_SILENCE_SECONDS and self._stack.owner not in parts:
            self.hurt.update(str(part.process.pid) for part in alive)
        for part in alive:
            part.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            for part in alive:
                part.process.send_signal(signal.SIGCONT)

    def _freeze_all(self) -> None:
        self._freeze_parts(self._stack.parts(), self._chance.uniform(4, 16))

    def _freeze_and_kill(self) -> None:
        killer = threading.Timer(
            self._chance.uniform(0, 6), lambda: self._end_worker(signal.SIGKILL)
        )
        killer.start()
        self._freeze(self._stack.owner, 16.0)
        killer.join()

    def _kill_two(self) -> None:
        self._end_worker(signal.SIGKILL)
        self._end_owner(signal.SIGKILL)
