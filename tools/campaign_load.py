"""The load of a campaign: jobs of four kinds, and the memory of every one that was accepted."""

import collections
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dts_core.clients import SyncAdminClient, submission
from dts_core.errors import DtsError
from dts_core.states import FINAL
from tools.campaign_stack import Stack

SOURCES: Final = {
    "quick": """
async def main(name, marks):
    with open(marks, "a") as file:
        file.write(name + "\\n")
    return name
""",
    "slow": """
import time
def main(name, marks):
    with open(marks, "a") as file:
        file.write(name + "\\n")
    time.sleep(0.2)
    return name
""",
    "fails": """
def main(name, marks):
    with open(marks, "a") as file:
        file.write(name + "\\n")
    raise ValueError(name)
""",
    "endless": """
import time
def main(name, marks):
    with open(marks, "a") as file:
        file.write(name + "\\n")
    time.sleep(300)
""",
}
ENDS: Final = {
    "quick": {"done", "dead"},
    "slow": {"done", "dead"},
    "fails": {"failed", "dead"},
    "endless": {"cancelled", "dead", "failed"},
}
"""How a job of each kind may end; an endless one fails when its process is killed before its cancel comes."""
BATCH_PAUSE_SECONDS: Final = 0.25
FINAL_STATES: Final = frozenset(state.value for state in FINAL)


class Load:
    """Submits and cancels until told to stop; remembers every id that was accepted."""

    def __init__(self, stack: Stack, seed: int, marks: Path) -> None:
        self.accepted: dict[str, tuple[str, str]] = {}
        """id -> (kind, name)"""
        self.finals: dict[str, tuple[str, int, Any]] = {}
        """id -> (state, epoch, when it ended), as first seen"""
        self.to_cancel: set[str] = set()
        self.moved: list[str] = []
        self.refusals: collections.Counter[str] = collections.Counter()
        self.stopping = threading.Event()
        self._stack = stack
        self._chance = random.Random(seed)
        self._marks = marks
        self._count = 0
        self._threads = [
            threading.Thread(target=self._for_ever, args=(step,), daemon=True)
            for step in (self._submit, self._cancel, self._observe)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Submit nothing more."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(90)

    def _for_ever(self, step: Callable[[SyncAdminClient], None]) -> None:
        with self._stack.client() as client:
            while not self.stopping.is_set():
                try:
                    step(client)
                except DtsError as error:
                    self.refusals[error.code] += 1
                self.stopping.wait(BATCH_PAUSE_SECONDS)

    def _submit(self, client: SyncAdminClient) -> None:
        kinds = self._chance.choices(
            ["quick", "slow", "fails", "endless"],
            weights=[12, 3, 1, 1],
            k=self._chance.randint(1, 25),
        )
        names = []
        for kind in kinds:
            self._count += 1
            names.append((kind, f"{kind}-{self._count}"))
        jobs = [self._job(kind, name) for kind, name in names]
        answer = client.submit_many(jobs)
        for found, (kind, name) in zip(answer.ids, names, strict=True):
            self.accepted[found] = (kind, name)
            if kind == "endless":
                self.to_cancel.add(found)

    def _job(self, kind: str, name: str) -> dict[str, Any]:
        args = [name, str(self._marks)]
        if kind == "fails":
            return submission(f"test/{kind}", args=args, retries=2, backoff_seconds=0.2)
        return submission(f"test/{kind}", args=args, grace_seconds=0.5)

    def _cancel(self, client: SyncAdminClient) -> None:
        ids = sorted(self.to_cancel)[:100]
        if ids and self._chance.random() < 0.5:
            client.cancel(ids)
            self.to_cancel.difference_update(ids)

    def cancel_rest(self, client: SyncAdminClient) -> None:
        """Cancel what is endless and was not cancelled yet, or whose cancel came to nothing."""
        endless = [job for job, (kind, _) in self.accepted.items() if kind == "endless"]
        for start in range(0, len(endless), 500):
            client.cancel(endless[start : start + 500])

    def _observe(self, client: SyncAdminClient) -> None:
        """See a sample of final jobs again and again: they do not move any more."""
        ids = list(self.accepted)
        for job in self._chance.sample(ids, min(len(ids), 5)):
            view = client.job(job)
            seen = (view.state, view.epoch, view.finished_at)
            if view.state in FINAL_STATES and self.finals.setdefault(job, seen) != seen:
                self.moved.append(f"job {job} moved from {self.finals[job]} to {seen}")
