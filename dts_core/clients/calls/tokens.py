"""Access tokens, of oneself and of all users, and the secret that one logs in with."""

from collections.abc import Sequence
from typing import Any

from dts_core.clients.describe import Request, as_text, get, segment, write
from dts_core.views import ScopeName, TokenMade, TokenPage, TokensRevoked, TokenView


def change_password(secret: str, new_secret: str) -> Request[None]:
    """Take a new secret for the one that counts now; every other token of oneself ends."""
    body = {"secret": secret, "new_secret": new_secret}
    return write("POST", "/session/password", type(None), body)


def list_own_tokens(
    *, logins: bool = False, cursor: str = "", limit: int = 0
) -> Request[TokenPage]:
    """One page of one's own access tokens, and of `logins` too; it may be short yet have a `next`."""
    return get("/session/tokens", TokenPage, _query(logins, cursor=cursor, limit=limit))


def add_own_token(
    name: str, *, scope: ScopeName, days: float, namespaces: Sequence[str] | None = None
) -> Request[TokenMade]:
    """Make an access token for oneself; the token is in this answer only. Without `namespaces` it is not limited."""
    return write("POST", "/session/tokens", TokenMade, _wanted(name, scope, days, namespaces))


def revoke_own_token(token_id: str) -> Request[TokenView]:
    """End one of one's own tokens everywhere, by its id or at least 8 characters of it."""
    return write("DELETE", f"/session/tokens/{segment(token_id)}", TokenView)


def revoke_own_tokens(*, logins: bool = False) -> Request[TokensRevoked]:
    """End all of one's own access tokens, and other `logins` too; the token that asks stays."""
    return write("DELETE", "/session/tokens", TokensRevoked, query=_told(logins))


def list_tokens(
    *, user: str = "", logins: bool = False, cursor: str = "", limit: int = 0
) -> Request[TokenPage]:
    """One page of the tokens of one user, or of all. For the rest see `list_own_tokens`."""
    return get("/admin/tokens", TokenPage, _query(logins, user=user, cursor=cursor, limit=limit))


def add_token(
    user: str, name: str, *, scope: ScopeName, days: float, namespaces: Sequence[str] | None = None
) -> Request[TokenMade]:
    """Make an access token for a user. For the rest see `add_own_token`."""
    body = {"user": user, **_wanted(name, scope, days, namespaces)}
    return write("POST", "/admin/tokens", TokenMade, body)


def revoke_token(token_id: str) -> Request[TokenView]:
    """End a token of any user everywhere."""
    return write("DELETE", f"/admin/tokens/{segment(token_id)}", TokenView)


def revoke_tokens(user: str, *, logins: bool = False) -> Request[TokensRevoked]:
    """End all access tokens of a user, and their `logins` too."""
    return write("DELETE", "/admin/tokens", TokensRevoked, query={"user": user} | _told(logins))


def _wanted(name: str, scope: str, days: float, namespaces: Sequence[str] | None) -> dict[str, Any]:
    limit = None if namespaces is None else list(namespaces)
    return {"name": name, "scope": scope, "days": days, "namespaces": limit}


def _query(logins: bool, **others: Any) -> dict[str, Any]:
    return others | _told(logins)


def _told(logins: bool) -> dict[str, str]:
    return {"logins": as_text(True)} if logins else {}
