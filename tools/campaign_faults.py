"""The faults of a campaign: what every engine has in common, dealt by a seed."""

import collections
import contextlib
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from tools.campaign_charges import Harms
from tools.campaign_load import Asked
from tools.campaign_recovery import Recoveries
from tools.campaign_stack import STOP_SECONDS, Stack, lives

WORKER_SILENCE_SECONDS: Final = 6.0
"""A worker that is frozen for longer may be taken for lost; nobody is to blame while the owner was frozen."""
READY_SECONDS: Final = 60.0
YOUNG_SECONDS: Final = 10.0
"""A process may be that old before it has a way of its own to stop; one that has it is held to it at any age."""
ORPHAN_SECONDS: Final = 5.0
"""How long a child may outlive its worker."""
VICTIMS: Final = 6
"""Long jobs that are submitted before a worker is killed, so that it is known to run some."""
CALM_SHARE: Final = 0.6
"""Of the kills of a worker that wait until nothing else is the matter."""


class Fault(NamedTuple):
    """One kind."""

    name: str
    weight: int
    """How often it is in the deck."""
    act: Callable[[], None]
    is_of_worker: bool = False
    """Whether it leaves everything but workers alone."""


class Faults:
    """One fault after the other, from a deck that is shuffled by the seed and dealt to its end before it starts anew.

    Args:
        stack: What they befall.
        recoveries: Measures how long it takes to get over them.
        probe: Submits a job for that, if it can.
        seed: Gives the order, the victims and how long they last.
        only: Faults whose name has one of these texts; empty: all.
        longest: Factor on how long something is frozen, silent or full.
        first: Names of faults that come before the deck, in this order; what is not possible here is left out.
    """

    def __init__(
        self,
        stack: Stack,
        recoveries: Recoveries,
        probe: Callable[[str, int], None],
        seed: int,
        *,
        only: Sequence[str] = (),
        longest: float = 1.0,
        first: Sequence[str] = (),
    ) -> None:
        self.harms = Harms(stack.calm_seconds)
        """Which workers may be charged with losses, and when."""
        self.asked: dict[str, Asked] = {}
        """Jobs that faults submit themselves, by name."""
        self.counts: collections.Counter[str] = collections.Counter()
        self.findings: list[str] = []
        self.stack = stack
        self.chance = random.Random(seed)
        self.killed_children: dict[int, float] = {}
        """Process id -> when, in monotonic seconds."""
        self.recoveries = recoveries
        self.probe = probe
        self._only = only
        self._longest = longest
        self._first = list(first)
        self._deck: list[Fault] = []
        self._calm_at = time.monotonic() + self.stack.calm_seconds
        self._ending: list[subprocess.Popen[Any]] = []
        """Workers that were told to stop, and may still finish their jobs."""

    def kinds(self) -> list[Fault]:
        """All that there are on this engine."""
        raise NotImplementedError

    def one(self) -> str:
        """Do one and say which."""
        if not self._deck:
            self._fill_deck()
        kind = self._deck.pop()
        if kind.is_of_worker:
            kind.act()
        else:
            with self.harms.trouble():
                kind.act()
            self.no_calm()
        self.counts[kind.name] += 1
        return kind.name

    def _fill_deck(self) -> None:
        kinds = {
            kind.name: kind
            for kind in self.kinds()
            if not self._only or any(text in kind.name for text in self._only)
        }
        self._deck = [kind for kind in kinds.values() for _ in range(kind.weight)]
        self.chance.shuffle(self._deck)
        self._deck += [kinds[name] for name in reversed(self._first) if name in kinds]
        self._first.clear()

    def no_calm(self) -> None:
        """Something but a worker was just disturbed."""
        self._calm_at = time.monotonic() + self.stack.calm_seconds

    def pause(self) -> float:
        """Seconds until the next."""
        return self.chance.uniform(0.3, 4.0)

    def worker_kinds(self) -> list[Fault]:
        """Those of workers."""
        found = [
            Fault("kill a child", 3, self._kill_child, True),
            Fault("kill a worker", 5, self._kill_worker, True),
            Fault("kill a worker and its children", 2, self._kill_family, True),
            Fault("terminate a worker", 2, lambda: self.terminate(self.worker()), True),
            Fault("freeze a worker", 2, lambda: self.freeze([self.worker()], 14.0), True),
            Fault("freeze a worker until its jobs run elsewhere", 2, self._freeze_worker, True),
        ]
        if self.stack.clock is not None:
            found.append(Fault("step a worker's clock", 2, self._step_clock, True))
        return found

    # --- what the kinds are made of

    def worker(self) -> str:
        """One of the workers."""
        return self.chance.choice(self.stack.workers)

    def wait(self, seconds: float) -> None:
        """Let a fault last."""
        time.sleep(seconds * self._longest)

    def kill(self, name: str) -> None:
        """SIGKILL, to that one process."""
        if name in self.stack.workers and self.stack.lives(name):
            self.harms.kill(self.stack.running[name].process.pid)
        self.end_process(name, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM; the control side's processes have to end well."""
        if name in self.stack.workers:
            if self.stack.lives(name):
                process = self.stack.running[name].process
                self.harms.stop(process)
                process.terminate()
                self._ending.append(process)
            return
        is_unready = self.age(name) < YOUNG_SECONDS and not self._can_stop(name)
        status = self.end_process(name, signal.SIGTERM)
        if status not in (0, None) and not (is_unready and status == -signal.SIGTERM):
            self.findings.append(f"the exit status of {name} after SIGTERM was {status}")

    def age(self, name: str) -> float:
        """Seconds since the process of that name was started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return time.time() - psutil.Process(self.stack.running[name].process.pid).create_time()
        return 0.0

    def _can_stop(self, name: str) -> bool:
        """Whether it has a way of its own to stop by now; where that cannot be seen, it has to have it."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.stack.running[name].process.pid}/status").read_text()
            return catches(status, signal.SIGTERM)
        return True

    def end_process(self, name: str, number: signal.Signals) -> int | None:
        """Its exit status; None when it did not run."""
        if not self.stack.lives(name):
            return None
        process = self.stack.running[name].process
        process.send_signal(number)
        return process.wait(STOP_SECONDS)

    def kill_and_come_back(self, *names: str) -> None:
        """Kill what the workers' messages go through, start it again, and measure until jobs start again."""
        for name in names:
            self.kill(name)
        self.stack.tend()
        self.measure_return()

    def probe_quick(self) -> None:
        """One quick job."""
        self.probe("quick", 1)

    def measure_return(self) -> None:
        """From when the broker is ready again until work goes on."""
        if not self.stack.wait_ready(READY_SECONDS):
            self.findings.append(f"the broker was not ready within {READY_SECONDS:g} s")
            return
        self.recoveries.broker_is_back(time.monotonic(), self.probe_quick)

    def freeze(self, names: Sequence[str], longest: float) -> None:
        """SIGSTOP for a while."""
        seconds = self.chance.uniform(0.5, longest) * self._longest
        alive = [name for name in names if self.stack.lives(name)]
        is_harm = seconds > WORKER_SILENCE_SECONDS and not set(self.stack.control) & set(alive)
        with self.harm(alive if is_harm else []):
            for name in alive:
                self.stack.running[name].process.send_signal(signal.SIGSTOP)
            try:
                time.sleep(seconds)
            finally:
                for name in alive:
                    self.stack.running[name].process.send_signal(signal.SIGCONT)

    def harm(self, names: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """These workers are not heard within the block; anybody else is not excused by it."""
        workers = [name for name in names if name in self.stack.workers and self.stack.lives(name)]
        return self.harms.during([self.stack.running[name].process.pid for name in workers])

    @contextlib.contextmanager
    def meanwhile(self, seconds: float, act: Callable[[], None]) -> Iterator[None]:
        """Do something else within the block, so many seconds after its begin."""
        timer = threading.Timer(seconds * self._longest, act)
        timer.start()
        try:
            yield
        finally:
            timer.join()

    # --- workers

    def _kill_child(self) -> None:
        children = self.stack.children()
        if children:
            child = self.chance.choice(children)
            self.killed_children[child.pid] = time.monotonic()
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _kill_worker(self) -> None:
        """The parent alone, so that its children have to notice; measured until what ran there runs elsewhere."""
        with self.victim() as name:
            if not name:
                return
            worker = self.stack.running[name]
            with self.recoveries.of_worker(worker, is_calm=self.is_calm()):
                family = worker.descendants()
                self.kill(name)
        self._expect_gone(name, family)

    def _freeze_worker(self) -> None:
        """Measured until what ran there runs elsewhere; only then it may go on."""
        with self.victim() as name:
            if not name:
                return
            worker = self.stack.running[name]
            kept = self.recoveries.frozen
            try:
                with (
                    self.harm([name]),
                    self.recoveries.of_silent(worker, kept, is_calm=self.is_calm()),
                ):
                    worker.process.send_signal(signal.SIGSTOP)
            finally:
                worker.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def victim(self, name: str = "") -> Iterator[str]:
        """A worker with long jobs, this one or any, mostly long after other faults; empty when it does not run."""
        name = name or self.worker()
        if self.chance.random() < CALM_SHARE:
            time.sleep(max(0.0, self._calm_at - time.monotonic()))
        self._wait_for_replacements()  # its jobs need another worker to run elsewhere
        if not self.stack.lives(name):
            yield ""
            return
        self.probe("long", VICTIMS)
        self.stack.held.add(name)
        try:
            yield name
        finally:
            self.stack.held.discard(name)

    def _wait_for_replacements(self) -> None:
        """A worker that was told to stop takes no further jobs; who takes its place is started once it is gone."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(each.poll() is None for each in self._ending):
            time.sleep(0.05)
        self._ending.clear()
        self.stack.tend()

    def is_calm(self) -> bool:
        """Whether nothing was disturbed within a lease."""
        return time.monotonic() >= self._calm_at

    def _expect_gone(self, name: str, family: Sequence[psutil.Process]) -> None:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while any(map(lives, family)):
            if time.monotonic() > deadline:
                self.findings.append(f"children of {name} outlived it by {ORPHAN_SECONDS:g} s")
                return
            time.sleep(0.05)

    def _kill_family(self) -> None:
        """As when a host goes down."""
        name = self.worker()
        if self.stack.lives(name):
            family = self.stack.running[name].descendants()
            self.kill(name)
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()

    def _step_clock(self) -> None:
        """An hour or a day off, either way; the next step may take it back."""
        offset = self.chance.choice([0, 3600, -3600, 86400, -86400])
        self.stack.clock_of(self.worker()).write_text(f"{offset}\n")


def catches(status: str, number: signal.Signals) -> bool:
    """Whether a process does something of its own at a signal, by its /proc/PID/status."""
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)
