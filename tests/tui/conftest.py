"""A console on a fake server, at any size."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from dts_tui.app import Console
from tests.support.server import Server, serve
from tests.tui.driving import Driver
from tests.tui.fake_server import FakeServer
from tests.tui.walking import Walk, walk_on

Opener = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def opened(server: FakeServer) -> Opener:
    @asynccontextmanager
    async def open_console(
        width: int = 80, height: int = 24, **options: Any
    ) -> AsyncIterator[Driver]:
        console = Console(server.connect, server="test", **options)
        pilot: Pilot[None]
        async with console.run_test(size=(width, height)) as pilot:
            driver = Driver(console, pilot)
            await driver.until(lambda: console.view is not None)
            yield driver

    return open_console


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Server]:
    """The real application, without a socket."""
    async with serve(tmp_path) as made:
        yield made


@pytest.fixture
def walk(real: Server) -> Walk:
    return walk_on(real)
