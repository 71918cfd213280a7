"""Logins: a token made from a secret, shown with each request, ended by logout, by disabling, by a changed secret."""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, DtsError, Forbidden, InvalidInput, NotFound, Unauthenticated
from dts_core.model import Change, Token, User
from dts_core.names import is_name
from dts_core.services.access import FULL, ROLES, Caller, Role, Scope, check_own_secret
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import Directory
from dts_core.services.events import EventBus
from dts_core.services.passwords import Passwords
from dts_core.services.seals import (
    PREFIX,
    TOKENS,
    digest_of,
    living,
    scope_of,
    seal_of,
)
from dts_core.services.throttle import Throttle
from dts_core.services.users import USERS
from dts_core.stores.base import Store
from dts_core.views import LoginAnswer, LoginRequest, SecretChange

RECHECK_SECONDS: Final = 1.0
"""Age at which a token that is known in memory is looked up in the store again."""
KNOWN_MAX: Final = 10_000
NO_NAME: Final = "-"
"""Who tried to log in, when it was no name of a user."""
PER_ACCOUNT: Final = 10
PER_ADDRESS: Final = 30
"""Logins in a minute."""
MARK_SECONDS: Final = 60.0
"""How exactly it is known when an access token was last used."""
_log = logging.getLogger(__name__)


class _Known(msgspec.Struct, kw_only=True):
    user: str
    role: Role
    scope: Scope
    is_program: bool
    expires_at: datetime
    checked_at: float
    marked_at: float
    held: object = None
    """That of which `memberships` is what the scope leaves."""
    memberships: Mapping[str, str] = {}


