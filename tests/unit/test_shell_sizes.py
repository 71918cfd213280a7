"""Sizes of a terminal that come fast: few reach the host, the last of them always, and in their order with keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from dts_core.api import shell_sizes
from dts_core.api.shell_bridge import Bridge
from dts_core.services.access import Caller, Role
from dts_core.services.shells import Shell
from dts_core.settings import ShellSettings
from dts_core.testing import wait_until
from dts_core.views.shell import Resize, ShellQuery

ROOT = Caller(user="root", role=Role.ADMIN)


class Far:
    """A terminal that writes down what it is told; it prints nothing, and ends once `over` is set."""

    fingerprint = "SHA256:x"

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.over = asyncio.Event()

    async def read(self, most: int) -> bytes:
        await self.over.wait()
        return b""

    def write(self, data: bytes) -> None:
        self.told.append(data)

    async def drain(self) -> None:
        return None

    def resize(self, columns: int, rows: int) -> None:
        self.told.append((columns, rows))

    async def end(self) -> tuple[int | None, str]:
        return 0, ""


class Shells:
    """Opens that terminal."""

    def __init__(self, far: Far) -> None:
        self.far = far
        self.settings = ShellSettings()
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def open(self, *_: object) -> AsyncIterator[Shell]:
        yield Shell(self.far)


class Socket:
    """A client: what it says comes from a queue; what it is told is nobody's business."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self) -> Any:
        return await self.says.get()

    async def send(self, message: Any) -> None:
        return None

    def size(self, columns: int, rows: int) -> None:
        told = msgspec.json.encode(Resize(columns=columns, rows=rows)).decode()
        self.says.put_nowait({"type": "websocket.receive", "text": told})

    def keys(self, data: bytes) -> None:
        self.says.put_nowait({"type": "websocket.receive", "bytes": data})


async def _still() -> None:
    return None


def bridge(socket: Socket, shells: Shells) -> Bridge:
    client: Any = socket
    opens: Any = shells
    return Bridge(client, opens, _still)


async def test_of_many_sizes_the_last_counts() -> None:
    """The first at once, the last whatever comes; between them few, though the client sends thousands."""

    far = Far()
    socket = Socket()
    running = asyncio.create_task(bridge(socket, Shells(far)).run(ROOT, "web-1", ShellQuery()))
    for columns in range(1, 2000):
        socket.size(columns, 24)
    await wait_until(lambda: (1999, 24) in far.told, what="the last size is there")
    assert far.told[0] == (1, 24)
    assert len(far.told) < 200
    far.over.set()
    await running


async def test_keys_come_behind_the_size_that_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a size may wait: what is typed into a terminal finds it as large as it was then."""
    monkeypatch.setattr(shell_sizes, "PAUSE_SECONDS", 3600.0)

    far = Far()
    socket = Socket()
    running = asyncio.create_task(bridge(socket, Shells(far)).run(ROOT, "web-1", ShellQuery()))
    for columns in (80, 90, 100):
        socket.size(columns, 24)
    socket.keys(b"stty size")
    socket.size(110, 24)
    socket.keys(b"q")
    await wait_until(lambda: b"q" in far.told, what="the keys are there")
    assert far.told == [(80, 24), (100, 24), b"stty size", (110, 24), b"q"]
    far.over.set()
    await running
