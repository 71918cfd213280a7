"""One connection to one host: commands and channels, a few at once, until it ends."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncssh
import msgspec

from dts_core.errors import CommandTimedOut, HostUnreachable, RemoteError, SessionLost
from dts_core.ssh.base import fingerprint
from dts_core.ssh.channel import Channel, Receive
from dts_core.ssh.command import Command
from dts_core.ssh.connect import Connected
from dts_core.ssh.output import KEPT_MAX
from dts_core.ssh.quoting import command_line
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Target
from dts_core.text import one_line

__all__ = ["CommandEnd", "Session", "TerminalKind"]

NEAR_SECONDS: Final = 0.005
FULL: Final = (asyncssh.OPEN_CONNECT_FAILED, asyncssh.OPEN_RESOURCE_SHORTAGE)
"""What a host says that has no room for one more session: OpenSSH the first, as RFC 4254 means it the second."""
FULL_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.3)
CLOSE_SECONDS: Final = 3.0
"""For a channel or a connection to say goodbye."""

TERMINAL_WINDOW: Final = 128 << 10
"""Bytes on their way from a terminal there: what the answer to an interrupt has to wait behind."""


class TerminalKind(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal as the host is asked for it."""

    term: str
    """As in $TERM there."""
    columns: int
    rows: int

    def asked(self) -> dict[str, Any]:
        """For asyncssh."""
        size = (self.columns, self.rows, 0, 0)
        return {"term_type": self.term, "term_size": size, "window": TERMINAL_WINDOW}


class CommandEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, and what is kept of its output (untrusted bytes)."""

    exit_status: int | None
    """None: a signal ended it."""
    exit_signal: str = ""
    """Without SIG: KILL, TERM, ..."""
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_total: int = 0
    """Bytes that it printed; when more than were kept, `stdout` says in its midst how many are missing."""
    stderr_total: int = 0


class Session:
    """Belongs to a pool (`Sessions`), which makes and closes it."""

    def __init__(self, target: Target, connected: Connected, settings: SshSettings) -> None:
        self.target = target
        login = connected.login
        self.host_key = login.host_key
        """`TYPE BASE64` that the host has proved; of a host with a certificate, its authority's."""
        self.is_certified = login.is_certified
        self.fingerprint = fingerprint(login.host_key)
        self.banner = login.banner
        """What it said before the login, printable, its first 4 KiB."""
        self._dialer = connected.dialer
        self._settings = settings
        self._connection = connected.connection
        self._slots = asyncio.Semaphore(settings.channels_max)
        self._chores: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[Channel]] = set()
        """Channels that the host is still opening and nobody waits for; they end with the connection at the latest."""

    @property
    def is_alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self._connection.is_closed()

    @property
    def is_near(self) -> bool:
        """Whether a round trip is short, and so some more kilobytes at the start cost nothing. Unknown: no."""
        seconds = self._dialer.round_trip()
        return seconds is not None and seconds < NEAR_SECONDS

    @property
    def through(self) -> asyncssh.SSHClientConnection:
        """For those that lead on through this host."""
        return self._connection

    @property
    def cipher(self) -> str:
        """What protects it."""
        return str(self._connection.get_extra_info("send_cipher"))

    @asynccontextmanager
    async def channel(
        self,
        line: str,
        receive: Receive,
        on_end: Callable[[], None] | None = None,
        *,
        terminal: TerminalKind | None = None,
    ) -> AsyncIterator[Channel]:
        """A channel that runs a command line; closed at the end, whatever it still does.

        Args:
            line: From `command_line`, which is the only one that puts lines together. With a terminal it may be
                empty: the login shell.
            receive: Gets its output.
            on_end: Hears its end.
            terminal: Of which kind the host gives it one; None: it has none.

        Raises:
            SessionLost: The connection has ended.
            HostUnreachable: No channel is free, or the host gives none.
        """
        await self._take_slot()
        channel: Channel | None = None
        try:
            channel = await self._open(line, receive, on_end or _nothing, terminal)
            yield channel
        finally:
            if channel is not None:
                self._end(channel)
            else:
                self._slots.release()

    def _end(self, channel: Channel) -> None:
        """Close it; it counts among the host's channels until the host has heard of the end."""
        if channel.ended.done():
            self._slots.release()
            return
        _close(channel)
        channel.ended.add_done_callback(lambda _: self._slots.release())

    async def _take_slot(self) -> None:
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                await self._slots.acquire()
        except TimeoutError:
            why = f"all {self._settings.channels_max} channels of its connection are in use"
            raise self._refused(why) from None

    async def _open(
        self,
        line: str,
        receive: Receive,
        on_end: Callable[[], None],
        terminal: TerminalKind | None = None,
    ) -> Channel:
        asked = {} if terminal is None else terminal.asked()
        opening = asyncio.create_task(
            self._created(line, lambda: Channel(receive, on_end), asked),
            name=f"ssh-open-{self.target.id}",
        )
        channel: Channel | None = None
        try:
            async with asyncio.timeout(self._settings.login_seconds):
                channel = await asyncio.shield(opening)
        except asyncssh.ChannelOpenError as error:
            if not self.is_alive:
                raise self.lost() from error
            raise self._refused(f"it opens no channel: {one_line(error.reason)}") from error
        except (asyncssh.Error, OSError) as error:  # TimeoutError is an OSError
            if not isinstance(error, TimeoutError):
                raise self.lost() from error
            raise self._refused("it does not open a channel in time") from error
        finally:
            if channel is None:
                self._give_up(opening)
        self._dialer.settle()
        return channel

    async def _created(
        self, line: str, make: Callable[[], Channel], asked: dict[str, Any]
    ) -> Channel:
        """Tried again for a moment: nothing has run there yet.

        sshd counts a session that we have closed until it has dealt with all that has come in, and refuses one that
        was asked for right behind that.
        """
        for pause in (*FULL_SECONDS, None):
            channel = make()
            given = functools.partial(_itself, channel)
            try:
                await self._connection.create_session(given, line or None, encoding=None, **asked)
            except asyncssh.ChannelOpenError as error:
                if pause is None or error.code not in FULL or not self.is_alive:
                    raise
                await asyncio.sleep(pause)
            else:
                return channel
        raise AssertionError("the last one is raised")

    def _give_up(self, opening: "asyncio.Task[Channel]") -> None:
        """Nobody waits for it any more: the host may still open it, and what runs in it is ended then."""

        def on_opened(done: "asyncio.Task[Channel]") -> None:
            self._late.discard(opening)
            if not done.cancelled() and done.exception() is None:
                _close(done.result())

        self._late.add(opening)
        opening.add_done_callback(on_opened)

    def _refused(self, why: str) -> RemoteError:
        return HostUnreachable(why, host=self.target.id, stage="session")

    def lost(self) -> SessionLost:
        """What to raise when the connection has ended under something that ran."""
        return SessionLost("the connection ended before the answer came", host=self.target.id)

    async def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        kept_max: int = KEPT_MAX,
        receive: Receive | None = None,
    ) -> CommandEnd:
        """Run a plain command; nothing is needed there but what it names.

        When this is cancelled or the time is over, its process group is killed. What has left the group lives on; what
        runs through an interpreter (`dts_core.ssh.rpc`) is ended with that too.

        Args:
            argv: Quoted here, word by word.
            timeout: Seconds until it is ended.
            stdin: All of its standard input.
            kept_max: Bytes to keep of each stream.
            receive: Hears every piece of output too, as it comes.

        Raises:
            CommandTimedOut: The time is over.
            SessionLost: The connection ended first.
            HostUnreachable: No channel; nothing was run.
        """
        command = Command(argv, kept_max=kept_max, receive=receive)
        async with self.channel(command.line, command.take, command.end) as channel:
            try:
                async with asyncio.timeout(timeout):
                    channel.write(stdin)
                    channel.write_eof()
                    await asyncio.shield(channel.ended)
            except TimeoutError:
                await self.end_group(command)
                text = f"it ran for {timeout:g} s and was ended"
                raise CommandTimedOut(text, host=self.target.id) from None
            except asyncio.CancelledError:
                await self.end_group(command)
                raise
            return self._end_of(channel, command)

    async def end_group(self, command: Command) -> None:
        """Kill what a command started. Goes on by itself when whoever waits for it gives up too."""
        chore = asyncio.create_task(self._kill(command), name=f"ssh-kill-{self.target.id}")
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
        await asyncio.shield(chore)

    async def _kill(self, command: Command) -> None:
        # By a channel of its own, beyond those that are counted: sshd passes no signals on to a command of root's.
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                group = await command.group
                if group > 1:
                    line = command_line(["kill", "-KILL", f"-{group}"])
                    channel = await self._open(line, _ignored, _nothing)
                    await channel.ended
        except (TimeoutError, RemoteError):
            return  # the connection's own end is all that is left to end it

    def _end_of(self, channel: Channel, command: Command) -> CommandEnd:
        if not channel.has_status:
            raise self.lost()
        return CommandEnd(
            exit_status=channel.exit_status,
            exit_signal=one_line(channel.exit_signal, 32),
            stdout=command.stdout.kept(),
            stderr=command.stderr.kept(),
            stdout_total=command.stdout.total,
            stderr_total=command.stderr.total,
        )

    async def close(self) -> None:
        """Say goodbye. A second call does nothing."""
        await asyncio.gather(*self._chores)  # each has its deadline
        self._connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()


def _ignored(_stream: int, _data: bytes) -> None:
    return None


def _itself(channel: Channel) -> Channel:
    return channel


def _nothing() -> None:
    return None


def _close(channel: Channel) -> None:
    """Say goodbye, and do not wait for what the host still has to say."""
    channel.close()
    timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, channel.abort)
    channel.ended.add_done_callback(lambda _: timer.cancel())
