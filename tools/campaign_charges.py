"""Who may be charged with a loss in a campaign, and when: each fault excuses for its time and a lease, no longer."""

import contextlib
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from subprocess import Popen
from typing import Any, Final, NamedTuple

LOOK_SECONDS: Final = 0.05
START_SECONDS: Final = 10.0
"""In which a process of the control side that was killed serves again."""


class Charge(NamedTuple):
    """A loss that the store has charged."""

    job: str
    epoch: int
    worker: str
    """HOST-PID-..."""
    at: float
    """When, in seconds of the machine's wall clock; those of the workers may be stepped, this one is not."""


class Window(NamedTuple):
    """From one instant to another, in seconds of the machine's wall clock; without an end while it lasts."""

    began: float
    ended: float = math.inf


class Harms:
    """What was done to each worker, and when the control side itself was disturbed.

    Args:
        calm_seconds: So long after a disturbance every worker is given a whole lease to be heard again.
    """

    def __init__(self, calm_seconds: float) -> None:
        self._calm = calm_seconds
        self._harms: list[tuple[str, Window]] = []
        self._stops: dict[str, Window] = {}
        now = time.time()
        self._troubles = [Window(now, now + START_SECONDS)]

    def kill(self, pid: int) -> None:
        """It is dead from now on."""
        self._harms.append((str(pid), Window(time.time())))

    @contextlib.contextmanager
    def during(self, pids: Iterable[int]) -> Iterator[None]:
        """These are frozen, cut off or deaf within the block."""
        began = time.time()
        try:
            yield
        finally:
            window = Window(began, time.time())
            self._harms.extend((str(pid), window) for pid in pids)

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """Something else than a worker is disturbed within the block."""
        began = time.time()
        try:
            yield
        finally:
            self._troubles.append(Window(began, time.time() + START_SECONDS))

    def stop(self, process: "Popen[Any]") -> None:
        """It was told to stop and gives its claims back, which is no excuse unless nobody is there to take them."""
        began = time.time()
        self._stops[str(process.pid)] = Window(began)
        threading.Thread(target=self._see_end, args=(process, began), daemon=True).start()

    def stopping(self) -> bool:
        """Whether one that was told to stop has not ended yet."""
        return any(stop.ended == math.inf for stop in self._stops.values())

    def _see_end(self, process: "Popen[Any]", began: float) -> None:
        while process.poll() is None:
            time.sleep(LOOK_SECONDS)
        self._stops[str(process.pid)] = Window(began, time.time())

    def wrong(self, charges: Sequence[Charge]) -> Iterator[str]:
        """Charges of workers that nothing was done to within a lease before."""
        for charge in charges:
            if not self._is_excused(charge.worker.split("-")[-2], charge.at):
                yield f"CHARGED: {charge.job} lost claim {charge.epoch} of {charge.worker}"

    def _is_excused(self, pid: str, at: float) -> bool:
        windows = [window for harmed, window in self._harms if harmed == pid]
        stop = self._stops.get(pid)
        if stop is not None and any(self._is_near(stop, each) for each in self._troubles):
            windows.append(stop)
        return any(window.began <= at <= self._end_of(window) for window in windows)

    def _is_near(self, stop: Window, trouble: Window) -> bool:
        """Whether the control side had something else to do when the claims came back."""
        return trouble.began <= stop.ended + self._calm and stop.began <= trouble.ended + self._calm

    def _end_of(self, window: Window) -> float:
        """The last instant at which its claims may end: later for whoever is being waited for when trouble comes."""
        end = window.ended + self._calm
        for trouble in sorted(self._troubles):
            if trouble.began <= end and trouble.ended >= window.began:
                end = max(end, trouble.ended + self._calm)
        return end