class Sessions:
    """Logs in, recognises and logs out."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        bus: EventBus,
        writer: AdminWriter,
        passwords: Passwords,
        directory: Directory,
        *,
        token_hours: float,
    ) -> None:
        self._store = store
        self._clock = clock
        self._writer = writer
        self._passwords = passwords
        self._directory = directory
        self._token_hours = token_hours
        self._accounts = Throttle(clock, PER_ACCOUNT)
        self._addresses = Throttle(clock, PER_ADDRESS)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._generation = 0
        bus.listen(self._hear)

    async def login(
        self, request: LoginRequest, *, source: str = "", request_id: str = ""
    ) -> LoginAnswer:
        """Exchange a user's secret for a token. An unknown user takes as long and is told the same as a wrong secret.

        Raises:
            Throttled: Too many tries of this account or from this address; nothing was compared.
            Unauthenticated: The user or the secret is wrong. The attempt is recorded.
        """
        self._addresses.check(source, "logins from this address")
        self._accounts.check(request.user[:200], "logins of this user")
        user = await USERS.find(self._store, request.user) if len(request.user) <= 120 else None
        right = await self._passwords.verify(user.secret_hash if user else "", request.secret)
        # What cannot be a name may be a secret in the wrong field: it is not recorded.
        name = request.user if is_name(request.user) else NO_NAME
        caller = Caller(user=name, role=Role.VIEWER, request_id=request_id, source=source)
        if user is None or not right or user.disabled:
            error = Unauthenticated(
                "the user or the secret is wrong.", advice="Check both and log in again."
            )
            await self._writer.refused(caller, TOKENS.name, caller.user, "login", error)
            raise error
        self._accounts.forget(request.user[:200])
        return await self.issue(user, request.hours, caller)

    async def issue(self, user: User, hours: float, caller: Caller) -> LoginAnswer:
        """A token for a user whose right to it was checked; `hours` 0 is the setting, and never more than that.

        Raises:
            InvalidInput: `hours` is negative or beyond a year.
        """
        if not 0 <= hours <= 24 * 366:
            raise InvalidInput(
                "hours must lie between 0 and 8784.", fields={"hours": "a number from 0 to 8784"}
            )
        token = PREFIX + secrets.token_urlsafe(32)
        now = self._clock.now()
        made = Token(
            id=digest_of(token),
            user=user.id,
            created_at=now,
            expires_at=now + timedelta(hours=min(hours or self._token_hours, self._token_hours)),
            seal=seal_of(user, ""),
        )
        await self._writer.write(caller, TOKENS, None, made, op_type="login")
        return LoginAnswer(token=token, user=user.id, role=user.role, expires_at=made.expires_at)

    async def logout(self, caller: Caller) -> None:
        """End the caller's token everywhere. A second call does nothing."""
        await self.end(caller, caller.token, op_type="logout")

    async def end(self, caller: Caller, token_id: str, *, op_type: str = "") -> bool:
        """End a token everywhere; False when it was ended already."""
        try:
            while (token := await TOKENS.find(self._store, token_id)) is not None:
                try:
                    await self._writer.write(caller, TOKENS, token, None, op_type=op_type)
                except Conflict as error:
                    _log.debug("a token changed while it was ended: %s", error)
                else:
                    return True
        except NotFound as error:
            _log.debug("a token was ended twice: %s", error)
        finally:
            self._known.pop(token_id, None)
        return False

    async def change_secret(self, caller: Caller, change: SecretChange) -> None:
        """Give oneself a new secret for the one that counts now; every token but the caller's ends with it.

        Raises:
            Forbidden: The caller shows an access token.
            Throttled: Too many tries; nothing was compared.
            InvalidInput: The old secret is wrong, or the new one is no secret. The attempt is recorded.
            Unauthenticated: The caller's token has ended meanwhile.
            Conflict: The user was changed meanwhile.
        """
        try:
            check_own_secret(caller)
            self._accounts.check(caller.user, "logins of this user")
            token, user = await self.look_again(caller)
            if not await self._passwords.verify(user.secret_hash, change.secret):
                raise InvalidInput(
                    "the secret is wrong.", fields={"secret": "the one that counts now"}
                )
            made = await self._passwords.hash(change.new_secret, field="new_secret")
        except (Forbidden, InvalidInput) as error:
            await self._writer.refused(caller, USERS.name, caller.user, "update", error)
            raise
        self._accounts.forget(caller.user)
        now = self._clock.now()
        changed = msgspec.structs.replace(user, secret_hash=made, updated_at=now)
        await self._writer.write(caller, USERS, user, changed)
        sealed = msgspec.structs.replace(token, seal=seal_of(changed, token.scope))
        try:
            await self._writer.write(caller, TOKENS, token, sealed)
        except (Conflict, NotFound) as error:
            _log.info("who changed their secret must log in again: %s", error)

    async def authenticate(self, token: str, *, source: str = "", request_id: str = "") -> Caller:
        """Who shows this token.

        Raises:
            Unauthenticated: Unknown, expired, ended, or its user is disabled or gone.
        """
        digest = digest_of(token)
        known = self._known.get(digest)
        if known is None or self._clock.monotonic() - known.checked_at >= RECHECK_SECONDS:
            known = await self._look_up(digest, token)
        if known.expires_at <= self._clock.now():
            raise Unauthenticated("the token has expired.")
        return Caller(
            user=known.user,
            role=known.scope.lower(known.role),
            memberships=await self._memberships(known),
            token=digest,
            request_id=request_id,
            source=source,
            scope=known.scope,
            is_program=known.is_program,
            owner=known.role,
        )

    async def look_again(self, caller: Caller) -> tuple[Token, User]:
        """The caller's token and user as they are stored now, for what outlives the request.

        Raises:
            Unauthenticated: It has ended meanwhile.
        """
        found = await living(self._store, caller.token)
        if found is None:
            raise Unauthenticated("the token is not known here, or was ended.")
        return found

    async def sweep(self) -> int:
        """Remove tokens that expired; returns how many."""
        cursor, removed = "", 0
        caller = Caller(user="dts", role=Role.ADMIN, source="sweep")
        while True:
            found, cursor = await TOKENS.page(self._store, after=cursor, limit=500)
            for token in found:
                try:
                    if token.expires_at <= self._clock.now() or await self._is_dead(token):
                        await self._writer.write(caller, TOKENS, token, None)
                        removed += 1
                except DtsError as error:
                    _log.info("a token that does not count any more stays for now: %s", error)
            if not cursor:
                return removed

    async def _is_dead(self, token: Token) -> bool:
        """Whether whom or what it hung on is gone. Seals are not looked at: a newer version's may be others."""
        if await USERS.find(self._store, token.user) is None:
            return True
        return bool(token.parent) and await TOKENS.find(self._store, token.parent) is None

    async def _memberships(self, known: _Known) -> Mapping[str, str]:
        held = await self._directory.memberships(known.user)
        if known.scope == FULL:
            return held
        everywhere = await self._directory.namespaces()
        source: object = everywhere if known.role is Role.ADMIN else held
        if source is not known.held:
            known.memberships = known.scope.narrow(known.role, held, everywhere)
            known.held = source
        return known.memberships

    async def _look_up(self, digest: str, token: str) -> _Known:
        generation, started = self._generation, self._clock.monotonic()
        former = self._known.pop(digest, None)
        lives = await living(self._store, digest) if token.startswith(PREFIX) else None
        if lives is None:
            raise Unauthenticated("the token is not known here, or was ended.")
        found, user = lives
        # What was written during the look-up may be missing from it: then it counts for this request only.
        checked = started if generation == self._generation else float("-inf")
        known = _Known(
            user=user.id,
            role=ROLES[user.role],
            scope=scope_of(found),
            is_program=bool(found.scope),
            expires_at=found.expires_at,
            checked_at=checked,
            marked_at=former.marked_at if former else float("-inf"),
        )
        await self._mark(found, known)
        self._known[digest] = known
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known

    async def _mark(self, token: Token, known: _Known) -> None:
        """Remember the use of an access token, once a minute; that it cannot be kept is no reason to refuse it."""
        now = self._clock.monotonic()
        if not token.scope or now - known.marked_at < MARK_SECONDS:
            return
        known.marked_at = now
        try:
            await self._store.mark(TOKENS.name, token.id, self._clock.now())
        except DtsError as error:
            _log.info("the use of an access token was not kept: %s", error)

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.topic == TOKENS.name:
                self._generation += 1
                self._known.pop(change.id, None)
            elif change.topic == USERS.name:
                self._generation += 1
                for digest in [d for d, known in self._known.items() if known.user == change.id]:
                    del self._known[digest]
