"""Follows /stream: parses server-sent events, reconnects with backoff, resumes where it was cut."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from dts_core.clients.transport import problem, unreachable
from dts_core.errors import ApiError
from dts_core.views import StreamEvent

SILENCE_SECONDS = 12.0
"""The server sends something at least every 5 s; a longer silence is a cut."""
RETRY_MAX_SECONDS = 10.0
STATE = "_state"
_GIVE_UP = frozenset({400, 401, 403, 404, 422})


@dataclass(frozen=True)
class StreamOptions:
    """What is followed where."""

    url: str
    topics: tuple[str, ...]
    filters: Mapping[str, Any]


class EventParser:
    """Server-sent events from lines, as the HTML standard (9.2.6) has them; remembers the last id."""

    def __init__(self) -> None:
        self.last_id = ""
        self._topic = ""
        self._id = ""
        self._data: list[str] = []

    def feed(self, line: str) -> StreamEvent | None:
        """Take one line without its end; the event that it completes, or None. Data that is no JSON is passed over."""
        if line == "":
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._topic = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def cut(self) -> None:
        """The connection ended: forget an event that is not complete."""
        self._topic, self._id, self._data = "", "", []

    def _complete(self) -> StreamEvent | None:
        topic, identity, data = self._topic, self._id, "\n".join(self._data)
        self.cut()
        if not data:
            return None
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return None
        self.last_id = identity or self.last_id
        return StreamEvent(topic=topic or "message", id=identity, data=value)


class _Following:
    """What the blocking and the other form share: the parser, the state told last, the backoff."""

    def __init__(self, options: StreamOptions, token: Callable[[], str]) -> None:
        self.parser = EventParser()
        self.options = options
        self._token = token
        self._tries = 0

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request that resumes behind the last event."""
        params = {
            name: str(value)
            for name, value in self.options.filters.items()
            if value not in ("", None, 0)
        }
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token()}"}
        if self.parser.last_id:
            headers["Last-Event-ID"] = self.parser.last_id
        return http.build_request(
            "GET",
            "/stream",
            params={"topics": ",".join(self.options.topics), **params},
            headers=headers,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=5.0),
        )

    def connected(self) -> StreamEvent:
        """The connection stands."""
        self._tries = 0
        return StreamEvent(
            topic=STATE, id="", data={"connected": True, "retry_seconds": 0.0, "why": ""}
        )

    def refused(self, response: httpx.Response) -> ApiError:
        """The answer was no stream: the error, raised at once when trying again cannot help."""
        error = problem(response)
        if response.status_code in _GIVE_UP:
            raise error
        return error

    def lost(self, error: Exception) -> tuple[StreamEvent, float]:
        """The connection is gone: what to tell, and how long to wait."""
        self.parser.cut()
        self._tries += 1
        wait = min(RETRY_MAX_SECONDS, 0.25 * 2 ** min(self._tries, 8)) * random.uniform(0.7, 1.0)
        told = unreachable(self.options.url, error) if isinstance(error, httpx.HTTPError) else error
        data = {"connected": False, "retry_seconds": wait, "why": str(told)}
        return StreamEvent(topic=STATE, id="", data=data), wait


@asynccontextmanager
async def _opened_async(
    http: httpx.AsyncClient, following: _Following
) -> AsyncIterator[httpx.Response]:
    response = await http.send(following.request(http), stream=True)
    try:
        if response.status_code != 200:
            await response.aread()
            raise following.refused(response)
        yield response
    finally:
        await response.aclose()


async def follow(
    http: httpx.AsyncClient, token: Callable[[], str], options: StreamOptions
) -> AsyncIterator[StreamEvent]:
    """The events, for ever. Raises ApiError when the server refuses for good."""
    following = _Following(options, token)
    while True:
        try:
            async with _opened_async(http, following) as response:
                yield following.connected()
                async for line in response.aiter_lines():
                    if (event := following.parser.feed(line)) is not None:
                        yield event
                raise httpx.RemoteProtocolError("the server ended the stream")
        except (httpx.HTTPError, ApiError) as error:
            if isinstance(error, ApiError) and error.answer_status in _GIVE_UP:
                raise
            event, wait = following.lost(error)
        yield event
        await asyncio.sleep(wait)


@contextmanager
def _opened(http: httpx.Client, following: _Following) -> Iterator[httpx.Response]:
    response = http.send(following.request(http), stream=True)
    try:
        if response.status_code != 200:
            response.read()
            raise following.refused(response)
        yield response
    finally:
        response.close()


def follow_blocking(
    http: httpx.Client, token: Callable[[], str], options: StreamOptions
) -> Iterator[StreamEvent]:
    """As `follow`, blocking."""
    following = _Following(options, token)
    while True:
        try:
            with _opened(http, following) as response:
                yield following.connected()
                for line in response.iter_lines():
                    if (event := following.parser.feed(line)) is not None:
                        yield event
                raise httpx.RemoteProtocolError("the server ended the stream")
        except (httpx.HTTPError, ApiError) as error:
            if isinstance(error, ApiError) and error.answer_status in _GIVE_UP:
                raise
            event, wait = following.lost(error)
        yield event
        time.sleep(wait)
