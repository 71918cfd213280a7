"""Tokens: made from a secret, shown with each request, ended by logout, by disabling and by a changed secret."""

import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import DtsError, InvalidInput, NotFound, Unauthenticated
from dts_core.model import Change, Token, User
from dts_core.names import is_name
from dts_core.services.access import ROLES, Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import Directory
from dts_core.services.documents import Collection
from dts_core.services.events import EventBus
from dts_core.services.passwords import Passwords
from dts_core.services.throttle import Throttle
from dts_core.services.users import USERS
from dts_core.stores.base import Store
from dts_core.views import LoginAnswer, LoginRequest

TOKENS: Final = Collection[Token](
    name="tokens", one="token", kind=Token, fields={}, secret=frozenset({"seal"})
)
PREFIX: Final = "dts_"
RECHECK_SECONDS: Final = 1.0
"""Age at which a token that is known in memory is looked up in the store again."""
KNOWN_MAX: Final = 10_000
NO_NAME: Final = "-"
"""Who tried to log in, when it was no name of a user."""
PER_ACCOUNT: Final = 10
PER_ADDRESS: Final = 30
"""Logins in a minute."""
_log = logging.getLogger(__name__)


class _Known(msgspec.Struct):
    user: str
    role: Role
    expires_at: datetime
    checked_at: float


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
            id=_digest(token),
            user=user.id,
            created_at=now,
            expires_at=now + timedelta(hours=min(hours or self._token_hours, self._token_hours)),
            seal=_seal(user),
        )
        await self._writer.write(caller, TOKENS, None, made, op_type="login")
        return LoginAnswer(token=token, user=user.id, role=user.role, expires_at=made.expires_at)

    async def logout(self, caller: Caller) -> None:
        """End the caller's token everywhere. A second call does nothing."""
        token = await TOKENS.find(self._store, caller.token)
        if token is not None:
            try:
                await self._writer.write(caller, TOKENS, token, None, op_type="logout")
            except NotFound as error:
                _log.debug("a token was ended twice: %s", error)
        self._known.pop(caller.token, None)

    async def authenticate(self, token: str, *, source: str = "", request_id: str = "") -> Caller:
        """Who shows this token.

        Raises:
            Unauthenticated: Unknown, expired, ended, or its user is disabled or gone.
        """
        digest = _digest(token)
        known = self._known.get(digest)
        if known is None or self._clock.monotonic() - known.checked_at >= RECHECK_SECONDS:
            known = await self._look_up(digest, token)
        if known.expires_at <= self._clock.now():
            raise Unauthenticated("the token has expired.")
        return Caller(
            user=known.user,
            role=known.role,
            memberships=await self._directory.memberships(known.user),
            token=digest,
            request_id=request_id,
            source=source,
        )

    async def sweep(self) -> int:
        """Remove tokens that expired; returns how many."""
        cursor, removed = "", 0
        caller = Caller(user="dts", role=Role.ADMIN, source="sweep")
        while True:
            found, cursor = await TOKENS.page(self._store, after=cursor, limit=500)
            for token in found:
                if token.expires_at <= self._clock.now():
                    try:
                        await self._writer.write(caller, TOKENS, token, None)
                    except DtsError as error:
                        _log.info("an expired token stays for now: %s", error)
                    else:
                        removed += 1
            if not cursor:
                return removed

    async def _look_up(self, digest: str, token: str) -> _Known:
        generation, started = self._generation, self._clock.monotonic()
        self._known.pop(digest, None)
        found = await TOKENS.find(self._store, digest) if token.startswith(PREFIX) else None
        user = await USERS.find(self._store, found.user) if found is not None else None
        if found is None or user is None or user.disabled or found.seal != _seal(user):
            raise Unauthenticated("the token is not known here, or was ended.")
        # What was written during the look-up may be missing from it: then it counts for this request only.
        checked = started if generation == self._generation else float("-inf")
        known = _Known(user.id, ROLES[user.role], found.expires_at, checked)
        self._known[digest] = known
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.topic == TOKENS.name:
                self._generation += 1
                self._known.pop(change.id, None)
            elif change.topic == USERS.name:
                self._generation += 1
                for digest in [d for d, known in self._known.items() if known.user == change.id]:
                    del self._known[digest]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _seal(user: User) -> str:
    return hashlib.sha256(user.secret_hash.encode()).hexdigest()[:16]
