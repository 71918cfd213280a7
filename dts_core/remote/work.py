"""What a fan-out does with one host: reach it, mark it as begun, run, keep the end."""

import functools
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from dts_core.children.calls import Call
from dts_core.errors import (
    DtsError,
    HostKeyChanged,
    InterpreterUnfit,
    PackagesGone,
    RemoteError,
)
from dts_core.model import JobError
from dts_core.names import new_id
from dts_core.pep723 import Script
from dts_core.remote.ledger import Ledger
from dts_core.remote.live import LiveOutputs
from dts_core.remote.packages import Packages
from dts_core.remote.remotes import Remotes
from dts_core.services.access import Caller
from dts_core.ssh.channel import Receive
from dts_core.ssh.outcome import HostState, Outcome, failure
from dts_core.ssh.target import Target

__all__ = ["LOST", "CallWork", "HostWork", "Prepare", "Run", "Work", "lost"]

LOST: Final = "lost"
"""Type of the error of a host whose end is not known."""
Run: TypeAlias = Callable[[Target], Awaitable[Outcome]]
"""What is done with a host that a session stands with."""
Prepare: TypeAlias = Callable[[Target], Awaitable[object]]
"""What is made sure of there before the host counts as begun."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is run on each host: a command, or a function."""

    argv: Sequence[str] = ()
    call: Call | None = None
    script: Script | None = None
    """What the function declares (PEP 723), where that is anything."""
    seconds: float
    """For all of it, once it runs."""
    output_max: int
    """Bytes kept of each stream of a command."""


class HostWork:
    """Does it for one host after the other, or for many at once.

    Args:
        remotes: Sessions.
        ledger: Where begins and ends are kept.
        caller: On whose behalf.
        run: What.
        why: Why secrets are opened, as the records say it.
        on_changed: Hears of a host that shows another key than the pinned one.
        prepare: What comes first.
        begun: Hosts that this job has marked as begun, and goes on with.
    """

    def __init__(
        self,
        remotes: Remotes,
        ledger: Ledger,
        caller: Caller,
        run: Run,
        *,
        why: str,
        on_changed: Callable[[HostKeyChanged], Awaitable[None]],
        prepare: Prepare | None = None,
        begun: Collection[str] = (),
    ) -> None:
        self._remotes = remotes
        self._ledger = ledger
        self._caller = caller
        self._run = run
        self._why = why
        self._on_changed = on_changed
        self._prepare = prepare
        self._begun = begun
        self.kept: set[str] = set()
        """Hosts whose end is stored."""

    async def __call__(self, bare: Target) -> Outcome:
        """Run it on the host of that id; its end is stored when this returns. Raises nothing but for cancellation."""
        outcome = await self._outcome(bare.id)
        if outcome.finished_at is None:
            outcome = msgspec.structs.replace(outcome, finished_at=datetime.now(UTC))
        await self.keep(outcome)
        return outcome

    async def keep(self, outcome: Outcome) -> None:
        """Store the end of a host, unless that was done."""
        if outcome.host not in self.kept:
            await self._ledger.end(outcome)
            self.kept.add(outcome.host)

    async def _outcome(self, host: str) -> Outcome:
        try:
            target = await self._remotes.target(self._caller, host, why=self._why)
        except DtsError as error:
            return _not_begun(host, error)
        try:
            # Logged in first: what cannot be reached was never begun. The run shares the connection.
            async with self._remotes.sessions.session(target):
                if (outcome := await self._prepared(target)) is not None:
                    return outcome
                if host not in self._begun and not await self._ledger.begin(host):
                    return lost(host, "another run of this job has begun it")
                return await self._run(target)
        except HostKeyChanged as error:
            await self._on_changed(error)
            return failure(host, error)
        except DtsError as error:
            return failure(host, error)

    async def _prepared(self, target: Target) -> Outcome | None:
        """How the host ended without having begun; None: it may begin."""
        if self._prepare is not None:
            try:
                await self._prepare(target)
            except HostKeyChanged:
                raise
            except DtsError as error:
                return _not_begun(target.id, error)
        return None


class CallWork:
    """A `Run`: a command, or a function, whose packages `prepare` makes sure of.

    Args:
        remotes: Sessions.
        work: What.
        live: Hears what hosts print, as they print it.
        packages: Brings what the function declares; None: that is nothing.
    """

    def __init__(
        self, remotes: Remotes, work: Work, live: LiveOutputs, packages: Packages | None = None
    ) -> None:
        self._remotes = remotes
        self._work = work
        self._live = live
        self._packages = packages

    async def prepare(self, target: Target) -> str:
        """Where the function's packages lie there; empty: it declares none."""
        script = self._work.script
        if script is None or self._packages is None:
            return ""
        return await self._packages.ready(self._remotes.sessions, target, script)

    async def __call__(self, target: Target) -> Outcome:
        """Run it there, without a guard where there is no Python."""
        try:
            return await self._run(target, functools.partial(self._live.hear, target.id))
        finally:
            self._live.forget(target.id)

    async def _run(self, target: Target, receive: Receive) -> Outcome:
        work = self._work
        if work.call is not None:
            return await self._called(target, work.call, receive)
        outcome = await self._remotes.calls.run(
            target, work.argv, timeout=work.seconds, kept_max=work.output_max, receive=receive
        )
        if outcome.error is not None and outcome.error.type == InterpreterUnfit.code:
            return await self._run_bare(target, receive)
        return outcome

    async def _called(self, target: Target, call: Call, receive: Receive) -> Outcome:
        folder = await self.prepare(target)
        outcome = await self._call(target, call, folder, receive)
        if not (folder and _are_gone(outcome)):
            return outcome
        assert self._packages is not None
        assert self._work.script is not None
        self._packages.forget(
            target, self._work.script
        )  # nothing was run, so it may be tried again
        return await self._call(target, call, await self.prepare(target), receive)

    async def _call(self, target: Target, call: Call, folder: str, receive: Receive) -> Outcome:
        own = msgspec.structs.replace(call, id=new_id())
        return await self._remotes.calls.call(target, own, receive=receive, packages=folder)

    async def _run_bare(self, target: Target, receive: Receive) -> Outcome:
        work, started_at = self._work, datetime.now(UTC)
        async with self._remotes.sessions.session(target) as session:
            try:
                end = await session.run(
                    work.argv, timeout=work.seconds, kept_max=work.output_max, receive=receive
                )
            except RemoteError as error:
                return failure(target.id, error, started_at=started_at)
        return Outcome(
            host=target.id,
            state=HostState.OK if end.exit_status == 0 else HostState.FAILED,
            stdout=end.stdout,
            stderr=end.stderr,
            output_total=end.stdout_total + end.stderr_total,
            stderr_total=end.stderr_total,
            exit_status=end.exit_status,
            exit_signal=end.exit_signal,
            started_at=started_at,
            finished_at=datetime.now(UTC),
        )


def _not_begun(host: str, error: DtsError) -> Outcome:
    """The end of a host where nothing was run."""
    return msgspec.structs.replace(failure(host, error), state=HostState.UNREACHABLE)


def _are_gone(outcome: Outcome) -> bool:
    """Whether its interpreter did not begin for want of its packages."""
    error = outcome.error
    is_unreachable = outcome.state is HostState.UNREACHABLE
    return is_unreachable and error is not None and error.type == PackagesGone.code


def lost(host: str, why: str) -> Outcome:
    """The end of a host of which nobody knows how it ended."""
    error = JobError(type=LOST, message=f"{why}; what it did there is not known.")
    return Outcome(host=host, state=HostState.FAILED, error=error, finished_at=datetime.now(UTC))
