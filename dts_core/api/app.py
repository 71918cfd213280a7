"""The HTTP application: every route of the table, behind one guard. No rule lives here."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.routes import HTTPRoute

from dts_core.api import (
    admin_routes,
    function_routes,
    health_routes,
    jobs_routes,
    mail_routes,
    operation_routes,
    queue_routes,
    session_routes,
    shell_routes,
    signing_routes,
    ssh_routes,
    token_routes,
    vhost_routes,
    watch_routes,
)
from dts_core.api.context import SERVICES, finish_headers, in_time
from dts_core.api.decoding import decode_body, decode_query
from dts_core.api.endpoint import JSON, PERMISSION, Call, Endpoint, NoQuery, Permission, Routes
from dts_core.api.errors import EXCEPTION_HANDLERS
from dts_core.api.openapi import describe
from dts_core.api.security import authorize
from dts_core.services.container import Services
from dts_core.settings import ServerSettings

_PART: Final = re.compile(r"\{(\w+)\}")
_encoder: Final = msgspec.json.Encoder()


def endpoints() -> list[Endpoint]:
    """Every route there is, with the one that describes them all."""
    schema = Routes()
    found = [
        *session_routes.routes.endpoints,
        *token_routes.routes.endpoints,
        *jobs_routes.routes.endpoints,
        *function_routes.routes.endpoints,
        *signing_routes.routes.endpoints,
        *admin_routes.routes.endpoints,
        *vhost_routes.routes.endpoints,
        *ssh_routes.routes.endpoints,
        *shell_routes.routes.endpoints,
        *mail_routes.routes.endpoints,
        *operation_routes.routes.endpoints,
        *watch_routes.routes.endpoints,
        *queue_routes.routes.endpoints,
        *health_routes.routes.endpoints,
    ]

    @schema.add("GET", "/schema", Permission.READ, answer=dict[str, Any])
    async def get_schema(call: Call[NoQuery, None]) -> ASGIResponse:
        """This interface as OpenAPI 3.1."""
        return ASGIResponse(body=described, media_type=JSON)

    found += schema.endpoints
    described = _encoder.encode(describe(found))
    return found


def create_app(
    services: Services, settings: ServerSettings, *, more: Sequence[HTTPRouteHandler] = ()
) -> Litestar:
    """The application; the services are started and stopped by whoever made them.

    Args:
        services: The use cases.
        settings: `[server]`: the largest body.
        more: Further handlers, each with its permission in `opt`.

    Raises:
        ValueError: A route declares no permission.
    """
    found = endpoints()
    app = Litestar(
        route_handlers=[
            *_options(found),
            *(_handler(each) for each in found),
            shell_routes.shell_handler(),
            *more,
        ],
        guards=[authorize],
        before_send=[finish_headers],
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=settings.body_max,
        openapi_config=None,
        logging_config=None,
        debug=False,
        state=State({SERVICES: services}),
    )
    check_permissions(app)
    return app


def check_permissions(app: Litestar) -> None:
    """Refuse an application with a route that anybody could call unawares.

    Raises:
        ValueError: A route declares no permission; names it.
    """
    for route in app.routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        for handler in handlers:
            methods: set[str] = getattr(handler, "http_methods", set())
            by_framework = methods == {"OPTIONS"} and PERMISSION not in handler.opt
            if not by_framework and not isinstance(handler.opt.get(PERMISSION), Permission):
                raise ValueError(f"route {route.path} declares no permission")


def _options(found: Sequence[Endpoint]) -> list[HTTPRouteHandler]:
    """OPTIONS of each path: the framework's own names only the methods of the path's first route."""
    methods: dict[str, set[str]] = {}
    for each in found:
        methods.setdefault(each.path, {"OPTIONS"}).add(each.method)
    return [_option(path, ", ".join(sorted(known))) for path, known in methods.items()]


def _option(path: str, allow: str) -> HTTPRouteHandler:
    async def options() -> ASGIResponse:
        return ASGIResponse(status_code=204, headers={"Allow": allow})

    return HTTPRouteHandler(
        _framework_path(path),
        http_method="OPTIONS",
        status_code=200,
        opt={PERMISSION: Permission.READ},
    )(options)


def _framework_path(path: str) -> str:
    return _PART.sub(r"{\1:str}", path)


def _handler(endpoint: Endpoint) -> HTTPRouteHandler:
    """The endpoint as the framework takes it: decode, call, encode once."""

    async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
        call = await _call(endpoint, request)
        with in_time(request.scope):
            answer = await endpoint.handler(call)
        if isinstance(answer, ASGIResponse):
            return answer
        body = b"" if answer is None else _encoder.encode(answer)
        return ASGIResponse(body=body, media_type=JSON, status_code=endpoint.status)

    handle.__name__ = endpoint.name
    return HTTPRouteHandler(
        _framework_path(endpoint.path),
        http_method=endpoint.method,  # type: ignore[arg-type]
        status_code=200,  # of the framework's own making; the answer carries the endpoint's
        opt={PERMISSION: endpoint.permission},
    )(handle)


async def _call(endpoint: Endpoint, request: Request[Any, Any, Any]) -> Call[Any, Any]:
    query = None if endpoint.query is None else decode_query(request, endpoint.query)
    body: Any = None
    if endpoint.raw_body:
        body = await request.body()
    elif endpoint.body is not None:
        body = decode_body(request, await request.body(), endpoint.body)
    return Call(
        services=request.app.state[SERVICES],
        caller=request.user,
        request=request,
        query=query,
        body=body,
    )
