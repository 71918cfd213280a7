"""The WebSocket protocol's bounds, against a transport that only writes down."""

import asyncio
from typing import Any
from unittest.mock import MagicMock

import uvicorn
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from dts_core.cli.ws_protocol import BoundedWebSocket

HELLO = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = Frame(Opcode.PING, b"p" * 125).serialize(mask=True)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


async def test_pings_of_a_client_that_reads_nothing_are_not_answered() -> None:
    """No answer is kept for who has not read those before; who reads on is answered again."""
    config = uvicorn.Config(app, ws=BoundedWebSocket, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    socket = BoundedWebSocket(config, state, {})
    transport = MagicMock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    socket.connection_made(transport)
    socket.data_received(HELLO)
    while not socket.handshake_complete:
        await asyncio.sleep(0)
    transport.write.reset_mock()
    socket.data_received(PING)
    assert len(transport.write.call_args[0][0]) == 127
    socket.pause_writing()
    transport.write.reset_mock()
    for _ in range(3):
        socket.data_received(PING * 100)
    assert transport.write.call_count == 0
    socket.resume_writing()
    socket.data_received(PING)
    assert len(transport.write.call_args[0][0]) == 127
    for task in state.tasks:
        task.cancel()
    await asyncio.gather(*state.tasks, return_exceptions=True)
