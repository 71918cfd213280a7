"""The load of a campaign: jobs of five kinds, and the history of every operation on them."""

import collections
import enum
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from dts_core.clients import SyncAdminClient, submission
from dts_core.errors import ApiError, DtsError
from tools.campaign_stack import FINAL_STATES, Stack

_MARK: Final = """
    with open(marks, "a") as file:
        file.write(f"{word} {name} {os.getpid()} {time.monotonic()}\\n")
"""
_HEAD: Final = f"import asyncio, os, time\ndef mark(marks, word, name):{_MARK}\n"
SOURCES: Final = {
    "quick": f"""{_HEAD}
async def main(name, marks):
    mark(marks, "start", name)
    return name
""",
    "slow": f"""{_HEAD}
def main(name, marks):
    mark(marks, "start", name)
    time.sleep(0.2)
    return name
""",
    "fails": f"""{_HEAD}
def main(name, marks):
    mark(marks, "start", name)
    raise ValueError(name)
""",
    "endless": f"""{_HEAD}
def main(name, marks):
    mark(marks, "start", name)
    time.sleep(300)
""",
    "long": f"""{_HEAD}
async def main(name, marks):
    mark(marks, "start", name)
    await asyncio.sleep(5)
    mark(marks, "end", name)
    return name
""",
}
WEIGHTS: Final = {"quick": 12, "slow": 3, "fails": 1, "endless": 1, "long": 1}
ENDS: Final = {
    "quick": {"done", "dead"},
    "slow": {"done", "dead"},
    "long": {"done", "dead"},
    "fails": {"failed", "dead"},
    "endless": {"cancelled", "dead"},
}
"""How a job of each kind may end, unless the process that runs it is killed."""
BATCH_PAUSE_SECONDS: Final = 0.25
BATCH_MAX: Final = 100
TRICKLE_SECONDS: Final = 1.0
"""There is always something to start: a recovery is measured by it."""
GIVE_UP_SECONDS: Final = 120.0


ASYNCHRONOUS: Final = frozenset({"quick", "long"})
"""Kinds that share a child with others; one alone in it is to blame when it dies."""
RUN_SECONDS: Final = 5.0
"""The longest an asynchronous job runs."""


class Asked(enum.Enum):
    """What is known of a submission that was not accepted."""

    UNKNOWN = "unknown"
    """No answer, or an error on the server's side: its jobs may be there."""
    REFUSED = "refused"
    """Its jobs must not be there."""

    def after(self, status: int) -> "Asked":
        """With one more answer; what may have happened once may have happened.

        Args:
            status: Of HTTP; 0 when there was no answer.
        """
        is_refusal = 400 <= status < 500
        return self if is_refusal else Asked.UNKNOWN


class History:
    """Every operation in a file, one JSON object a line: what was asked, and whether it is known how it ended."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self.counts: collections.Counter[str] = collections.Counter()

    def note(self, operation: str, outcome: str, **fields: Any) -> None:
        """outcome: ok, fail (nothing happened) or unknown."""
        line = {"at": round(time.monotonic(), 4), "op": operation, "outcome": outcome, **fields}
        with self._lock:
            self.counts[f"{operation} {outcome}"] += 1
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Nothing more is noted."""
        self._file.close()


