"""The pool: which child runs which call, and what becomes of the calls of a child that dies."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from dts_core.children import answers, orphans
from dts_core.children.calls import (
    Call,
    Ended,
    EndKind,
    OnEnd,
    OnLog,
    OnProgress,
    Running,
    StopKind,
)
from dts_core.children.keeper import VARIABLE, Keeper
from dts_core.children.process import ChildProcess
from dts_core.children.settings import ChildrenSettings
from dts_core.children.starts import StartGuard
from dts_core.children.stopping import Stopper
from dts_core.children.watch import LoopWatch

LEAVING_MAX = 8
"""Most blocked shared children beside the one in use; with more, new calls wait."""
SPLIT = 4
"""Into how many groups the calls of a child that died are divided."""
ALONE_MAX = 8
"""Most children at once that such groups run in."""
CLOSE_SECONDS = 5.0
"""Longest wait for killed children."""


class Children:
    """Warm children. Belongs to the loop's thread; `async with` or `close` ends every process.

    Synchronous calls have a child to themselves and at least one stays warm; asynchronous ones share a child. More
    calls than slots wait here in order of `start`; how many there are is the caller's to bound.
    """

    def __init__(self, settings: ChildrenSettings) -> None:
        self.settings = settings
        self.calls: dict[str, Running] = {}
        """Every call that has not ended, by id."""
        self._stopper = Stopper(self._end, self._kill_child)
        self._idle: list[ChildProcess] = []
        self._single: set[ChildProcess] = set()
        self._shared: ChildProcess | None = None
        self._leaving: set[ChildProcess] = set()
        self._alone: set[ChildProcess] = set()
        self._sync_waiting: deque[Running] = deque()
        self._async_waiting: deque[Running] = deque()
        self._suspects: deque[list[Running]] = deque()
        self._keeper: Keeper | None = None
        self._child_settings = settings.child
        self.on_stray_line: Callable[[int, str], None] | None = None
        """Told of output (level, text) that may be of any of several calls."""
        self._guard = StartGuard(self._serve_everything, self._give_up)
        self._watch = LoopWatch(lambda: self._shared, self._on_blocked)
        self._closed = False
        self._all_dead = asyncio.Event()

    async def __aenter__(self) -> "Children":
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self, *, folder: str = "") -> None:
        """Start the warm children.

        Args:
            folder: Where their working folders are made, in place of the settings' own.
        """
        if folder:
            self._child_settings = msgspec.structs.replace(self._child_settings, folder=folder)
        if self.settings.adopt_orphans:
            orphans.become_subreaper()
            self._keeper = Keeper()
            marked = {VARIABLE: self._keeper.token}
            self._child_settings = msgspec.structs.replace(
                self._child_settings, variables=self._child_settings.variables | marked
            )
        self._keep_warm()
        self._ensure_shared()

    # --- calls ------------------------------------------------------------------------------------

    def start(
        self,
        call: Call,
        on_end: OnEnd,
        *,
        on_log: OnLog | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Run a call as soon as there is room; returns at once.

        Args:
            call: Its id must not be running here already.
            on_end: Called once, later, never from inside `start`.
            on_log: Called for each log record.
            on_progress: Called for each report.
        """
        run = Running(call, on_end, on_log, on_progress)
        self.calls[call.id] = run
        if self._closed or self.broken:
            asyncio.get_running_loop().call_soon(self._end, run, Ended(EndKind.GIVEN_BACK))
        elif call.is_async:
            self._async_waiting.append(run)
            self._serve_async()
        else:
            self._sync_waiting.append(run)
            self._serve_sync()

    async def run(
        self, call: Call, *, on_log: OnLog | None = None, on_progress: OnProgress | None = None
    ) -> Ended:
        """Run a call to its end. When the waiting task is cancelled, the call is told to stop and abandoned."""
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

        def on_end(_: Call, how: Ended) -> None:
            if not ended.done():
                ended.set_result(how)

        self.start(call, on_end, on_log=on_log, on_progress=on_progress)
        try:
            return await ended
        except asyncio.CancelledError:
            self.stop(call.id, StopKind.ABANDON)
            raise

    def stop(self, call_id: str, kind: StopKind) -> bool:
        """Tell a call to stop; its end comes through `on_end` once it is really over. False: no such call.

        Idempotent: the first reason stays, but ABANDON takes the place of any other.
        """
        run = self.calls.get(call_id)
        if run is None:
            return False
        if run.child is None:
            run.stop = kind
            self._end(run, Ended(EndKind.CANCELLED))
        else:
            self._stopper.stop(run, kind)
        return True

    def give_back_waiting(self, keep: int, *, is_async: bool = False) -> int:
        """Give back the calls of one kind that wait for a slot, save the first `keep`; returns how many."""
        extra = list(self._async_waiting if is_async else self._sync_waiting)[keep:]
        for run in extra:
            self._end(run, Ended(EndKind.GIVEN_BACK))
        return len(extra)

    @property
    def broken(self) -> str:
        """Why no child can be started; empty while they can."""
        return self._guard.broken

    @property
    def gave_up(self) -> asyncio.Event:
        """Set with `broken`."""
        return self._guard.gave_up

    @property
    def running(self) -> int:
        """Calls that run right now."""
        waiting = len(self._sync_waiting) + len(self._async_waiting) + sum(map(len, self._suspects))
        return len(self.calls) - waiting

    @property
    def sync_waiting(self) -> int:
        """Synchronous calls that wait for a slot."""
        return len(self._sync_waiting)

    @property
    def async_waiting(self) -> int:
        """Asynchronous calls that wait for a slot."""
        return len(self._async_waiting)

    def processes(self) -> list[int]:
        """Process ids of the living children."""
        return [child.pid for child in self._every_child()]

    # --- synchronous ------------------------------------------------------------------------------

    def _serve_sync(self) -> None:
        waiting = self._sync_waiting
        while waiting and not self._closed:
            if self._idle:
                child = self._idle.pop()
                if child.retiring:
                    continue
            elif len(self._single) < self.settings.slots:
                fresh = self._spawn(shared=False)
                if fresh is None:
                    return
                self._single.add(fresh)
                child = fresh
            else:
                return
            self._begin(child, waiting.popleft())
        self._keep_warm()

    def _keep_warm(self) -> None:
        """One idle child as long as there is a slot for it."""
        if self._idle or self._closed or len(self._single) >= self.settings.slots:
            return
        child = self._spawn(shared=False)
        if child is not None:
            self._single.add(child)
            self._idle.append(child)

    # --- asynchronous -----------------------------------------------------------------------------

    def _ensure_shared(self) -> ChildProcess | None:
        shared = self._shared
        if shared is not None and not shared.retiring and not shared.dead:
            return shared
        if shared is not None:
            self._leave(shared)
        self._shared = None if self._closed else self._spawn(shared=True)
        return self._shared

    def _serve_async(self) -> None:
        waiting = self._async_waiting
        while waiting and not self._closed:
            child = self._ensure_shared()
            if child is None or len(child.runs) >= self.settings.async_slots:
                return
            self._begin(child, waiting.popleft())
            self._watch.start()
            if child.served >= self.settings.child_jobs:
                child.retire("it has run its share")

    def _serve_suspects(self) -> None:
        """Calls whose shared child died run again in smaller groups, until the one that kills its child is alone."""
        while self._suspects and len(self._alone) < ALONE_MAX and not self._closed:
            child = self._spawn(shared=True)
            if child is None:
                return
            self._alone.add(child)
            for run in self._suspects.popleft():
                self._begin(child, run)

    # --- one call ---------------------------------------------------------------------------------

    def _begin(self, child: ChildProcess, run: Running) -> None:
        child.start(run)
        if run.call.timeout_seconds > 0:
            self._stopper.limit(run)

    def _end(self, run: Running, ended: Ended) -> None:
        """Tell the end of a call, unless it was told already."""
        if self.calls.pop(run.call.id, None) is None:
            return
        run.set_timer(None)
        self._drop_waiting(run)
        ended = self._stopper.verdict(run, ended)
        ended = msgspec.structs.replace(
            ended, started_at=run.started_at, finished_at=datetime.now(UTC)
        )
        run.on_end(run.call, ended)

    def _drop_waiting(self, run: Running) -> None:
        if run.child is None:
            for waiting in (self._sync_waiting, self._async_waiting, *self._suspects):
                if run in waiting:
                    waiting.remove(run)

    def on_result(self, run: Running, body: bytes) -> None:
        """A child says that a call returned."""
        self._end(run, answers.returned(body, run.call.result_max))

    def on_failed(self, run: Running, body: bytes) -> None:
        """A child says that a call raised."""
        self._end(run, answers.raised(body))

    # --- children ---------------------------------------------------------------------------------

    def _spawn(self, *, shared: bool) -> ChildProcess | None:
        if not self._guard.open:
            return None
        try:
            child = ChildProcess(
                self, self._child_settings, shared=shared, frame_max=self.settings.result_max
            )
        except OSError as error:
            self._guard.failed(str(error))
            return None
        if self._keeper is not None:
            self._keeper.began(child.pid)
        return child

    def _give_up(self, _why: str) -> None:
        for run in [run for run in self.calls.values() if run.child is None]:
            self._end(run, Ended(EndKind.GIVEN_BACK))

    def _serve_everything(self) -> None:
        if self._closed or self.broken:
            return
        self._serve_sync()
        self._serve_async()
        self._serve_suspects()
        self._ensure_shared()

    def on_free(self, child: ChildProcess) -> None:
        """A child has room again, or has to go."""
        self._guard.succeeded()
        if child in self._single:
            self._single_is_free(child)
        elif child in self._alone:
            if not child.runs:
                child.retire("its call has ended")
                child.kill()
        elif child in self._leaving or child.retiring:
            self._leave(child)
            self._serve_async()
        else:
            self._serve_async()

    def _single_is_free(self, child: ChildProcess) -> None:
        if not child.retiring and child.served < self.settings.child_jobs and not self._closed:
            if self._sync_waiting:
                self._begin(child, self._sync_waiting.popleft())
            else:
                self._idle.append(child)
            return
        child.retire("it has run its share")
        self._single.discard(child)
        self._leave(child)
        self._serve_sync()

    def _leave(self, child: ChildProcess) -> None:
        """A child that gets nothing new ends when its last call has ended."""
        if child is self._shared:
            self._shared = None
        self._leaving.add(child)
        if not child.runs:
            child.kill()

    def _kill_child(self, child: ChildProcess) -> None:
        """The stopper has to end a child: nothing new goes to it."""
        child.retire("one of its calls did not stop")
        if child is self._shared:
            self._shared = None
            self._leaving.add(child)

    def on_stray(self, level: int, text: str) -> None:
        """Output of a child that may be of any of its calls."""
        if self.on_stray_line is not None:
            self.on_stray_line(level, text)

    def _on_blocked(self, child: ChildProcess) -> None:
        """A call keeps the shared loop: it is told so, and new calls go to another child."""
        child.ask_who_blocks()
        if len(self._leaving) < LEAVING_MAX:
            self._leave(child)
            self._serve_async()

    def on_dead(self, child: ChildProcess) -> None:
        """A child is gone: its calls end, wait for another, or are given back; another child takes its place."""
        for group in (self._single, self._leaving, self._alone):
            group.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child is self._shared:
            self._shared = None
        if self._keeper is not None:
            orphans.sweep([*self.processes(), self._keeper.pid])
            self._keeper.ended(child.pid)
        left = list(child.runs.values())
        child.runs.clear()
        if child.ready or self._closed:
            self._settle(child, left)
        else:
            self._put_back(left)
            if not child.retiring:
                self._guard.failed(f"its process {answers.describe_exit(child.exit_code)}")
        if not self._every_child():
            self._all_dead.set()
        self._serve_everything()

    def _settle(self, child: ChildProcess, left: list[Running]) -> None:
        """Who is to blame: the one that was told to stop or blocked, the only one there was, or nobody known yet."""
        guilty = [run for run in left if run.stop or (run.blocked_loop and not self._closed)]
        innocent = [run for run in left if run not in guilty]
        for run in guilty:
            self._end(run, self._stopper.blamed(run, child.exit_code))
        if self._closed or guilty:
            for run in innocent:
                self._end(run, Ended(EndKind.GIVEN_BACK))
        elif len(innocent) == 1:
            self._end(innocent[0], answers.died(child.exit_code, child.ended_because))
        else:
            for run in innocent:
                run.child = None
                run.set_timer(None)
            groups = (innocent[first::SPLIT] for first in range(SPLIT))
            self._suspects.extend(group for group in groups if group)

    def _put_back(self, left: list[Running]) -> None:
        """Calls of a child that never came up wait again, in front."""
        for run in reversed(left):
            if run.stop is not None:
                self._end(run, Ended(EndKind.CANCELLED))
                continue
            run.child, run.started_at = None, None
            run.set_timer(None)
            (self._async_waiting if run.call.is_async else self._sync_waiting).appendleft(run)

    def _every_child(self) -> list[ChildProcess]:
        shared = {self._shared} if self._shared is not None else set()
        return [
            child for child in self._single | self._leaving | self._alone | shared if not child.dead
        ]

    # --- end --------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Kill every child with all it started; open calls are given back. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._guard.close()
        self._watch.close()
        for run in [run for run in self.calls.values() if run.child is None]:
            self._end(run, Ended(EndKind.GIVEN_BACK))
        self._all_dead.clear()
        living = self._every_child()
        for child in living:
            child.kill()
        try:
            if living:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._all_dead.wait()
        finally:
            if self._keeper is not None:
                await asyncio.to_thread(self._keeper.close)
