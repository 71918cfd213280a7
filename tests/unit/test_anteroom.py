"""A server that waits for its store or broker says so to whoever asks it, and makes room for the real one."""

import asyncio
import socket
from typing import Any

import httpx

from dts_core.cli.anteroom import Anteroom
from dts_core.cli.http import HttpServer
from dts_core.settings import ServerSettings
from tests.support.ports import free_ports

WAITING = "waiting for the broker: RabbitMQ at mq:5672/v is away for 9 s: refused."


async def test_it_lives_is_not_ready_and_says_what_it_waits_for() -> None:
    """The newest reason counts; the socket stays open for the server that follows."""
    with socket.create_server(("127.0.0.1", *free_ports(1))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        anteroom = Anteroom(listener, ServerSettings())
        anteroom.tell("waiting for the store: refused.")
        anteroom.tell(WAITING)
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            assert (await http.get("/health/live")).status_code == 200
            for method, path in (("GET", "/health/ready"), ("GET", "/status"), ("POST", "/jobs")):
                refused = await http.request(method, path)
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
                assert WAITING[:-1] in refused.json()["detail"]
                assert "goes on by itself" in refused.json()["advice"]
        await anteroom.aclose()
        await anteroom.aclose()
        real = HttpServer(_real, listener, ServerSettings())
        await _asked(real, url)


async def test_without_a_word_nothing_is_served() -> None:
    """A start that waits for nobody serves once, when it is ready."""
    with socket.create_server(("127.0.0.1", *free_ports(1))) as listener:
        anteroom = Anteroom(listener, ServerSettings())
        await anteroom.aclose()
        assert anteroom._serving is None
        anteroom.tell(WAITING)  # and closed before it came up
        await anteroom.aclose()
        assert listener.fileno() >= 0


async def _asked(server: HttpServer, url: str) -> None:
    serving = asyncio.ensure_future(server.run())
    await server.started()
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        assert (await http.get("/status")).text == "the real one"
    server.stop()
    await serving


async def _real(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the real one"})