class Load:
    """Submits, cancels and looks until told to stop; remembers every id that was accepted.

    A submission whose answer is lost is sent again with its idempotency key until it is known how it ended.

    Args:
        stack: Gets the jobs.
        history: Gets every operation.
        seed: Gives kinds and numbers.
        marks: The file that the jobs write to.
        jobs: How many in all; `allow` lets them go.
    """

    def __init__(self, stack: Stack, history: History, seed: int, marks: Path, jobs: int) -> None:
        self.jobs = jobs
        self.accepted: dict[str, tuple[str, str]] = {}
        """id -> (kind, name)"""
        self.finals: dict[str, tuple[str, int, Any]] = {}
        """id -> (state, epoch, when it ended), as first seen"""
        self.asked: dict[str, Asked] = {}
        """Every name that was ever sent -> what is known of it as long as it is not accepted."""
        self.moved: list[str] = []
        self.findings: list[str] = []
        self.recovered = 0
        """Submissions whose first answer was lost."""
        self._accepted_at: dict[str, float] = {}
        self._to_cancel: set[str] = set()
        self._allowed = 0
        self._stack = stack
        self._history = history
        self._chance = random.Random(seed)
        self._marks = marks
        self._count = 0
        self._probes = 0
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._for_ever, args=(step,), daemon=True)
            for step in (self._submit, self._cancel, self._observe)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def allow(self, share: float) -> None:
        """Let this share of the jobs be submitted by now."""
        self._allowed = int(self.jobs * min(share, 1.0))

    @property
    def is_submitted(self) -> bool:
        """Whether all that were asked for are accepted."""
        return len(self.accepted) >= self.jobs

    def stop(self) -> None:
        """Submit nothing more."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(GIVE_UP_SECONDS + 30)

    def _for_ever(self, step: Callable[[SyncAdminClient], None]) -> None:
        with self._stack.client() as client:
            while not self._stopping.is_set():
                try:
                    step(client)
                except DtsError as error:
                    self._history.note(step.__name__.strip("_"), "fail", code=error.code)
                self._stopping.wait(BATCH_PAUSE_SECONDS)

    def _submit(self, client: SyncAdminClient) -> None:
        left = self._allowed - len(self.accepted)
        if sum(self._stack.unfinished(client).values()) > self._stack.open_max:
            return
        if left <= 0:
            self._stopping.wait(TRICKLE_SECONDS)
        count = self._chance.randint(1, max(min(left, BATCH_MAX), 2))
        names = []
        for kind in self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count):
            self._count += 1
            names.append((kind, f"{kind}-{self._count}"))
        if ids := self._insist(client, names, f"campaign-{self._count}"):
            self._keep(ids, names)

    def probe(self, kind: str = "quick", count: int = 1) -> None:
        """Submit jobs of one kind from another thread, once."""
        self._probes += 1
        names = [(kind, f"{kind}-probe-{self._probes}-{number}") for number in range(count)]
        key = f"probe-{self._probes}"
        try:
            with self._stack.client() as client:
                ids = self._send(client, names, key)
        except DtsError as error:
            self._history.note("probe", "unknown", key=key, code=error.code)
            return
        self._history.note("probe", "ok", key=key, ids=ids)
        self._keep(ids, names)

    def since(self, at: float) -> set[str]:
        """Names of the jobs that were accepted after a monotonic instant."""
        names = set()
        for name, accepted in reversed(list(self._accepted_at.items())):
            if accepted <= at:
                break
            names.add(name)
        return names

    def over(self, names: set[str]) -> set[str]:
        """Those of these jobs that have ended. Raises DtsError."""
        ids = {job: name for job, (_, name) in list(self.accepted.items()) if name in names}
        with self._stack.client() as client:
            return {name for job, name in ids.items() if client.job(job).state in FINAL_STATES}

    def _keep(self, ids: Sequence[str], names: Sequence[tuple[str, str]]) -> None:
        now = time.monotonic()
        for found, (kind, name) in zip(ids, names, strict=True):
            self.accepted[found] = (kind, name)
            self._accepted_at[name] = now
            if kind == "endless":
                self._to_cancel.add(found)

    def _insist(
        self, client: SyncAdminClient, names: Sequence[tuple[str, str]], key: str
    ) -> list[str]:
        """Submit until it is known how it ended; the ids, none when that takes too long."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        is_first = True
        while time.monotonic() < deadline:
            try:
                ids = self._send(client, names, key)
            except DtsError as error:
                self._history.note("submit", "unknown", key=key, code=error.code)
                is_first = False
                time.sleep(BATCH_PAUSE_SECONDS)
                continue
            self._history.note("submit", "ok", key=key, ids=ids)
            self.recovered += not is_first
            return ids
        self.findings.append(f"submission {key} was not answered within {GIVE_UP_SECONDS:g} s")
        return []

    def _send(
        self, client: SyncAdminClient, names: Sequence[tuple[str, str]], key: str
    ) -> list[str]:
        """Submit once, and remember what is known when there are no ids."""
        # A stop in mid-air leaves it at that.
        before = {name: self.asked.get(name, Asked.REFUSED) for _, name in names}
        self.asked |= dict.fromkeys(before, Asked.UNKNOWN)
        try:
            return list(client.submit_many([self._job(*each) for each in names], key=key).ids)
        except DtsError as error:
            status = error.answer_status if isinstance(error, ApiError) else 0
            self.asked |= {name: known.after(status) for name, known in before.items()}
            raise

    def _job(self, kind: str, name: str) -> dict[str, Any]:
        args = [name, str(self._marks)]
        if kind == "fails":
            return submission(f"test/{kind}", args=args, retries=2, backoff_seconds=0.2)
        return submission(f"test/{kind}", args=args, grace_seconds=0.5)

    def _cancel(self, client: SyncAdminClient) -> None:
        ids = sorted(self._to_cancel)[:100]
        if ids and self._chance.random() < 0.5:
            client.cancel(ids)
            self._history.note("cancel", "ok", ids=ids)
            self._to_cancel.difference_update(ids)

    def cancel_rest(self, client: SyncAdminClient) -> None:
        """Cancel what is endless and was not cancelled yet, or whose cancel came to nothing."""
        endless = [
            job
            for job, (kind, _) in list(self.accepted.items())
            if kind == "endless" and job not in self.finals
        ]
        for start in range(0, len(endless), 500):
            client.cancel(endless[start : start + 500])

    def _observe(self, client: SyncAdminClient) -> None:
        """See a sample of jobs again and again: once final they do not move any more."""
        ids = list(self.accepted)[-1000:]
        for job in random.sample(ids, min(len(ids), 5)):
            self.see(client, job)

    def see(self, client: SyncAdminClient, job: str) -> None:
        """Look at one job."""
        view = client.job(job)
        seen = (view.state, view.epoch, view.finished_at)
        if view.state in FINAL_STATES and self.finals.setdefault(job, seen) != seen:
            self.moved.append(f"job {job} moved from {self.finals[job]} to {seen}")
