"""Shells on hosts: who may open one, how many there are, and what is on record of each. Never what was said in it."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

from dts_core.clock import Clock
from dts_core.errors import DtsError, Forbidden, HostUnreachable, InvalidInput, NotFound, Throttled
from dts_core.model import VirtualHost
from dts_core.services.access import Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.shellusers import is_granted
from dts_core.services.vhosts import Vhosts
from dts_core.settings import ShellSettings
from dts_core.stores.base import Store
from dts_core.text import clean, one_line
from dts_core.views.shell import ShellQuery

__all__ = ["COLLECTION", "PERMISSION", "FarTerminal", "Reach", "Shell", "Shells"]

COLLECTION: Final = "ssh"
PERMISSION: Final = "dts/ssh.shell"
"""What it takes: administrators have it, and on one host those whom it names (`shell_users`)."""
BEGIN: Final = "shell"
END: Final = "shell_end"
STOPPING: Final = "the server is about to stop"
RECORD_SECONDS: Final = 10.0
"""For the record of an end."""
_log = logging.getLogger(__name__)


class FarTerminal(Protocol):
    """A terminal on a host, see `dts_core.ssh.terminal`."""

    fingerprint: str

    async def read(self, most: int) -> bytes:
        """The next piece; empty at its end."""
        ...

    def write(self, data: bytes) -> None:
        """Keys for it."""
        ...

    async def drain(self) -> None:
        """Wait until what was written is mostly gone."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """It has another size."""
        ...

    async def end(self) -> tuple[int | None, str]:
        """Exit status, or the signal that ended it; raises DtsError when the connection ended first."""
        ...


Reach = Callable[[Caller, str, ShellQuery], AbstractAsyncContextManager[FarTerminal]]
"""Opens a terminal on a virtual host, on somebody's behalf."""


class Shell:
    """One that is open; counts what passes."""

    def __init__(self, far: FarTerminal) -> None:
        self.far = far
        self.sent = 0
        """Bytes of keys."""
        self.received = 0
        """Bytes of output."""
        self.how = ""
        """How it ended, for the record."""

    async def read(self, most: int) -> bytes:
        """The next piece of its output; empty at its end."""
        data = await self.far.read(most)
        self.received += len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Keys for it; waits while the host takes none."""
        self.sent += len(data)
        self.far.write(data)
        await self.far.drain()


class Shells:
    """All of one server.

    Args:
        store: For who is named by a host.
        vhosts: The hosts.
        writer: For the record.
        clock: For how long they were open.
        settings: `[shell]`.
    """

    def __init__(
        self,
        store: Store,
        vhosts: Vhosts,
        writer: AdminWriter,
        clock: Clock,
        settings: ShellSettings,
    ) -> None:
        self._store = store
        self._vhosts = vhosts
        self._writer = writer
        self._clock = clock
        self.settings = settings
        self.reach: Reach | None = None
        """Given by whoever has sessions with hosts."""
        self.open_now: list[Shell] = []
        self._open: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        """Set once the server is about to stop."""

    async def admit(self, caller: Caller, host: str) -> None:
        """Let pass who may open a shell there; a refusal is recorded.

        Raises:
            Forbidden: They may not. Whether there is such a host is not told.
            NotFound: There is none.
            InvalidInput: It is disabled.
        """
        try:
            await self.check(caller, host)
        except Forbidden as error:
            await self._writer.refused(caller, COLLECTION, host, BEGIN, error)
            raise

    async def check(self, caller: Caller, host: str) -> None:
        """As `admit`, without a record: whether they still may."""
        try:
            vhost = await self._vhosts.load(caller, host)
        except NotFound:
            if caller.is_admin:
                raise
            vhost = None
        if vhost is None or not await self._may(caller, vhost):
            raise Forbidden(
                f"user {caller.user} may not open a shell on {clean(host, 120)}: {PERMISSION} is missing there.",
                advice="An administrator names who may in the virtual host's shell_users.",
            )
        if vhost.disabled:
            raise InvalidInput(
                f"virtual host {vhost.id} is disabled.", fields={"disabled": "it is left alone"}
            )

    async def _may(self, caller: Caller, vhost: VirtualHost) -> bool:
        """An administrator, or one whom the host names; an access token of theirs must be for operators everywhere."""
        if caller.is_admin:
            return True
        reaches = caller.scope.role >= Role.OPERATOR and caller.scope.namespaces is None
        return reaches and await is_granted(self._store, vhost, caller.user)

    def close(self) -> None:
        """Ask all that are open to end, and open none. A second call does nothing."""
        self.stopping.set()

    @asynccontextmanager
    async def open(self, caller: Caller, host: str, asked: ShellQuery) -> AsyncIterator[Shell]:
        """A shell for the length of a block, for somebody whom `admit` let pass.

        Its begin is on record before the host is reached, and its end whatever ends it.

        Raises:
            Throttled: As many as may be are open.
            DtsError: The host: why it cannot be reached, or why it gives none.
        """
        self._check_room(host)
        self._open[host] += 1
        began = self._clock.monotonic()
        shell: Shell | None = None
        how = ""
        try:
            await self._begin(caller, host, asked)
            try:
                assert self.reach is not None
                async with self.reach(caller, host, asked) as far:
                    shell = Shell(far)
                    self.open_now.append(shell)
                    yield shell
            except DtsError as error:
                how = one_line(error.message, 300)
                raise
            finally:
                seconds = self._clock.monotonic() - began
                await self._ended(caller, host, shell, how, seconds)
        finally:
            if shell is not None:
                self.open_now.remove(shell)
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]

    async def _begin(self, caller: Caller, host: str, asked: ShellQuery) -> None:
        try:
            await self._writer.record(caller, COLLECTION, host, BEGIN, _told(term=asked.term))
        except asyncio.CancelledError:  # it may be on record all the same
            await self._ended(caller, host, None, "", 0.0)
            raise

    def _check_room(self, host: str) -> None:
        if self.stopping.is_set():
            raise HostUnreachable(STOPPING, host=host, stage="session", is_retryable=True)
        if self.reach is None:
            raise HostUnreachable("this server reaches no hosts", host=host, stage="session")
        settings = self.settings
        for count, most, where in (
            (self._open.total(), settings.shells_max, "on this server"),
            (self._open[host], settings.shells_per_host, f"on {clean(host, 120)}"),
        ):
            if count >= most:
                raise Throttled(
                    f"{count} shells are open {where}: as many as may be.",
                    retry_after_seconds=30.0,
                    advice="Leave one of them, or allow more in [shell].",
                )

    async def _ended(
        self, caller: Caller, host: str, shell: Shell | None, how: str, seconds: float
    ) -> None:
        told: dict[str, Any] = {"how": how or "cut off", "seconds": round(seconds, 1)}
        if shell is not None:
            told |= {"how": shell.how or told["how"], "sent": shell.sent}
            told["received"] = shell.received
        record = self._writer.record(caller, COLLECTION, host, END, _told(**told))
        task = asyncio.create_task(_in_time(record, host), name=f"shell-record-{host}")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=RECORD_SECONDS)  # nothing is left without its end
            raise


async def _in_time(record: Any, host: str) -> None:
    try:
        async with asyncio.timeout(RECORD_SECONDS):
            await record
    except (DtsError, TimeoutError) as error:
        _log.error("the end of a shell on %s is not on record: %s", clean(host, 120), error)


def _told(**values: Any) -> dict[str, Any]:
    return {name: [None, value] for name, value in values.items()}
