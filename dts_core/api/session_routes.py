"""Routes of sessions: log in, who am I, another secret, log out."""

from dts_core.api.context import request_id, source_of
from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.views import LoginAnswer, LoginRequest, SecretChange, SessionView

routes = Routes()


@routes.add(
    "POST", "/session", Permission.PUBLIC, body=LoginRequest, answer=LoginAnswer, status=201
)
async def log_in(call: Call[NoQuery, LoginRequest]) -> LoginAnswer:
    """Exchange a user's secret for a token."""
    return await call.services.sessions.login(
        call.body, source=source_of(call.request), request_id=request_id(call.request.scope)
    )


@routes.add("GET", "/session", Permission.READ, answer=SessionView)
async def get_session(call: Call[NoQuery, None]) -> SessionView:
    """Who asks, and what they submitted."""
    return await call.services.jobs.own_record(call.caller)


@routes.add("POST", "/session/password", Permission.READ, body=SecretChange, status=204)
async def change_password(call: Call[NoQuery, SecretChange]) -> None:
    """Take a new secret for the one that counts now; every other token of the user ends."""
    await call.services.sessions.change_secret(call.caller, call.body)


@routes.add("DELETE", "/session", Permission.READ, status=204)
async def log_out(call: Call[NoQuery, None]) -> None:
    """End this token everywhere."""
    await call.services.sessions.logout(call.caller)
