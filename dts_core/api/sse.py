"""A live stream over HTTP, as server-sent events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from dts_core.api.endpoint import EVENTS
from dts_core.errors import DtsError, Unauthenticated
from dts_core.services.access import Caller
from dts_core.services.stream import StreamHub
from dts_core.services.subscriber import StreamItem, Subscriber

Still = Callable[[], Awaitable[Caller]]
"""Looks up who follows, as they are now; raises Unauthenticated when they may not any more."""
KEEP_ALIVE_SECONDS: Final = 5.0
"""A comment line goes out after so long a silence."""
_log = logging.getLogger(__name__)


class EventStream(ASGIResponse):
    """Sends what waits for a subscriber until the client goes away or the hub closes the stream.

    A client that reads slowly holds up only itself: the subscriber's queue is bounded and ends in a `reset`.
    """

    _should_set_content_length = False

    def __init__(self, hub: StreamHub, subscriber: Subscriber, still: Still) -> None:
        super().__init__(media_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        self._hub = hub
        self._subscriber = subscriber
        self._still = still

    async def start_response(self, send: Send) -> None:
        """Send the status and the headers; a client that is gone already leaves nothing behind."""
        try:
            await super().start_response(send)
        except BaseException:
            self._hub.leave(self._subscriber)
            raise

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send events until either side ends."""
        tasks = {
            asyncio.create_task(self._pump(send), name="stream-pump"),
            asyncio.create_task(_gone(receive), name="stream-gone"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._subscriber)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            if (error := task.exception()) is not None:
                _log.debug("a stream was cut: %s", error)

    async def _pump(self, send: Send) -> None:
        position = self._subscriber.position
        await _send(send, f": connected\nid: {position}\n\n".encode())
        while True:
            items = await self._subscriber.take(KEEP_ALIVE_SECONDS)
            if not await self._may_go_on():
                break
            if items:
                await _send(send, b"".join(map(_render, items)))
            elif self._subscriber.closed:
                break
            else:
                await _send(send, b": alive\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _may_go_on(self) -> bool:
        """Whether the token still counts; what it allows now is what the follower hears from here on."""
        try:
            self._subscriber.caller = await self._still()
        except Unauthenticated:
            return False
        except DtsError as error:
            _log.debug("a follower was not looked up: %s", error)
        return True


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _render(item: StreamItem) -> bytes:
    """JSON holds no line break, so one data line is enough."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (
        item.topic.encode(),
        str(item.position).encode(),
        item.data,
    )
