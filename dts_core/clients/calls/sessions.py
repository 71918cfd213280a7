"""Who asks."""

from dts_core.clients.describe import Request, get, write
from dts_core.views import (
    LoginAnswer,
    SessionView,
)


def login(user: str, secret: str, *, hours: float = 0.0) -> Request[LoginAnswer]:
    """Exchange a secret for a token that counts `hours` (0: the server's setting)."""
    return write("POST", "/session", LoginAnswer, {"user": user, "secret": secret, "hours": hours})


def logout() -> Request[None]:
    """End the token of this client, everywhere."""
    return write("DELETE", "/session", type(None))


def session() -> Request[SessionView]:
    """Who asks, and what they submitted."""
    return get("/session", SessionView)
