"""A real server on a loopback port, attacked by schemathesis over its whole description."""

import asyncio
import os
import socket
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from dts_core.api.app import endpoints
from dts_core.api.openapi import describe
from dts_core.cli.http import HttpServer
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import ServerSettings
from tests.support.fuzz import HERE, PROGRAM
from tests.support.server import ADD, SECRET, Server, serve

HOOKS: Final = HERE / "hooks.py"
CONFIG: Final = HERE / "schemathesis.toml"


def description() -> dict[str, Any]:
    """What is attacked: the description of the interface."""
    described: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(describe(endpoints())))
    return described


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[str]:
    """The application on a port of its own, as `dts server` serves it; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    http = HttpServer(server.app, listener, ServerSettings())
    task = asyncio.create_task(http.run(), name="fuzzed-server")
    try:
        await http.started()
        yield f"http://127.0.0.1:{port}"
    finally:
        http.stop()
        await task


@asynccontextmanager
async def door(server: Server, role: str) -> AsyncIterator[str]:
    """An address that gives out a token that counts, of a user of this role: one is made again if it is gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        token = (await fresh_token(server, role)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(token)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + token)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"


async def fresh_token(server: Server, role: str) -> str:
    """A token of user `fuzz_ROLE`, who has that role again and is let in, whatever became of them."""
    name = f"fuzz_{role}"
    known = await USERS.find(server.store, name)
    if known is None:
        await server.services.users.create(LOCAL, {"_id": name, "role": role, "secret": SECRET})
    elif known.disabled or known.role != role:
        await server.services.users.update(LOCAL, name, {"role": role, "disabled": False})
    return await server.issue(name)


async def populate(server: Server) -> None:
    """Some of everything, so that not every answer is an empty list."""
    await server.namespace()
    await server.function()
    await server.function("sample/add", ADD)
    for _ in range(3):
        answer = await server.call("POST", "/jobs", json={"function": "sample/noop"})
        assert answer.status_code == 201
    await server.run(answer.json()["id"])


async def attack(folder: Path, role: str, options: Sequence[str]) -> tuple[int, str]:
    """Exit status and output of one run as a user of this role.

    Args:
        folder: For the server's data and the report.
        role: viewer, submitter, operator or admin.
        options: Of `schemathesis run`: phases, examples, seed.
    """
    async with serve(folder) as server, listening(server) as url, door(server, role) as tokens:
        await populate(server)
        schema = folder / "schema.json"
        schema.write_bytes((await server.call("GET", "/schema")).content)
        command: list[str | Path] = [
            PROGRAM,
            "--config-file",
            CONFIG,
            "run",
            schema,
            "--url",
            url,
            "--no-color",
        ]
        report = folder / "report.txt"
        with report.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command, "--checks", "all", *options, cwd=folder, stdout=out, stderr=STDOUT,
                env=os.environ | {"DTS_FUZZ_DOOR": tokens, "SCHEMATHESIS_HOOKS": str(HOOKS)},
            )  # fmt: skip
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, report.read_text("utf-8", "replace")
