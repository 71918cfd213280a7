"""The pool: which child runs which call, and what becomes of the calls of a child that dies."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from dts_core.children import answers
from dts_core.children.apart import Apart, IdleWatch
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
from dts_core.children.making import Maker
from dts_core.children.process import ChildProcess
from dts_core.children.settings import ChildrenSettings
from dts_core.children.starts import StartGuard
from dts_core.children.stopping import Stopper
from dts_core.children.waiting import Waiting
from dts_core.children.watch import LoopWatch

LEAVING_MAX = 8
"""Most blocked shared children beside the one in use; with more, new calls wait."""
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
        self._waiting = Waiting()
        self.spared: set[int] = set()
        """Processes of ours that are no children of the pool, and are no orphans either."""
        self.on_stray_line: Callable[[int, str], None] | None = None
        """Told of output (level, text) that may be of any of several calls."""
        self._guard = StartGuard(self._serve_everything, self._give_up)
        self._maker = Maker(settings, self._guard, self)
        self._apart = Apart(
            self._waiting.apart,
            settings.async_slots,
            make=lambda run: self._make_for(run, shared=True),
            begin=self._begin_shared,
            leave=self._leave,
        )
        self._watch = LoopWatch(self._watched, self._on_blocked)
        self._idle_watch = IdleWatch(
            settings.idle_seconds,
            idle=self._idle_apart,
            end=self._end_idle,
            any_left=lambda: any(child.python for child in self._every_child()),
        )
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
        self._maker.open(folder)
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
        elif call.is_async and call.python:
            self._waiting.apart.append(run)
            self._apart.serve()
        elif call.is_async:
            self._waiting.shared.append(run)
            self._serve_async()
        else:
            self._waiting.sync.append(run)
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
        waiting = [*self._waiting.line(is_async=is_async)]
        extra = ([*waiting, *self._waiting.apart] if is_async else waiting)[keep:]
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
        return len(self.calls) - len(self._waiting)

    @property
    def sync_waiting(self) -> int:
        """Synchronous calls that wait for a slot."""
        return len(self._waiting.sync)

    @property
    def async_waiting(self) -> int:
        """Asynchronous calls that wait for a slot."""
        return len(self._waiting.shared) + len(self._waiting.apart)

    @property
    def marks(self) -> dict[str, str]:
        """Variables for a process that has to end when this one is killed; those of all children hold them."""
        return self._maker.marks

    def pythons(self) -> set[str]:
        """The other interpreters that a child runs, or a call waits for."""
        wanted = {run.call.python for run in self.calls.values()}
        return (wanted | {child.python for child in self._every_child()}) - {""}

    def processes(self) -> list[int]:
        """Process ids of the living children."""
        return [child.pid for child in self._every_child()]

    # --- synchronous ------------------------------------------------------------------------------

    def _serve_sync(self) -> None:
        waiting = self._waiting.sync
        while waiting and not self._closed:
            child = self._single_for(waiting[0])
            if child is None:
                return
            self._begin(child, waiting.popleft())
        self._keep_warm()

    def _single_for(self, run: Running) -> ChildProcess | None:
        """A child for one synchronous call; one of another interpreter that idles makes room."""
        idle, python = self._idle, run.call.python
        for at in reversed(range(len(idle))):
            if idle[at].python == python:
                child = idle.pop(at)
                if not child.retiring:
                    return child
        if len(self._single) >= self.settings.slots:
            if not idle:
                return None
            idle[0].retire("another interpreter needs its slot")
            self._end_idle(idle[0])
        fresh = self._make_for(run, shared=False)
        if fresh is not None:
            self._single.add(fresh)
        return fresh

    def _keep_warm(self) -> None:
        """One idle child of our own interpreter as long as there is a slot for it."""
        if self._closed or len(self._single) >= self.settings.slots:
            return
        if any(not child.python for child in self._idle):
            return
        child = self._maker.make(shared=False)
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
        self._shared = None if self._closed else self._maker.make(shared=True)
        return self._shared

    def _serve_async(self) -> None:
        waiting = self._waiting.shared
        while waiting and not self._closed:
            child = self._ensure_shared()
            if child is None or len(child.runs) >= self.settings.async_slots:
                return
            self._begin_shared(child, waiting.popleft())

    def _begin_shared(self, child: ChildProcess, run: Running) -> None:
        self._begin(child, run)
        self._watch.start()
        if child.served >= self.settings.child_jobs:
            child.retire("it has run its share")

    def _serve_suspects(self) -> None:
        """Calls whose shared child died run again in smaller groups, until the one that kills its child is alone."""
        suspects = self._waiting.suspects
        while suspects and len(self._alone) < ALONE_MAX and not self._closed:
            child = self._make_for(suspects[0][0], shared=True)
            if child is None:
                return
            self._alone.add(child)
            for run in suspects.popleft():
                self._begin(child, run)

    # --- other interpreters -----------------------------------------------------------------------

    def _make_for(self, run: Running, *, shared: bool) -> ChildProcess | None:
        """A new child of the call's interpreter; when that cannot be started, only the call ends."""
        try:
            child = self._maker.make(shared=shared, python=run.call.python)
        except OSError as error:
            self._waiting.drop(run)
            run.refused = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._end, run, answers.not_started(str(error)))
            loop.call_soon(self._serve_everything)
            return None
        if run.call.python and child is not None:
            self._idle_watch.start()
        return child

    def _shared_children(self) -> list[ChildProcess]:
        own = [] if self._shared is None else [self._shared]
        return own + self._apart.children()

    def _watched(self) -> list[ChildProcess]:
        """Children with a loop that calls share, also those that get nothing new: who blocks them is still asked."""
        return self._shared_children() + [each for each in self._leaving if not each.dead]

    def _idle_apart(self) -> list[ChildProcess]:
        """Children of other interpreters that run nothing."""
        shared = [child for child in self._apart.children() if not child.runs]
        return shared + [child for child in self._idle if child.python]

    def _end_idle(self, child: ChildProcess) -> None:
        """End a child that runs nothing; its slot is free at once."""
        if child in self._idle:
            self._idle.remove(child)
        self._single.discard(child)
        self._leave(child)

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
        self._waiting.drop(run)
        ended = self._stopper.verdict(run, ended)
        ended = msgspec.structs.replace(
            ended, started_at=run.started_at, finished_at=datetime.now(UTC)
        )
        run.on_end(run.call, ended)

    def on_result(self, run: Running, body: bytes) -> None:
        """A child says that a call returned."""
        self._end(run, answers.returned(body, run.call.result_max))

    def on_failed(self, run: Running, body: bytes) -> None:
        """A child says that a call raised."""
        self._end(run, answers.raised(body))

    # --- children ---------------------------------------------------------------------------------

    def _give_up(self, _why: str) -> None:
        for run in [run for run in self.calls.values() if run.child is None]:
            self._end(run, Ended(EndKind.GIVEN_BACK))

    def _serve_everything(self) -> None:
        if self._closed or self.broken:
            return
        self._serve_sync()
        self._serve_async()
        self._apart.serve()
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
            self._apart.serve()
        elif child.python:
            self._apart.serve()
        else:
            self._serve_async()

    def _single_is_free(self, child: ChildProcess) -> None:
        if not child.retiring and child.served < self.settings.child_jobs and not self._closed:
            waiting = self._waiting.sync
            if waiting and waiting[0].call.python == child.python:
                self._begin(child, waiting.popleft())
                return
            self._idle.append(child)
            if waiting:
                self._serve_sync()
            return
        child.retire("it has run its share")
        self._single.discard(child)
        self._leave(child)
        self._serve_sync()

    def _leave(self, child: ChildProcess) -> None:
        """A child that gets nothing new ends when its last call has ended."""
        if child is self._shared:
            self._shared = None
        self._apart.drop(child)
        self._leaving.add(child)
        if not child.runs:
            child.kill()

    def _kill_child(self, child: ChildProcess) -> None:
        """The stopper has to end a child: nothing new goes to it."""
        child.retire("one of its calls did not stop")
        if child is self._shared or self._apart.drop(child):
            self._leaving.add(child)
        if child is self._shared:
            self._shared = None

    def on_stray(self, level: int, text: str) -> None:
        """Output of a child that may be of any of its calls."""
        if self.on_stray_line is not None:
            self.on_stray_line(level, text)

    def _on_blocked(self, child: ChildProcess) -> None:
        """A call keeps the shared loop: it is told so, and new calls go to another child."""
        if not any(run.blocked_loop for run in child.runs.values()):
            child.ask_who_blocks()
        if child not in self._leaving and len(self._leaving) < LEAVING_MAX:
            self._leave(child)
            self._serve_async()
            self._apart.serve()

    def on_dead(self, child: ChildProcess) -> None:
        """A child is gone: its calls end, wait for another, or are given back; another child takes its place."""
        for group in (self._single, self._leaving, self._alone):
            group.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if child is self._shared:
            self._shared = None
        self._apart.drop(child)
        self._maker.ended(child, [*self.processes(), *self.spared])
        left = list(child.runs.values())
        child.runs.clear()
        if child.ready or self._closed:
            self._settle(child, left)
        elif child.python and not any(run.stop for run in left):
            why = f"its process {answers.describe_exit(child.exit_code)}"
            for run in left:
                self._end(run, answers.not_started(why))
        else:
            self._put_back(left)
            if child.broke_off or not child.retiring:
                self._guard.failed(f"its process {answers.describe_exit(child.exit_code)}")
            if self.broken:  # given up while the child still held them
                self._give_up(self.broken)
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
            self._waiting.suspect(innocent)

    def _put_back(self, left: list[Running]) -> None:
        """Calls of a child that never came up wait again, in front."""
        for run in reversed(left):
            if run.stop is not None:
                self._end(run, Ended(EndKind.CANCELLED))
                continue
            self._waiting.put_back(run)

    def _every_child(self) -> list[ChildProcess]:
        shared = set(self._shared_children())
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
        self._idle_watch.close()
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
            await self._maker.close()
