"""One route, described in full: its path, its permission, what it takes and what it answers."""

from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from litestar import Request

from dts_core.services.access import Caller
from dts_core.services.container import Services

Q = TypeVar("Q")
B = TypeVar("B")
PERMISSION: Final = "permission"
"""Key of a route's permission in Litestar's `opt`."""
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
Position = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
"""A position in the store, as a query parameter."""


class Permission(IntEnum):
    """What a route asks for: nobody in particular, or at least a role."""

    PUBLIC = 0
    READ = 1  # viewer
    SUBMIT = 2  # submitter
    OPERATE = 3  # operator
    ADMIN = 4  # admin


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters."""


class Call(msgspec.Struct, Generic[Q, B], frozen=True):
    """One request to an endpoint, everything decoded and checked."""

    services: Services
    caller: Caller
    """Who asks; on public routes nobody in particular."""
    request: Request[Any, Any, Any]
    query: Q
    body: B

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One route. `body` and `answer` are what goes in and out as JSON, alternatives as a tuple.

    `raw_body` leaves decoding to the handler.
    """

    method: str
    path: str
    """As OpenAPI writes it: /jobs/{id}."""
    permission: Permission
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]
    query: Any = NoQuery
    body: Any = None
    shown_body: Any = None
    """What the description of the interface says that goes in, where the handler checks it field by field."""
    answer: Any = None
    status: int = 200
    raw_body: bool = False
    body_required: bool = True
    """Whether a request without any body is refused."""
    media_type: str = JSON
    also: Mapping[int, Any] = {}
    """Further statuses that are no refusals, each with what it answers as JSON."""

    @property
    def name(self) -> str:
        """The handler's name, unique over all routes."""
        return getattr(self.handler, "__name__", "")

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().split("\n", 1)[0]


class Routes:
    """Collects the endpoints of one module, in order."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def add(
        self,
        method: str,
        path: str,
        permission: Permission,
        *,
        query: Any = NoQuery,
        body: Any = None,
        shown_body: Any = None,
        answer: Any = None,
        status: int = 200,
        raw_body: bool = False,
        body_required: bool = True,
        media_type: str = JSON,
        also: Mapping[int, Any] | None = None,
    ) -> Callable[[Callable[[Call[Q, B]], Awaitable[Any]]], Callable[[Call[Q, B]], Awaitable[Any]]]:
        """Register the decorated coroutine function as an endpoint."""

        def register(
            handler: Callable[[Call[Q, B]], Awaitable[Any]],
        ) -> Callable[[Call[Q, B]], Awaitable[Any]]:
            self.endpoints.append(
                Endpoint(
                    method=method,
                    path=path,
                    permission=permission,
                    handler=handler,
                    query=query,
                    body=body,
                    shown_body=shown_body,
                    answer=answer,
                    status=status,
                    raw_body=raw_body,
                    body_required=body_required,
                    media_type=media_type,
                    also=also or {},
                )
            )
            return handler

        return register
