"""What belongs to one request besides its content: its id, its source, and the headers that every answer carries."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from litestar.connection import ASGIConnection
from litestar.types import Message, Scope

from dts_core.deadline import answer_within
from dts_core.names import new_id
from dts_core.services.container import Services

SERVICES: Final = "services"
"""Key of the services in the application's state."""
ANSWER_SECONDS: Final = 4.5
"""What store and broker may take of the 5 s in which a request is answered, all their answers together."""
_LEFT: Final = "answer_seconds"
"""Key of what is left of it in the request's state."""
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def services_of(scope: Scope) -> Services:
    """The services of the application that serves this request."""
    return cast("Services", scope["litestar_app"].state[SERVICES])


def request_id(scope: Scope) -> str:
    """The request's id: the caller's own when it sent a plain one, else a new one; the same for the whole request."""
    state: dict[str, Any] = scope["state"]
    found = state.get("request_id")
    if found is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        found = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        state["request_id"] = found
    return str(found)


@contextmanager
def in_time(scope: Scope) -> Iterator[None]:
    """Have everything inside answer in what is left of the request's time.

    What waits for the client, to send its body or to read a stream, stands outside and counts for nothing.
    """
    state: dict[str, Any] = scope["state"]
    left = state.get(_LEFT, ANSWER_SECONDS)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        with answer_within(left):
            yield
    finally:
        state[_LEFT] = left - (loop.time() - began)


def source_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The address the request came from."""
    return connection.client.host if connection.client is not None else "local"


async def finish_headers(message: Message, scope: Scope) -> None:
    """Give every answer its request id and the security headers, and count it."""
    if message["type"] != "http.response.start":
        return
    headers = [*message["headers"], (b"x-request-id", request_id(scope).encode()), *_SECURITY]
    message["headers"] = headers
    services_of(scope).counters.add(
        "dts_http_requests_total",
        method=_method(scope),
        route=str(scope.get("path_template") or "none"),
        status=str(message["status"]),
    )


def _method(scope: Scope) -> str:
    """The method, where it is one we know: a label must not be the caller's invention."""
    method = str(scope.get("method", ""))
    return (
        method
        if method in ("GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD")
        else "other"
    )
