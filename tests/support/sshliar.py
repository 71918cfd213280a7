"""An SSH server inside the test that behaves as it is told, badly too, and counts who tries to log in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncssh

from dts_core.ssh.hostkeys import Pins
from dts_core.ssh.target import Credentials, Target
from dts_core.vault import Secret
from tests.support.sshkeys import private_key, public_line

Serve = Callable[["asyncssh.SSHServerProcess[bytes]"], Awaitable[None]]


class Liar:
    """What the server is, and what it has seen."""

    def __init__(self) -> None:
        self.host_key = private_key()
        self.user_key = private_key()
        self.port = 0
        self.connections = 0
        self.logins = 0
        """Times that somebody began to log in."""
        self.rounds: list[list[tuple[str, bool]]] = []
        """Questions to put, a list for each round; empty: a key is enough."""
        self.right: list[list[str]] = []
        """The answers that let in."""
        self.answered: list[list[str]] = []
        self.banner = ""
        self.forwards = False
        """Whether it lets others through."""
        self.open: list[asyncssh.SSHServerConnection] = []

    def target(self, **changes: Any) -> Target:
        fields: dict[str, Any] = {
            "id": "liar",
            "address": "127.0.0.1",
            "port": self.port,
            "user": "ann",
            "credentials": Credentials(private_key=Secret(self.user_key)),
            "pins": Pins(keys=(public_line(self.host_key),)),
        }
        return Target(**fields | changes)


class _Door(asyncssh.SSHServer):
    def __init__(self, liar: Liar) -> None:
        self._liar = liar
        self._round = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._liar.connections += 1
        self._connection = conn
        self._liar.open.append(conn)

    def begin_auth(self, username: str) -> bool:
        self._liar.logins += 1
        if self._liar.banner:
            self._connection.send_auth_banner(self._liar.banner)
        return True

    def connection_requested(self, *where: object) -> bool:
        return self._liar.forwards

    def public_key_auth_supported(self) -> bool:
        return not self._liar.rounds

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return public_line(self._liar.user_key).split()[1] in key.export_public_key().decode()

    def kbdint_auth_supported(self) -> bool:
        return bool(self._liar.rounds)

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        self._round = 0
        return "Two factors", "\x1b[2Jlook here", "", self._liar.rounds[0]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        self._liar.answered.append(list(responses))
        if list(responses) != self._liar.right[self._round]:
            return False
        self._round += 1
        if self._round == len(self._liar.rounds):
            return True
        return "", "", "", self._liar.rounds[self._round]


@contextlib.asynccontextmanager
async def lying(serve: Serve | None = None, **options: Any) -> AsyncIterator[Liar]:
    """A server for the length of a block.

    Args:
        serve: What it does with a command; nothing at all by default.
        options: For asyncssh.listen; `host_key` is a PEM other than the pinned one.
    """
    liar = Liar()
    shown = options.pop("host_key", liar.host_key)
    hosts = options.pop("server_host_keys", [asyncssh.import_private_key(shown)])
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Door(liar),
        server_host_keys=hosts,
        process_factory=serve or _stall,
        encoding=None,
        gss_host=None,
        **options,
    )
    liar.port = listener.get_port()
    try:
        yield liar
    finally:
        listener.close()
        for connection in liar.open:
            connection.abort()
            await connection.wait_closed()
        await listener.wait_closed()


async def _stall(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    await asyncio.Event().wait()


async def run_here(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """What an honest server does with a command."""
    assert process.command is not None
    inner = await asyncio.create_subprocess_exec(
        "sh", "-c", process.command, stdin=-1, stdout=-1, stderr=-1
    )
    assert inner.stdin is not None
    feeding = asyncio.create_task(_feed(process, inner.stdin))
    try:
        await asyncio.gather(
            _pump(inner.stdout, process.stdout), _pump(inner.stderr, process.stderr)
        )
        process.exit(await inner.wait())
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        if inner.returncode is None:  # whoever asked has gone
            inner.kill()
            await inner.communicate()


async def _feed(process: "asyncssh.SSHServerProcess[bytes]", writer: asyncio.StreamWriter) -> None:
    while data := await process.stdin.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _pump(reader: asyncio.StreamReader | None, writer: Any) -> None:
    assert reader is not None
    while data := await reader.read(65536):
        writer.write(data)
