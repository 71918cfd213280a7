"""A served control side with a real OpenSSH behind it, for shells."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dts_core.cli.http import HttpServer
from dts_core.cli.ws_protocol import BoundedWebSocket
from dts_core.clients import Client
from dts_core.clients.shell import Shell
from dts_core.remote import Remotes
from dts_core.remote.terminals import Terminals
from dts_core.services.users import LOCAL
from dts_core.settings import RemoteSettings, ServerSettings, ShellSettings
from dts_core.testing import wait_until
from dts_core.views.shell import Exited, Opened
from tests.support.server import Server, serve
from tests.support.sshd import SshServer

BEGIN, END = "shell", "shell_end"


class Http(HttpServer):
    """Shows how many WebSockets it holds."""

    @property
    def connections(self) -> int:
        held = self._server.server_state.connections
        return sum(isinstance(each, BoundedWebSocket) for each in held)


@dataclass
class ShellWorld:
    """A server over HTTP."""

    server: Server
    http: "Http"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self, user: str = "root") -> Client:
        token = await self.server.token(user) if user else ""
        return Client(self.url, token)

    @asynccontextmanager
    async def shell(
        self, user: str = "root", host: str = "web-1", **asked: Any
    ) -> "AsyncIterator[Talk]":
        """One, open."""
        async with await self.client(user) as client, client.shell(host, **asked) as shell:
            talk = Talk(shell)
            async with asyncio.timeout(60):
                talk.opened = await anext(talk.heard)
            assert isinstance(talk.opened, Opened), talk.opened
            yield talk

    async def records(self, host: str = "web-1") -> list[dict[str, Any]]:
        """What is on record of shells on a host, the oldest first."""
        listed = await self.server.call(
            "GET", "/admin/operations", params={"doc_id": host, "collection": "ssh"}
        )
        return [each for each in reversed(listed.json()["items"]) if "shell" in each["op_type"]]

    async def ended(self, host: str = "web-1") -> dict[str, Any]:
        """What the record says of the end of the last shell, once it does."""

        async def look() -> bool:
            found = await self.records(host)
            return bool(found) and found[-1]["op_type"] == END

        await wait_until(look, what="the end of the shell is on record")
        told = (await self.records(host))[-1]["ops"]
        return {name: after for name, (_, after) in told.items()}


class Talk:
    """Types, and reads until it has seen what it waits for."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.heard = aiter(shell)
        self.opened: Any = None
        self.said = bytearray()

    async def type(self, text: str) -> None:
        await self.shell.send(text.encode())

    async def until(self, text: str) -> str:
        """Everything up to this text; what follows is kept for the next time."""
        wanted, looked = text.encode(), 0
        async with asyncio.timeout(60):
            while (at := self.said.find(wanted, looked)) < 0:
                looked = max(len(self.said) - len(wanted), 0)
                piece = await anext(self.heard)
                assert isinstance(piece, bytes), (piece, self.said[-2000:])
                self.said += piece
        at += len(wanted)
        said, self.said = self.said[:at], self.said[at:]
        return said.decode(errors="replace")

    async def exit(self) -> Exited:
        """How it ends."""
        async with asyncio.timeout(60):
            async for piece in self.heard:
                if isinstance(piece, Exited):
                    return piece
        raise AssertionError("it did not end")


@asynccontextmanager
async def shell_world(
    folder: Path, sshd: SshServer, *, shell: ShellSettings | None = None
) -> AsyncIterator[ShellWorld]:
    """With the virtual host web-1."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(folder))
        services = server.services
        remotes = await stack.enter_async_context(Remotes(services, RemoteSettings()))
        services.shells.reach = Terminals(services, remotes)
        services.shells.settings = shell or ShellSettings()
        await services.vhosts.create(LOCAL, {"_id": "web-1", **sshd.vhost()})
        listener = socket.create_server(("127.0.0.1", 0))
        http = Http(server.app, listener, ServerSettings())
        task = asyncio.create_task(http.run())
        await http.started()
        try:
            yield ShellWorld(server, http, listener.getsockname()[1])
        finally:
            services.drain()
            http.stop()
            await task
