"""The first administrator of a data folder: made with a random secret, kept in a file that only its owner reads."""

import asyncio
import logging
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from dts_core.errors import Conflict, Unauthenticated
from dts_core.places import ADMIN
from dts_core.private import read_private, write_private
from dts_core.services.sessions import Sessions
from dts_core.services.users import FIRST, Users
from dts_core.views import LoginRequest

__all__ = ["Administrator"]

LOOK_SECONDS: Final = 3600.0
SECRET_BYTES: Final = 24
_log = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """admin.json."""

    user: str
    secret: str = ""
    token: str = ""
    renew_at: datetime = datetime.min.replace(tzinfo=UTC)
    """From when on a start of the server makes a new token."""

    def __repr__(self) -> str:
        return f"_Kept(user={self.user!r})"


class Administrator:
    """Keeps admin.json: user, secret, and a token that counts."""

    def __init__(self, folder: Path, users: Users, sessions: Sessions) -> None:
        self.path = folder / ADMIN
        self._users = users
        self._sessions = sessions

    async def is_new(self) -> bool:
        """Whether there is no user yet: a new data folder."""
        return await self._users.is_empty()

    async def ensure(self) -> None:
        """Make the first administrator where there is no user yet, and see that the token counts."""
        kept = await asyncio.to_thread(self._read)
        if await self.is_new():
            # The file comes first: a secret that only the store knew would lock everybody out.
            kept = _Kept(user=FIRST, secret=secrets.token_urlsafe(SECRET_BYTES))
            await asyncio.to_thread(self._write, kept)
            if not await self._make(kept):
                kept = None
        if kept is None:
            _log.warning("%s is missing: log in with `dts login`", self.path)
        else:
            await self._renew(kept)

    async def _make(self, kept: _Kept) -> bool:
        """Make the administrator; False when another server on the same store was faster: its file holds the secret."""
        try:
            if await self._users.bootstrap(kept.secret):
                return True
        except Conflict:
            _log.debug("the first administrator is there already")
        try:  # a write whose answer was lost may have been our own
            await self._sessions.login(
                LoginRequest(user=kept.user, secret=kept.secret), source="local"
            )
        except Unauthenticated:
            await asyncio.to_thread(self.path.unlink, missing_ok=True)
            return False
        return True

    async def keep(self) -> None:
        """Make a new token whenever half the life of the old one is over, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            kept = await asyncio.to_thread(self._read)
            if kept is not None:
                await self._renew(kept)

    async def _renew(self, kept: _Kept) -> None:
        if datetime.now(UTC) < kept.renew_at and await self._counts(kept.token):
            return
        try:
            answer = await self._sessions.login(
                LoginRequest(user=kept.user, secret=kept.secret), source="local"
            )
        except Unauthenticated:
            _log.warning("%s is out of date: log in with `dts login`", self.path)
            return
        life = answer.expires_at - datetime.now(UTC)
        renewed = msgspec.structs.replace(
            kept, token=answer.token, renew_at=datetime.now(UTC) + max(life / 2, timedelta(0))
        )
        await asyncio.to_thread(self._write, renewed)

    async def _counts(self, token: str) -> bool:
        try:
            await self._sessions.authenticate(token)
        except Unauthenticated:
            return False
        return True

    def _read(self) -> _Kept | None:
        data = read_private(self.path)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=_Kept)
        except msgspec.DecodeError:
            _log.warning("%s is damaged", self.path)
            return None

    def _write(self, kept: _Kept) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(kept)))
