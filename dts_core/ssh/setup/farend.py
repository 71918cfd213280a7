"""The far end of a set-up: one process there that obeys orders, as the user or by sudo, for the length of a visit."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from dts_core.errors import InterpreterUnfit, SessionLost, SetupFailed
from dts_core.ssh.bootstrap import UNFIT, Stage, packed, stage, start_argv
from dts_core.ssh.channel import STDERR, Channel
from dts_core.ssh.output import KeptOutput
from dts_core.ssh.quoting import command_line
from dts_core.ssh.session import Session
from dts_core.ssh.setup.facts import CALLS_LEAST, WORKER_LEAST, without_python
from dts_core.text import clean, one_line
from dts_core.vault import Secret

__all__ = ["FarEnd", "Sudo", "supervisor_source"]

NOISE_MAX: Final = 64 << 10
ANSWER_MAX: Final = 4 << 20
START_SECONDS: Final = 30.0
ORDER_SECONDS: Final = 300.0
STALL_SECONDS: Final = 60.0
"""For a piece of an upload to leave."""
PACKAGE: Final = "dts_core.ssh.setup.far"
Sudo: TypeAlias = Callable[[], Awaitable[Secret | None]]
"""Called when sudo asks for a password, and takes its own time; None: nobody gives one."""
_READY: Final = 'echo "$0" >&2; exec "$@"'


class FarEnd:
    """Made by `opened`; one order at a time."""

    def __init__(self, host: str, sudo: Sudo | None, stage: Stage) -> None:
        self._stage = stage
        self._host = host
        self._password = sudo
        self._asked = 0
        self._mark = f"dts-{secrets.token_hex(12)}"
        self._prompt = f"[dts-{secrets.token_hex(12)}]".encode()
        self._ready = f"dts-{secrets.token_hex(12)}"
        self._words = KeptOutput(4096)
        self._stderr = bytearray()
        self._stdout = bytearray()
        self._greeted = False
        self._floods = False
        self._channel: Channel | None = None
        self._heard = asyncio.Event()
        self._ended = False

    # --- its life

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, session: Session, *, root: bool, sudo: Sudo | None = None
    ) -> AsyncIterator["FarEnd"]:
        """One there, until the block ends.

        Args:
            session: The host's.
            root: By sudo, unless the login is root's.
            sudo: Has the password, should sudo ask; it goes down the channel alone. None: sudo is not to ask.

        Raises:
            InterpreterUnfit: No Python there; says what to install.
            SetupFailed: sudo refuses.
            DtsError: What `sudo` raised.
            RemoteError: The session does not carry it.
        """
        try:
            async with cls._visit(session, WORKER_LEAST, root, sudo) as far:
                yield far
                return
        except _Unfit:
            pass
        try:
            async with cls._visit(session, CALLS_LEAST, root, sudo) as far:
                yield far
        except _Unfit:
            raise await without_python(session) from None

    @classmethod
    @asynccontextmanager
    async def for_packages(cls, session: Session) -> AsyncIterator["FarEnd"]:
        """One that keeps packages of functions, in the very Python that runs them. Raises as `opened`."""
        try:
            visit = cls._visit(session, CALLS_LEAST, False, None, code=_packages_stage())
            async with visit as far:
                yield far
        except _Unfit:
            raise await without_python(session) from None

    @classmethod
    @asynccontextmanager
    async def _visit(
        cls,
        session: Session,
        least: tuple[int, int],
        root: bool,
        sudo: Sudo | None,
        code: Stage | None = None,
    ) -> AsyncIterator["FarEnd"]:
        target = session.target
        far = cls(target.id, sudo, code or _stage())
        argv = start_argv(target.python, least)
        by_sudo = root and target.user != "root"
        if by_sudo:
            argv = far._sudo(argv)
        async with session.channel("exec " + command_line(argv), far._take, far._close) as channel:
            far._channel = channel
            await far._start(by_sudo, near=session.is_near)
            yield far

    def _sudo(self, argv: list[str]) -> list[str]:
        how = ["-S", "-p", self._prompt.decode()] if self._password is not None else ["-n"]
        return ["sudo", *how, "--", "sh", "-c", _READY, self._ready, *argv]

    async def _start(self, by_sudo: bool, *, near: bool) -> None:
        if by_sudo:
            await self._pass_sudo()
        self._write(packed(self._stage, {"mark": self._mark}, near=near))
        await self._in_time(lambda: self._greeted)

    async def _in_time(self, is_so: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._until(is_so)
        except TimeoutError:
            why = f"nothing answers within {START_SECONDS:g} s"
            raise InterpreterUnfit(f"{why}: {self._said()}", host=self._host) from None

    async def _pass_sudo(self) -> None:
        await self._in_time(lambda: self._asks() or self._is_through())
        if self._is_through():
            return
        assert self._password is not None
        password = await self._password()  # a person may take longer than a host
        if password is None:
            raise SetupFailed(
                "sudo asks for a password, and nobody gave one", host=self._host, stage="sudo"
            )
        self._stderr.clear()
        self._write(password.reveal().encode() + b"\n")
        await self._in_time(lambda: self._asks() or self._is_through())
        if not self._is_through():
            raise SetupFailed("sudo does not take the password", host=self._host, stage="sudo")

    def _asks(self) -> bool:
        return self._prompt in self._stderr

    def _is_through(self) -> bool:
        return self._ready.encode() in self._stderr

    # --- what comes

    def _take(self, stream: int, data: bytes) -> None:
        if stream == STDERR:
            self._words.take(data)
            self._stderr = (self._stderr + data)[-NOISE_MAX:]
        elif not self._floods:
            self._stdout += data
            self._look_for_mark()
            self._check_flood()
        self._heard.set()

    def _check_flood(self) -> None:
        """More than an answer can be: nothing of it is kept, and nothing more is heard of it."""
        if len(self._stdout) > 4 + ANSWER_MAX:
            self._floods = True
            self._stdout.clear()
            if self._channel is not None:
                self._channel.abort()

    def _look_for_mark(self) -> None:
        if self._greeted:
            return
        _, mark, rest = bytes(self._stdout).partition(self._mark.encode() + b":")
        if mark:
            self._greeted = True
            self._stdout = bytearray(rest)
        else:
            del self._stdout[:-NOISE_MAX]

    def _close(self) -> None:
        self._ended = True
        self._heard.set()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            if self._floods or self._ended:
                raise self._why_ended()
            self._heard.clear()
            await self._heard.wait()

    def _why_ended(self) -> Exception:
        if self._floods:
            return SetupFailed("it sends without end what is no answer", host=self._host)
        said = self._said()
        if self._greeted:
            return SessionLost(f"the connection ended within the set-up: {said}", host=self._host)
        if UNFIT in said:
            return _Unfit()
        if "sudo" in said:
            advice = (
                "Log in as root, set up for the user alone, or give a password that sudo takes: "
                "stored, or asked for with --ask."
            )
            if "tty" in said:
                advice = "Take `requiretty` out of its sudoers, for this user at least."
            return SetupFailed(
                f"sudo refuses: {said}", host=self._host, stage="sudo", advice=advice
            )
        if not said:
            return SessionLost("the connection ended before its Python started", host=self._host)
        return InterpreterUnfit(f"its Python does not start: {said}", host=self._host)

    def _said(self) -> str:
        text = self._words.kept().decode("utf-8", "replace").replace(self._prompt.decode(), "")
        lines = [line for line in text.split("\n") if line.strip() and self._ready not in line]
        return one_line(clean(lines[-1]), 400) if lines else ""

    # --- orders

    async def ask(
        self,
        do: str,
        *,
        body: Iterable[bytes] = (),
        timeout: float = ORDER_SECONDS,
        **order: Any,
    ) -> dict[str, Any]:
        """Give an order and wait for its answer.

        Args:
            do: What.
            body: What follows it; `body_size` in the order says how many bytes that are.
            timeout: Seconds, counted from when the last of it was sent.
            order: The rest of it.

        Raises:
            SetupFailed: It could not be done; the message is the host's.
            SessionLost: The connection ended; whether it was done is not known.
        """
        data = msgspec.json.encode({"do": do, **order})
        self._write(len(data).to_bytes(4, "big") + data)
        await self._send(body)
        try:
            async with asyncio.timeout(timeout):
                await self._until(self._has_answer)
        except TimeoutError:
            why = f"the host does not say within {timeout:g} s that it is done"
            raise SetupFailed(why, host=self._host) from None
        return self._answer()

    async def _send(self, body: Iterable[bytes]) -> None:
        assert self._channel is not None
        for piece in body:
            self._write(piece)
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._channel.drain()
            except TimeoutError:
                raise SessionLost("it takes no more of the files", host=self._host) from None
            if self._floods or self._ended:
                raise self._why_ended()

    def _has_answer(self) -> bool:
        size = int.from_bytes(self._stdout[:4], "big")
        if size > ANSWER_MAX:
            raise SetupFailed("it sent what is no answer", host=self._host)
        return len(self._stdout) >= 4 + size > 4

    def _answer(self) -> dict[str, Any]:
        size = int.from_bytes(self._stdout[:4], "big")
        data = bytes(self._stdout[4 : 4 + size])
        del self._stdout[: 4 + size]
        try:
            found = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError:
            raise SetupFailed("it sent what is no answer", host=self._host) from None
        if "failed" in found:
            raise SetupFailed(one_line(clean(str(found["failed"])), 1000), host=self._host)
        return found

    def _write(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)


class _Unfit(Exception):
    """No interpreter that is new enough."""


@cache
def _stage() -> Stage:
    folder = Path(__file__).parent / "far"
    left_out = ("__init__", "supervisor", "packages")
    files = [file for file in sorted(folder.glob("*.py")) if file.stem not in left_out]
    sources = {file.stem: file.read_text("utf-8") for file in files}
    return stage(PACKAGE, sources, entry="serve")


@cache
def _packages_stage() -> Stage:
    """Without what a set-up alone needs: small installations of Python lack modules of that."""
    folder = Path(__file__).parent / "far"
    names = ("base", "facts", "packages", "unpacking", "wire")
    sources = {name: (folder / f"{name}.py").read_text("utf-8") for name in names}
    return stage(PACKAGE, sources, entry="packages")


@cache
def supervisor_source() -> str:
    """The file that keeps a worker running where systemd does not."""
    return (Path(__file__).parent / "far" / "supervisor.py").read_text("utf-8")
