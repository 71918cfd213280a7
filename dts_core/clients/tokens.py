"""`client.tokens` and `admin.user_tokens`: access tokens."""

from dts_core.clients import calls
from dts_core.clients.collections import AsyncGroup, SyncGroup
from dts_core.clients.describe import call


class OwnTokenCalls:
    """Access tokens of oneself."""

    list = call(calls.list_own_tokens)
    add = call(calls.add_own_token)
    revoke = call(calls.revoke_own_token)
    revoke_all = call(calls.revoke_own_tokens)


class UserTokenCalls:
    """Access tokens of all users."""

    list = call(calls.list_tokens)
    add = call(calls.add_token)
    revoke = call(calls.revoke_token)
    revoke_all = call(calls.revoke_tokens)


class OwnTokens(OwnTokenCalls, AsyncGroup):
    """Access tokens of oneself, on the loop."""


class SyncOwnTokens(OwnTokenCalls, SyncGroup):
    """Access tokens of oneself, blocking."""


class UserTokens(UserTokenCalls, AsyncGroup):
    """Access tokens of all users, on the loop."""


class SyncUserTokens(UserTokenCalls, SyncGroup):
    """Access tokens of all users, blocking."""
