"""How long it takes until work goes on: measured by the marks that jobs leave when they start and when they end."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dts_core.errors import DtsError
from tests.support.processes import Running

GIVE_UP_SECONDS: Final = 45.0
LOOK_SECONDS: Final = 0.02
PROBE_SECONDS: Final = 0.5
BACKLOG_MAX: Final = 5
"""The load goes on: so many jobs are no backlog."""
VICTIM_SECONDS: Final = 4.0
"""How long to wait for a job that runs where it is going to be killed."""


class Mark(NamedTuple):
    """One line of the file: `start` or `end`, the job's name, its process, the machine's monotonic seconds."""

    word: str
    name: str
    pid: int
    at: float


class Marks:
    """The file that every job of the load writes to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._marks: list[Mark] = []
        self._position = 0

    def all(self) -> list[Mark]:
        """Every mark so far, in order."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._position += len(whole)
            for line in whole.decode().splitlines():
                word, name, pid, at = line.split()
                self._marks.append(Mark(word, name, int(pid), float(at)))
        return self._marks

    def running(self, pids: set[int]) -> list[Mark]:
        """Long jobs that started in one of these processes and did not end."""
        found: dict[str, Mark] = {}
        for mark in self.all():
            if mark.word == "start" and mark.name.startswith("long"):
                found[mark.name] = mark
            elif mark.word == "end":
                found.pop(mark.name, None)
        return [mark for mark in found.values() if mark.pid in pids]


class Recoveries:
    """Samples in seconds; nothing else is done to the stack while one is taken.

    Args:
        marks: What the jobs say.
        since: Names of the jobs that were accepted after a monotonic instant.
        acked: Of these jobs those whose deliveries may have been acked so many seconds ago, on the strength of claims.
        over: Of these jobs those that have ended.
    """

    def __init__(
        self,
        marks: Marks,
        since: Callable[[float], set[str]],
        acked: Callable[[set[str], float], set[str]],
        over: Callable[[set[str]], set[str]],
    ) -> None:
        self._since = since
        self._acked = acked
        self._over = over
        self.worker_kill: list[float] = []
        """From the kill of a worker until the last of its running jobs runs elsewhere."""
        self.acked_kill: list[float] = []
        """The same for jobs whose deliveries may have been acked: nothing comes back, their leases have to end."""
        self.troubled_kill: list[float] = []
        """The same within a lease of another fault, while the control side still doubts what it hears."""
        self.frozen: list[float] = []
        """From the freeze of a worker until the last of its running jobs runs elsewhere."""
        self.cut_off: list[float] = []
        """The same of a worker whose network was cut."""
        self.broker_back: list[float] = []
        """From the broker's return until a job starts."""
        self.answers: list[float] = []
        """How long requests took while the database was away."""
        self.backlog: list[float] = []
        """From the database's return until what was accepted before is over."""
        self.findings: list[str] = []
        self._marks = marks

    @contextlib.contextmanager
    def of_worker(self, worker: Running, *, is_calm: bool) -> Iterator[None]:
        """Measure the kill of a worker in the block; no sample when no long job runs there."""
        running = self._wait_for_victims(worker)
        started = time.monotonic()
        yield
        again = self._elsewhere(running, started)
        acked = self._acked(set(again), time.monotonic() - started)
        for kept, group in (
            (self.worker_kill, set(again) - acked),
            (self.acked_kill, acked),
        ):
            if group:
                sample = max(again[name] for name in group)
                (kept if is_calm else self.troubled_kill).append(sample)

    @contextlib.contextmanager
    def of_silent(self, worker: Running, kept: list[float], *, is_calm: bool) -> Iterator[None]:
        """Measure the silence of a worker that begins in the block and lasts beyond it; otherwise as `of_worker`.

        Args:
            worker: Whose.
            kept: Gets the sample.
            is_calm: Whether nothing else is the matter.
        """
        running = self._wait_for_victims(worker)
        started = time.monotonic()
        yield
        if (again := self._elsewhere(running, started)) and is_calm:
            kept.append(max(again.values()))

    def _elsewhere(self, running: Sequence[Mark], started: float) -> dict[str, float]:
        """When these jobs started again, in seconds since `started`; waits for it.

        One that ends in another process ran there all the time: a run that lost its claim left the later mark. One that
        was lost too often does not run again.
        """
        before = self._ended(before=time.monotonic())
        here = {mark.name: mark.pid for mark in running if mark.name not in before}
        again: dict[str, float] = {}
        asked = started
        while here.keys() - again and time.monotonic() < started + GIVE_UP_SECONDS:
            time.sleep(LOOK_SECONDS)
            if time.monotonic() > asked + PROBE_SECONDS:
                asked = time.monotonic()
                with contextlib.suppress(DtsError):
                    for name in self._over(here.keys() - again):
                        del here[name]
            for mark in self._marks.all():
                if mark.at <= started or mark.name not in here:
                    continue
                if mark.word == "start":
                    again.setdefault(mark.name, mark.at - started)
                elif mark.name not in again and mark.pid != here[mark.name]:
                    del here[mark.name]
        if left := here.keys() - again:
            self.findings.append(f"{set(left)} did not run elsewhere within {GIVE_UP_SECONDS:g} s")
        return again

    def _ended(self, before: float) -> set[str]:
        return {mark.name for mark in self._marks.all() if mark.word == "end" and mark.at < before}

    def _wait_for_victims(self, worker: Running) -> list[Mark]:
        deadline = time.monotonic() + VICTIM_SECONDS
        while True:
            pids = {each.pid for each in worker.descendants()}
            running = self._marks.running(pids)
            if running or time.monotonic() > deadline:
                return running
            time.sleep(LOOK_SECONDS)

    @property
    def path(self) -> Path:
        """The file of the marks."""
        return self._marks.path

    def backlog_goes(self, waiting: Callable[[], int]) -> None:
        """Measure from now until no more jobs wait than start within a moment.

        Args:
            waiting: How many there are.
        """
        began = time.monotonic()
        while time.monotonic() < began + GIVE_UP_SECONDS:
            with contextlib.suppress(DtsError):
                if waiting() <= BACKLOG_MAX:
                    self.backlog.append(time.monotonic() - began)
                    return
            time.sleep(PROBE_SECONDS)
        self.findings.append(
            f"the backlog was not gone {GIVE_UP_SECONDS:g} s after the database's return"
        )

    def broker_is_back(self, back: float, probe: Callable[[], None]) -> None:
        """Measure from `back` until a job starts that was accepted after it.

        Args:
            back: When it was, in monotonic seconds.
            probe: Submits one, if that is possible now.
        """
        asked = 0.0
        while time.monotonic() < back + GIVE_UP_SECONDS:
            if time.monotonic() > asked + PROBE_SECONDS:
                probe()
                asked = time.monotonic()
            names = self._since(back)
            starts = [mark.at for mark in self._marks.all()[-2000:] if mark.name in names]
            if starts:
                self.broker_back.append(min(starts) - back)
                print(f"      a job started {self.broker_back[-1]:.2f} s after it", flush=True)
                return
            time.sleep(LOOK_SECONDS)
        self.findings.append(f"no job started within {GIVE_UP_SECONDS:g} s of the broker's return")


def p95(samples: Sequence[float]) -> str:
    """The 95th percentile, rounded up to a sample; `-` when there is none."""
    if not samples:
        return "-"
    return f"{sorted(samples)[-(-len(samples) * 95 // 100) - 1]:.2f}"
