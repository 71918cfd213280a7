"""Who may call which route: every request shows a token, save on public routes."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from dts_core.api.context import in_time, request_id, services_of, source_of
from dts_core.api.endpoint import PERMISSION, Permission
from dts_core.errors import Forbidden, Unauthenticated
from dts_core.services.access import Caller, Role
from dts_core.services.container import Services

_BEARER = "bearer "
NOBODY = Caller(user="", role=Role.VIEWER)
"""Who asks on a public route."""
_OPERATED = ("queues", "hosts")
"""What is operated at /<collection>/<id>/<what>."""
_OP_TYPES = {"POST": "create", "PATCH": "update", "PUT": "replace", "DELETE": "delete"}


async def authorize(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Let the request pass when its token allows the route; sets the connection's user.

    Raises:
        Unauthenticated: No token, or one that does not count.
        Forbidden: The user's role is not enough. A refused write of an admin collection is recorded.
    """
    # What Litestar adds by itself (OPTIONS) declares nothing: it takes a token like any other route.
    permission = handler.opt.get(PERMISSION, Permission.READ)
    if permission is Permission.PUBLIC:
        connection.scope["user"] = NOBODY
        return
    with in_time(connection.scope):
        await _admit(connection, permission)


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], permission: Permission) -> None:
    services = services_of(connection.scope)
    caller = await services.sessions.authenticate(
        bearer_token(connection),
        source=source_of(connection),
        request_id=request_id(connection.scope),
    )
    connection.scope["user"] = caller
    if caller.role < permission:
        error = Forbidden(
            f"user {caller.user} may not do this: role {Role(permission).name.lower()} is missing, "
            f"the role here is {caller.role.name.lower()}.",
            advice="Ask an administrator.",
        )
        await _record(services, caller, connection, error)
        raise error


def bearer_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The token that the request shows.

    Raises:
        Unauthenticated: It shows none.
    """
    shown = connection.headers.get("authorization", "")
    if not shown.lower().startswith(_BEARER):
        raise Unauthenticated("this needs a token.")
    return shown[len(_BEARER) :].strip()


async def _record(
    services: Services,
    caller: Caller,
    connection: ASGIConnection[Any, Any, Any, Any],
    error: Forbidden,
) -> None:
    path = connection.scope["path"].split("/", 3)
    op_type = _OP_TYPES.get(str(connection.scope.get("method")))
    if op_type is None or len(path) < 3:
        return
    doc_id = path[3] if len(path) > 3 else ""
    if path[1] == "admin":
        await services.writer.refused(caller, path[2][:40], doc_id, op_type, error)
    elif path[1] in _OPERATED:
        await services.writer.refused(caller, path[1], path[2], doc_id[:40], error)
