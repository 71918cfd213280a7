"""Access tokens: made by a user for their programs, with a name, a scope and an end; listed and revoked."""

import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NoReturn

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from dts_core.model import Token, User
from dts_core.services.access import FULL, ROLES, SCOPES, Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import Directory
from dts_core.services.mistakes import Mistakes
from dts_core.services.resources.listing import Wanted, find
from dts_core.services.seals import PREFIX, TOKENS, counts, digest_of, scope_of, seal_of
from dts_core.services.sessions import Sessions
from dts_core.services.users import USERS
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import TokenMade, TokenPage, TokenRequest, TokenView

ID_LENGTH: Final = 16
"""Characters of an id that are shown."""
ID_MIN: Final = 8
"""Fewest by which a token is found."""
TOKENS_MAX: Final = 100
"""Most access tokens of one user."""
PAGE: Final = 500
ADVICE: Final = (
    "A token has a name, a scope (read, submit, operate, admin) and days;"
    " namespaces where it is limited to some."
)


class Tokens:
    """Makes, lists and revokes tokens.

    Args:
        store: Where they are kept.
        clock: The time.
        writer: Writes them, each with its operation.
        directory: Who is a member of what.
        sessions: Whose token is shown.
        days_max: Longest life of an access token.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        writer: AdminWriter,
        directory: Directory,
        sessions: Sessions,
        *,
        days_max: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._writer = writer
        self._directory = directory
        self._sessions = sessions
        self._days_max = days_max

    async def create(self, caller: Caller, request: TokenRequest, user: str = "") -> TokenMade:
        """An access token of the caller, or of another `user`, which only administrators may ask for.

        Raises:
            InvalidInput: Names everything that is wrong.
            Forbidden: It would allow more, or count longer, than the token that asks. The attempt is recorded.
            NotFound: There is no such user.
            Conflict: The user is disabled, or has too many.
            Unauthenticated: The token that asks has ended meanwhile.
        """
        shown, owner = await self._sessions.look_again(caller)
        if user not in ("", owner.id):
            owner = await USERS.load(self._store, user)
        await self._check(owner, request)
        now = self._clock.now()
        token = f"{PREFIX}pat_{secrets.token_urlsafe(32)}"
        made = Token(
            id=digest_of(token),
            user=owner.id,
            created_at=now,
            expires_at=now + timedelta(days=request.days),
            seal=seal_of(owner, request.scope),
            name=clean(request.name),
            scope=request.scope,
            namespaces=request.namespaces and sorted(set(request.namespaces)),
            parent=shown.id if caller.is_program else "",
        )
        await self._check_covered(caller, shown, made)
        await self._writer.write(caller, TOKENS, None, made)
        # Whoever ended the token that asks may not have seen the new one: neither counts then.
        try:
            await self._sessions.look_again(caller)
        except Unauthenticated:
            await self._sessions.end(caller, made.id)
            raise
        view = msgspec.structs.asdict(_view(made, caller, {}))
        return TokenMade(token=token, **view)

    async def page(
        self,
        caller: Caller,
        *,
        user: str = "",
        logins: bool = False,
        cursor: str = "",
        limit: int = 100,
    ) -> TokenPage:
        """Tokens that count, of one user or of all.

        Args:
            caller: Who asks; it is not looked at what they may see.
            user: Whose; all users' when empty.
            logins: Those of logins too.
            cursor: `next` of the page before.
            limit: 1..500.
        """
        wanted = Wanted(where={"user": user} if user else {}, cursor=cursor, limit=limit)
        found, following = await find(self._store, TOKENS, wanted, lambda _: True)
        owners: dict[str, User | None] = {}
        live = [
            each for each in found if (each.scope or logins) and await self._lives(each, owners)
        ]
        used = await self._store.marks(TOKENS.name, [each.id for each in live])
        return TokenPage(items=[_view(each, caller, used) for each in live], next=following)

    async def revoke(self, caller: Caller, token_id: str, *, of_all: bool = False) -> TokenView:
        """End one token everywhere; those that were made with it end too.

        Args:
            caller: Who asks.
            token_id: As it is listed, or at least ID_MIN characters of it.
            of_all: Any user's, not only the caller's own.

        Raises:
            NotFound: There is none.
            InvalidInput: More than one begins so.
            Forbidden: It allows more than the token that asks. The attempt is recorded.
        """
        token = await self._named(token_id, "" if of_all else caller.user)
        if token.id != caller.token and not caller.scope.covers(scope_of(token)):
            await self._refuse(
                caller, token.id, "delete", "it allows more than the token that asks."
            )
        await self._sessions.end(caller, token.id)
        return _view(token, caller, {})

    async def revoke_all(self, caller: Caller, user: str, *, logins: bool = False) -> int:
        """End all access tokens of a user, and their `logins` too; the token that asks stays. Returns how many.

        Raises:
            Forbidden: The token that asks does not allow all that its user may. The attempt is recorded.
        """
        if not caller.scope.covers(FULL):
            await self._refuse(
                caller, user, "delete", "the token that asks does not allow all of it."
            )
        ended = 0
        while True:
            before = ended
            async for each in self._of(user):
                if (each.scope or logins) and each.id != caller.token:
                    ended += await self._sessions.end(caller, each.id)
            if ended == before:  # nothing was made while they were looked through
                return ended

    async def _of(self, user: str) -> AsyncIterator[Token]:
        cursor = ""
        while True:
            wanted = Wanted(where={"user": user}, cursor=cursor, limit=PAGE)
            found, cursor = await find(self._store, TOKENS, wanted, lambda _: True)
            for each in found:
                yield each
            if not cursor:
                return

    async def _lives(self, token: Token, owners: dict[str, User | None]) -> bool:
        if token.expires_at <= self._clock.now():
            return False
        if token.user not in owners:
            owners[token.user] = await USERS.find(self._store, token.user)
        owner = owners[token.user]
        return owner is not None and await counts(self._store, token, owner)

    async def _named(self, token_id: str, user: str) -> Token:
        error = NotFound(
            f"there is no token {clean(token_id, 80)!r}.", advice="See `dts token list`."
        )
        if len(token_id) < ID_MIN or not token_id.isalnum():
            raise error
        found, _ = await TOKENS.page(self._store, prefix=token_id, limit=PAGE)
        named = [each for each in found if user in ("", each.user)]
        if not named:
            raise error
        if len(named) > 1:
            raise InvalidInput(
                f"more than one token begins with {clean(token_id, 80)!r}.",
                fields={"id": "more of its characters"},
            )
        return named[0]

    async def _check(self, owner: User, request: TokenRequest) -> None:
        """Let pass what the owner may have."""
        mistakes = Mistakes("token", advice=ADVICE)
        if not clean(request.name).strip():
            mistakes.add("name", "a text that can be read")
        if request.days > self._days_max:
            mistakes.add("days", f"at most {self._days_max:g}")
        roles = await self._roles(owner)
        for each in request.namespaces or ():
            if each not in roles:
                mistakes.add("namespaces", f"there is no namespace {clean(each, 60)!r}")
        if request.namespaces == []:
            mistakes.add("namespaces", "at least one; without it there is no limit")
        limit = None if request.namespaces is None else frozenset(request.namespaces)
        within = [role for name, role in roles.items() if limit is None or name in limit]
        highest = max([ROLES[owner.role], *within])
        if SCOPES[request.scope] > highest:
            held = next(name for name, role in SCOPES.items() if role is highest)
            mistakes.add("scope", f"at most {held}: user {owner.id} may do no more")
        mistakes.raise_any()
        if owner.disabled:
            raise Conflict(f"user {owner.id} is disabled.", advice="Enable them first.")
        now = self._clock.now()
        live = [each async for each in self._of(owner.id) if each.scope and each.expires_at > now]
        if len(live) >= TOKENS_MAX:
            raise Conflict(
                f"user {owner.id} has {TOKENS_MAX} access tokens already.",
                advice="Revoke those that are not needed.",
            )

    async def _roles(self, owner: User) -> Mapping[str, Role]:
        """Namespace -> the owner's role there."""
        if owner.role == "admin":
            return dict.fromkeys(await self._directory.namespaces(), Role.ADMIN)
        held = await self._directory.memberships(owner.id)
        return {name: ROLES[role] for name, role in held.items() if role in ROLES}

    async def _check_covered(self, caller: Caller, shown: Token, made: Token) -> None:
        """Let pass what goes in no way beyond the access token that asks; a login may ask for anything."""
        if not caller.is_program:
            return
        if not caller.scope.covers(scope_of(made)):
            await self._refuse(
                caller, made.id, "create", "it would allow more than the token that asks."
            )
        if made.expires_at > shown.expires_at:
            await self._refuse(caller, made.id, "create", "it would outlive the token that asks.")

    async def _refuse(self, caller: Caller, doc_id: str, op_type: str, why: str) -> NoReturn:
        error = Forbidden(
            f"user {caller.user} may not do this: {why}", advice="Log in with `dts login`."
        )
        await self._writer.refused(caller, TOKENS.name, doc_id, op_type, error)
        raise error


def _view(token: Token, caller: Caller, used: Mapping[str, datetime]) -> TokenView:
    return TokenView(
        id=token.id[:ID_LENGTH],
        user=token.user,
        name=token.name,
        scope=token.scope,
        namespaces=token.namespaces,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=used.get(token.id),
        current=token.id == caller.token,
    )
