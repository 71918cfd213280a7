"""A shell on a host, as a WebSocket: who may open it is settled before it opens; see `shell_bridge` for what passes."""

import logging
import re
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection, WebSocket
from litestar.handlers import WebsocketRouteHandler
from litestar.response.base import ASGIResponse

from dts_core.api.context import in_time, request_id, services_of
from dts_core.api.decoding import decode_query
from dts_core.api.endpoint import PERMISSION, Call, Permission, Routes
from dts_core.api.errors import PROBLEM, problem_of
from dts_core.api.security import bearer_token
from dts_core.api.shell_bridge import Bridge
from dts_core.errors import DtsError, Forbidden
from dts_core.services.access import Caller
from dts_core.views import Problem
from dts_core.views.shell import ShellQuery

__all__ = ["routes", "shell_handler"]

PATH: Final = "/ssh/shells/{id}"
UPGRADE_REQUIRED: Final = 426
_DENIED: Final = "denied"
_PART: Final = re.compile(r"\{(\w+)\}")
_log = logging.getLogger(__name__)
routes = Routes()


@routes.add(
    "GET",
    PATH,
    Permission.READ,
    query=ShellQuery,
    answer=Problem,
    status=UPGRADE_REQUIRED,
    media_type=PROBLEM,
)
async def open_shell(call: Call[ShellQuery, None]) -> ASGIResponse:
    """A terminal on a host, as a WebSocket: bytes both ways, and small JSON messages; without an upgrade only 426.

    It takes dts/ssh.shell: administrators have it, and on one host those in its `shell_users`.
    """
    await call.services.shells.admit(call.caller, call.path("id"))
    problem: Any = Problem(
        title="Upgrade Required",
        status=UPGRADE_REQUIRED,
        detail="a shell is a WebSocket.",
        advice="Use `dts ssh --tty HOST`.",
        code="upgrade_required",
        request_id=call.caller.request_id,
    )
    return ASGIResponse(
        body=msgspec.json.encode(problem),
        media_type=PROBLEM,
        status_code=UPGRADE_REQUIRED,
        headers={"Upgrade": "websocket"},
    )


class _Refusing(WebsocketRouteHandler):
    """Answers a refusal as every other route does: with a problem, before the WebSocket opens."""

    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """The guards; what they refuse is answered here, and the handler hears of it."""
        assert isinstance(connection, WebSocket)
        try:
            _no_page(connection)
            await super().authorize_connection(connection)
        except DtsError as error:
            await _deny(connection, error)


def shell_handler() -> WebsocketRouteHandler:
    """The route."""
    path = _PART.sub(r"{\1:str}", PATH)
    return _Refusing(path, opt={PERMISSION: Permission.READ})(_serve)


async def _serve(socket: WebSocket[Any, Any, Any]) -> None:
    if socket.scope["state"].get(_DENIED):
        return
    services, host = services_of(socket.scope), str(socket.path_params["id"])
    caller: Caller = socket.user
    try:
        with in_time(socket.scope):
            asked = decode_query(socket, ShellQuery)
            await services.shells.admit(caller, host)
    except DtsError as error:
        await _deny(socket, error)
        return
    token = bearer_token(socket)

    async def still() -> None:
        """Raises when the right to it is gone."""
        now = await services.sessions.authenticate(
            token, source=caller.source, request_id=caller.request_id
        )
        await services.shells.check(now, host)

    await socket.accept()
    await Bridge(socket, services.shells, still).run(caller, host, asked)


def _no_page(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Browsers say which page asks; nothing of ours does."""
    if "origin" in connection.headers:
        raise Forbidden("a page in a browser may not open a shell.", advice="Use `dts ssh --tty`.")


async def _deny(socket: WebSocket[Any, Any, Any], error: DtsError) -> None:
    identity = request_id(socket.scope)
    socket.scope["state"][_DENIED] = True
    _log.info("request %s: no shell: %s", identity, error)
    problem = problem_of(error, identity)
    headers = [
        (b"content-type", PROBLEM.encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", identity.encode()),
    ]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    start: Any = {
        "type": "websocket.http.response.start",
        "status": problem.status,
        "headers": headers,
    }
    body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(problem)}
    await socket.send(start)
    await socket.send(body)
