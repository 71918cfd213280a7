"""Functions and guarded commands on far hosts: interpreters kept warm, each for one call at a time."""

import asyncio
import functools
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

import msgspec

from dts_core.children.calls import Call, Ended, EndKind
from dts_core.errors import CommandTimedOut, DtsError, HostUnreachable, RemoteError
from dts_core.model import JobError
from dts_core.ssh.channel import Receive
from dts_core.ssh.guarded import GuardedCommand
from dts_core.ssh.interpreter import Interpreter, Pending
from dts_core.ssh.outcome import HostState, Outcome, failure
from dts_core.ssh.output import KEPT_MAX
from dts_core.ssh.pool import Sessions
from dts_core.ssh.target import Target

__all__ = ["CallSettings", "Calls"]

END_SECONDS: Final = 5.0
"""For the guard to end what it guards, before the channel is given up."""


class CallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How interpreters are kept."""

    per_host: int = 4
    """Most interpreters on one host, so most calls at once; the others wait."""
    kept_max: int = 1000
    """Most that are kept without a call; the one idle for longest is ended."""
    idle_seconds: float = 300.0
    """After which one without a call is ended."""
    start_seconds: float = 60.0
    """For an interpreter to begin."""


class _Host:
    """The interpreters of one host, with the same packages."""

    __slots__ = ("free", "idle", "packages", "users")

    def __init__(self, most: int, packages: str) -> None:
        self.packages = packages
        self.free = asyncio.Semaphore(most)
        self.idle: list[Interpreter] = []
        self.users = 0


class Calls:
    """An async context manager; ends all interpreters at its end.

    Args:
        sessions: Where connections come from; entered by whoever made it.
        settings: Limits.
    """

    def __init__(self, sessions: Sessions, settings: CallSettings | None = None) -> None:
        self._sessions = sessions
        self._settings = settings or CallSettings()
        self._hosts: OrderedDict[tuple[str, ...], _Host] = OrderedDict()
        self._lives: dict[Interpreter, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sessions.spare = self.spare
        self._sweeper = asyncio.create_task(self._sweep(), name="ssh-calls-sweep")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sessions.spare = None
        for interpreter, life in list(self._lives.items()):
            if interpreter.is_alive:
                interpreter.end()
            else:
                life.cancel()
        if self._lives:
            await asyncio.wait(self._lives.values(), timeout=END_SECONDS)
        tasks = [*self._lives.values(), *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def count(self) -> int:
        """Interpreters that live."""
        return len(self._lives)

    # --- functions --------------------------------------------------------------------------------

    async def call(
        self, target: Target, call: Call, *, packages: str = "", receive: Receive | None = None
    ) -> Outcome:
        """Call a function's `main` there; never raises but for cancellation.

        Its time (`timeout_seconds`, 0: none) counts from its start there. When that is over, or this is cancelled, it
        is told (`job.cancelled`); after `grace_seconds` its process ends with all that it started, detached or not.

        Args:
            target: Where.
            call: What; one call at a time runs in an interpreter, so it has the process to itself.
            packages: A folder there that it imports from; empty: none.
            receive: Hears what it prints and logs, as it comes.
        """
        key = (*target.key, packages) if packages else target.key
        host = self._hosts.get(key)
        if host is None:
            host = self._hosts[key] = _Host(self._settings.per_host, packages)
        self._hosts.move_to_end(key)
        host.users += 1
        try:
            async with host.free:
                return await self._call(target, host, Pending(call, receive))
        finally:
            host.users -= 1
            self._forget(key, host)

    async def _call(self, target: Target, host: _Host, pending: Pending) -> Outcome:
        try:
            interpreter = await self._interpreter(target, host)
        except DtsError as error:
            return failure(target.id, error)
        started_at = datetime.now(UTC)
        number = interpreter.start(pending)
        try:
            ended = await self._wait(interpreter, number, pending)
        except RemoteError as error:
            told = failure(target.id, error, started_at=started_at)
            return msgspec.structs.replace(told, **_heard(pending))
        finally:
            self._give_back(host, interpreter, is_free=pending.ended.done())
        return _outcome(target.id, ended, pending, started_at)

    async def _wait(self, interpreter: Interpreter, number: int, pending: Pending) -> Ended:
        call = pending.call
        try:
            if not call.timeout_seconds:
                return await pending.ended
            async with asyncio.timeout(call.timeout_seconds):
                return await pending.ended
        except TimeoutError:
            await self._stop(interpreter, number, pending)
            text = f"the function ran for {call.timeout_seconds:g} s and was ended"
            raise CommandTimedOut(text) from None
        except asyncio.CancelledError:
            await self._stop(interpreter, number, pending)
            raise

    async def _stop(self, interpreter: Interpreter, number: int, pending: Pending) -> None:
        """Tell a call to end; end its process when it does not, or when nobody waits for that any more."""
        interpreter.cancel(number)
        if pending.ended.cancelled():  # with whoever waited for it: its end is still to come
            pending.ended = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([pending.ended], timeout=pending.call.grace_seconds)
        finally:
            if not pending.ended.done():
                self._end(interpreter)
                pending.ended.cancel()
            elif not pending.ended.cancelled():
                pending.ended.exception()

    # --- interpreters -----------------------------------------------------------------------------

    async def _interpreter(self, target: Target, host: _Host) -> Interpreter:
        while host.idle:
            interpreter = host.idle.pop()
            if interpreter.is_alive and not interpreter.retiring:
                return interpreter
        interpreter = Interpreter(target.id, host.packages)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        life = asyncio.create_task(
            self._live(target, interpreter, opened), name=f"ssh-python-{target.id}"
        )
        self._lives[interpreter] = life
        life.add_done_callback(functools.partial(self._on_end, interpreter, host, opened))
        try:
            await opened
        except asyncio.CancelledError:
            life.cancel()
            raise
        return interpreter

    async def _live(
        self, target: Target, interpreter: Interpreter, opened: "asyncio.Future[None]"
    ) -> None:
        async with self._sessions.session(target) as session:
            await interpreter.live(session, opened, self._settings.start_seconds)

    def _on_end(
        self,
        interpreter: Interpreter,
        host: _Host,
        opened: "asyncio.Future[None]",
        life: "asyncio.Task[None]",
    ) -> None:
        self._lives.pop(interpreter, None)
        if interpreter in host.idle:
            host.idle.remove(interpreter)
        error = None if life.cancelled() else life.exception()
        if not opened.done():
            opened.set_exception(error or HostUnreachable("the program is about to end"))

    def _give_back(self, host: _Host, interpreter: Interpreter, *, is_free: bool) -> None:
        if interpreter.retiring or not is_free:
            self._end(interpreter)
            return
        host.idle.append(interpreter)
        if len(self._lives) > self._settings.kept_max:
            self.spare()

    def _end(self, interpreter: Interpreter) -> None:
        """End it there; a channel that does not close by then is given up."""
        interpreter.end()
        life = self._lives.get(interpreter)
        if life is not None:
            asyncio.get_running_loop().call_later(END_SECONDS, life.cancel)

    def spare(self) -> None:
        """End the interpreter that nobody has used for longest; with it, its connection may be given up."""
        for host in self._hosts.values():
            if host.idle:
                self._end(host.idle.pop(0))
                return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self._settings.idle_seconds, 30.0))
            self.sweep()

    def sweep(self) -> None:
        """End what nobody has used for long."""
        old = asyncio.get_running_loop().time() - self._settings.idle_seconds
        for key, host in list(self._hosts.items()):
            while host.idle and host.idle[0].idle_since <= old:
                self._end(host.idle.pop(0))
            self._forget(key, host)

    def _forget(self, key: tuple[str, ...], host: _Host) -> None:
        if not host.users and not host.idle and self._hosts.get(key) is host:
            del self._hosts[key]

    # --- commands ---------------------------------------------------------------------------------

    async def run(
        self,
        target: Target,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        kept_max: int = KEPT_MAX,
        receive: Receive | None = None,
    ) -> Outcome:
        """Run a plain command there; never raises but for cancellation and a wrong argv.

        As `Session.run`, with a guard beside it: what it started ends with it when it is given up, detached or not.
        """
        command = GuardedCommand(secrets.token_hex(12), argv, stdin, kept_max, receive)
        started_at = datetime.now(UTC)
        try:
            async with self._sessions.session(target) as session:
                started_at = datetime.now(UTC)
                outcome = await command.run(session, timeout)
        except RemoteError as error:
            told = failure(target.id, error, started_at=started_at)
            return msgspec.structs.replace(
                told,
                stdout=command.stdout.kept(),
                stderr=command.stderr.kept(),
                output_total=command.stdout.total + command.stderr.total,
                stderr_total=command.stderr.total,
                finished_at=datetime.now(UTC),
            )
        return msgspec.structs.replace(
            outcome, started_at=started_at, finished_at=datetime.now(UTC)
        )


def _outcome(host: str, ended: Ended, pending: Pending, started_at: datetime) -> Outcome:
    is_ok = ended.kind is EndKind.RETURNED
    error = ended.error
    if not is_ok and error is None:
        error = JobError(type="Unknown", message="it failed and did not say why")
    return Outcome(
        host=host,
        state=HostState.OK if is_ok else HostState.FAILED,
        result=ended.result or b"",
        error=error,
        started_at=started_at,
        **_heard(pending),
    )


def _heard(pending: Pending) -> dict[str, Any]:
    """What the call printed, up to now."""
    output = pending.output
    return {
        "stdout": output.kept() if output is not None else b"",
        "output_total": output.total if output is not None else 0,
        "finished_at": datetime.now(UTC),
    }
