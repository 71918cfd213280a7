"""Ending a call for good: flag, SIGTERM, SIGKILL, each after its grace; the end is told only when it has come."""

import asyncio
from collections.abc import Callable

from dts_core.children import answers
from dts_core.children.calls import Ended, EndKind, Running, StopKind
from dts_core.children.process import ChildProcess
from dts_core.model import JobError

ASK_SECONDS = 0.3
"""How long a blocked shared child may take to say which call blocks it."""


class Stopper:
    """Escalates, one timer a call. `end` tells an end; `doom` takes a child out of use before it is killed."""

    def __init__(
        self, end: Callable[[Running, Ended], None], doom: Callable[[ChildProcess], None]
    ) -> None:
        self._end = end
        self._doom = doom

    def limit(self, run: Running) -> None:
        """Stop the call when its time is up."""
        loop = asyncio.get_running_loop()
        run.set_timer(loop.call_later(run.call.timeout_seconds, self.stop, run, StopKind.TIMEOUT))

    def stop(self, run: Running, kind: StopKind) -> None:
        """Set the flag of a call that runs, and see to it that it ends."""
        if run.stop is not None:
            if kind is StopKind.ABANDON:
                run.stop = kind
            return
        run.stop = kind
        assert run.child is not None
        run.child.cancel(run)
        asked_at = asyncio.get_running_loop().time()
        self._later(run, run.call.grace_seconds, self._insist, asked_at)

    def _insist(self, run: Running, asked_at: float) -> None:
        """The flag was not enough. A shared child that has not answered since is asked who blocks it."""
        child = run.child
        assert child is not None
        self._doom(child)
        if child.shared and child.ready and child.answered_at < asked_at:
            child.ask_who_blocks()
            self._later(run, ASK_SECONDS, self._terminate)
        else:
            self._terminate(run)

    def _terminate(self, run: Running) -> None:
        assert run.child is not None
        run.child.terminate()
        self._later(run, run.call.grace_seconds, self._kill)

    def _kill(self, run: Running) -> None:
        assert run.child is not None
        run.child.kill()

    def _later(self, run: Running, seconds: float, step: Callable[..., None], *args: float) -> None:
        loop = asyncio.get_running_loop()
        run.set_timer(loop.call_later(max(seconds, 0.0), step, run, *args))

    def verdict(self, run: Running, ended: Ended) -> Ended:
        """What is told of a call that ended `ended`: one that was told to stop ends as that, whatever it returned."""
        if run.stop is None or ended.kind is EndKind.GIVEN_BACK:
            return ended
        if run.stop is StopKind.TIMEOUT:
            text = f"it ran longer than {run.call.timeout_seconds:g} seconds"
            traceback = ended.error.traceback if ended.error else ""
            return answers.failed(JobError(type="Timeout", message=text, traceback=traceback))
        return Ended(EndKind.CANCELLED)

    def blamed(self, run: Running, exit_code: int) -> Ended:
        """The end of a call whose child was killed because of it."""
        if run.stop is None and run.blocked_loop:
            text = (
                "it kept the event loop that it shares from running; make it synchronous, or await"
            )
            return answers.failed(JobError(type="Blocked", message=text))
        return answers.died(exit_code)
