"""Routes of tokens: access tokens of one's own, and of all users for administrators."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.views import (
    TokenMade,
    TokenPage,
    TokenRequest,
    TokensRevoked,
    TokenView,
    UserTokenRequest,
)

routes = Routes()
_Limit = Annotated[int, Meta(ge=1, le=500)]


class TokensQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which tokens; `logins`: those of logins too."""

    logins: bool = False
    cursor: str = ""
    limit: _Limit = 100


class AllTokensQuery(TokensQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose; all users' when empty."""

    user: str = ""


class LoginsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether logins end too."""

    logins: bool = False


class UserQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens end, and whether their logins do too."""

    user: str
    logins: bool = False


@routes.add("GET", "/session/tokens", Permission.READ, query=TokensQuery, answer=TokenPage)
async def list_own_tokens(call: Call[TokensQuery, None]) -> TokenPage:
    """One's own tokens that count."""
    asked = call.query
    return await call.services.tokens.page(
        call.caller,
        user=call.caller.user,
        logins=asked.logins,
        cursor=asked.cursor,
        limit=asked.limit,
    )


@routes.add(
    "POST",
    "/session/tokens",
    Permission.READ,
    body=TokenRequest,
    answer=TokenMade,
    status=201,
)
async def add_own_token(call: Call[NoQuery, TokenRequest]) -> TokenMade:
    """Make an access token for oneself; it is shown in this answer only."""
    return await call.services.tokens.create(call.caller, call.body)


@routes.add("DELETE", "/session/tokens", Permission.READ, query=LoginsQuery, answer=TokensRevoked)
async def revoke_own_tokens(call: Call[LoginsQuery, None]) -> TokensRevoked:
    """End all of one's own access tokens; the token that asks stays."""
    asked = call.query
    revoked = await call.services.tokens.revoke_all(
        call.caller, call.caller.user, logins=asked.logins
    )
    return TokensRevoked(revoked=revoked)


@routes.add("DELETE", "/session/tokens/{id}", Permission.READ, answer=TokenView)
async def revoke_own_token(call: Call[NoQuery, None]) -> TokenView:
    """End one of one's own tokens everywhere."""
    return await call.services.tokens.revoke(call.caller, call.path("id"))


@routes.add("GET", "/admin/tokens", Permission.ADMIN, query=AllTokensQuery, answer=TokenPage)
async def list_tokens(call: Call[AllTokensQuery, None]) -> TokenPage:
    """Tokens of all users, or of one, that count."""
    asked = call.query
    return await call.services.tokens.page(
        call.caller, user=asked.user, logins=asked.logins, cursor=asked.cursor, limit=asked.limit
    )


@routes.add(
    "POST",
    "/admin/tokens",
    Permission.ADMIN,
    body=UserTokenRequest,
    answer=TokenMade,
    status=201,
)
async def add_token(call: Call[NoQuery, UserTokenRequest]) -> TokenMade:
    """Make an access token for a user; it is shown in this answer only."""
    return await call.services.tokens.create(call.caller, call.body, call.body.user)


@routes.add("DELETE", "/admin/tokens", Permission.ADMIN, query=UserQuery, answer=TokensRevoked)
async def revoke_tokens(call: Call[UserQuery, None]) -> TokensRevoked:
    """End all access tokens of a user; the token that asks stays."""
    asked = call.query
    revoked = await call.services.tokens.revoke_all(call.caller, asked.user, logins=asked.logins)
    return TokensRevoked(revoked=revoked)


@routes.add("DELETE", "/admin/tokens/{id}", Permission.ADMIN, answer=TokenView)
async def revoke_token(call: Call[NoQuery, None]) -> TokenView:
    """End a token of any user everywhere."""
    return await call.services.tokens.revoke(call.caller, call.path("id"), of_all=True)
