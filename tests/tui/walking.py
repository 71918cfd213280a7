"""A console on the real application, walked by keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx

from dts_core.clients import AdminClient
from dts_tui.app import Console
from tests.support.server import Server
from tests.tui.driving import Driver

Walk = Callable[..., AbstractAsyncContextManager[Driver]]
SIZES = [(80, 24), (160, 48), (200, 60)]


class Way(httpx.ASGITransport):
    """To the application; its stream of events never begins, since this way gives an answer only when it is whole."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/stream":
            await asyncio.Event().wait()
        return await super().handle_async_request(request)


def walk_on(server: Server) -> Walk:
    """Opens a console as a user of this server."""

    @asynccontextmanager
    async def start(
        user: str = "root", size: tuple[int, int] = (120, 36), **options: Any
    ) -> AsyncIterator[Driver]:
        token = await server.token(user)

        def connect() -> AdminClient:
            way = Way(app=cast("Any", server.app), raise_app_exceptions=False)
            return AdminClient("http://test", token, http_transport=way)

        console = Console(connect, server="test", **options)
        async with console.run_test(size=size) as pilot:
            drive = Driver(console, pilot)
            await drive.until(lambda: console.world.role != "")
            yield drive

    return start
