"""Tokens as they are stored: by their hash, with a seal that ends them when their user changes."""

import hashlib
from typing import Final

from dts_core.model import Token, User
from dts_core.services.access import FULL, ROLES, SCOPES, Role, Scope
from dts_core.services.documents import Collection
from dts_core.services.users import USERS
from dts_core.stores.base import Store

TOKENS: Final = Collection[Token](
    name="tokens", one="token", kind=Token, fields={}, secret=frozenset({"seal"})
)
PREFIX: Final = "dts_"
"""Of every token."""
ACCESS: Final = "access:"
"""In the seal of access tokens: a version that knows of no scope does not take them for logins."""


def digest_of(token: str) -> str:
    """What a token is stored by."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def scope_of(token: Token) -> Scope:
    """What a token allows at most; one whose scope is not known here, no more than to read."""
    if not token.scope:
        return FULL
    limit = None if token.namespaces is None else frozenset(token.namespaces)
    return Scope(role=SCOPES.get(token.scope, Role.VIEWER), namespaces=limit)


def seal_of(user: User, scope: str) -> str:
    """What a token of the user carries: it counts as long as this stays the same."""
    sealed = user.secret_hash + (f":{user.tokens_ended}" if user.tokens_ended else "")
    return hashlib.sha256(((ACCESS if scope else "") + sealed).encode()).hexdigest()[:16]


async def living(store: Store, token_id: str) -> tuple[Token, User] | None:
    """A token and its user as they are stored now, where it counts; whether it has expired is not looked at."""
    found = await TOKENS.find(store, token_id) if token_id else None
    user = await USERS.find(store, found.user) if found is not None else None
    if found is None or user is None or not await counts(store, found, user):
        return None
    return found, user


async def counts(store: Store, token: Token, user: User) -> bool:
    """Whether a stored token counts for its user, and the one that it was made with still does."""
    if user.disabled or user.role not in ROLES or token.scope not in ("", *SCOPES):
        return False
    if token.seal != seal_of(user, token.scope):
        return False
    return not token.parent or await living(store, token.parent) is not None
