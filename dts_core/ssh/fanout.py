"""The same on many hosts: so many at once, in batches, with a budget of failures; each host's end as it comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from dts_core.errors import DtsError, InvalidInput
from dts_core.model import JobError
from dts_core.ssh.outcome import HostState, Outcome, failure
from dts_core.ssh.target import Target

__all__ = ["FanOut", "FanOutPlan"]

Work = Callable[[Target], Awaitable[Outcome]]
AT_ONCE: Final = 64


class FanOutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a fan-out goes about it."""

    at_once: int = AT_ONCE
    """Most hosts at the same time; at least 1."""
    host_seconds: float = 0.0
    """For all of one host, its login too; 0: no limit but those of the work itself."""
    batches: tuple[int, ...] = ()
    """Sizes of the batches; the last one again and again. A batch begins when the one before has ended. Empty: one."""
    failures_max: int | None = None
    """Hosts that may end otherwise than ok; with one more nothing new is begun. None: any number."""


class FanOut:
    """One run. Iterate over it once; every host comes exactly once, in the order of their ends.

    Whoever stops iterating has closed it (`aclose`): what still runs is ended there, and told to nobody.

    Args:
        targets: Each host once.
        work: What is done with one; ends what it began when it is cancelled.
        plan: How.

    Raises:
        InvalidInput: A host is named twice, or a number makes no sense.
    """

    def __init__(
        self, targets: Sequence[Target], work: Work, plan: FanOutPlan | None = None
    ) -> None:
        self._plan = plan or FanOutPlan()
        self._targets = list(targets)
        self._work = work
        if len({target.id for target in self._targets}) != len(self._targets):
            raise InvalidInput("A host is named twice.", fields={"targets": "each host once"})
        if self._plan.at_once < 1 or any(size < 1 for size in self._plan.batches):
            raise InvalidInput("Sizes are at least 1.", fields={"at_once": "at least 1"})
        self._failures = 0
        self._halted = ""
        self._cancelled = False
        self._workers: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """End what runs, begin nothing more; the iteration goes on and tells every host's end."""
        self._cancelled = True
        self._halted = self._halted or "the run was cancelled"
        for worker in self._workers:
            worker.cancel()

    async def __aiter__(self) -> AsyncGenerator[Outcome, None]:
        for batch in self._batches():
            async with aclosing(self._run(deque(batch))) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    def _batches(self) -> list[list[Target]]:
        sizes = self._plan.batches or (max(len(self._targets), 1),)
        found: list[list[Target]] = []
        at = 0
        while at < len(self._targets):
            size = sizes[min(len(found), len(sizes) - 1)]
            found.append(self._targets[at : at + size])
            at += size
        return found

    async def _run(self, waiting: deque[Target]) -> AsyncGenerator[Outcome, None]:
        ready = _Ready(self._plan.at_once)
        count = min(self._plan.at_once, len(waiting))
        self._workers = [
            asyncio.create_task(self._serve(waiting, ready), name=f"ssh-fan-out-{number}")
            for number in range(count)
        ]
        for worker in self._workers:
            worker.add_done_callback(ready.on_worker_done)
        try:
            async for outcome in ready.outcomes(count):
                yield outcome
            await asyncio.gather(*self._workers)  # an error of the work itself is told, not lost
            while waiting:
                yield self._never(waiting.popleft())
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            self._workers = []

    async def _serve(self, waiting: deque[Target], ready: "_Ready") -> None:
        while waiting and not self._halted:
            try:
                await ready.wait_for_room()
            except asyncio.CancelledError:
                if not self._cancelled:
                    raise
                return  # `cancel`, while it had no host
            if not waiting or self._halted:
                return
            outcome = await self._one(waiting.popleft())
            if outcome.state is not HostState.OK:
                self._failures += 1
                most = self._plan.failures_max
                if most is not None and self._failures > most:
                    self._halted = f"more than {most} hosts have failed"
            ready.put(outcome)

    async def _one(self, target: Target) -> Outcome:
        try:
            async with asyncio.timeout(self._plan.host_seconds or None):
                return await self._work(target)
        except TimeoutError:
            text = f"it took longer than {self._plan.host_seconds:g} s and was ended"
            return _told(target, HostState.TIMED_OUT, "host_timed_out", text)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._cancelled or task is None:
                raise
            task.uncancel()  # it was `cancel`, which wants to hear of each host
            return _told(target, HostState.CANCELLED, "cancelled", self._halted)
        except DtsError as error:
            return failure(target.id, error)

    def _never(self, target: Target) -> Outcome:
        return _told(target, HostState.NEVER_STARTED, "never_started", self._halted)


class _Ready:
    """Outcomes on their way to whoever iterates; a slow reader holds the hosts back."""

    def __init__(self, most: int) -> None:
        self._outcomes: deque[Outcome] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(2 * most)
        self._done = 0

    async def wait_for_room(self) -> None:
        await self._room.acquire()

    def put(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._changed.set()

    def on_worker_done(self, _: "asyncio.Task[None]") -> None:
        self._done += 1
        self._changed.set()

    async def outcomes(self, workers: int) -> AsyncGenerator[Outcome, None]:
        """All of them, until so many workers have ended."""
        while True:
            while self._outcomes:
                yield self._outcomes.popleft()
                self._room.release()
            if self._done == workers:
                return
            await self._changed.wait()
            self._changed.clear()


def _told(target: Target, state: HostState, code: str, text: str) -> Outcome:
    return Outcome(host=target.id, state=state, error=JobError(type=code, message=text))
