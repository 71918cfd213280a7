"""Users: who may ask at all, and as what."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, InvalidInput
from dts_core.model import User
from dts_core.names import check_name
from dts_core.services.access import Caller, Role, parse_role
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection, given_id, given_revision
from dts_core.services.passwords import Passwords
from dts_core.stores.base import Store
from dts_core.views import UserPage, UserView, Written

USERS: Final = Collection[User](
    name="users",
    one="user",
    kind=User,
    fields={"role": str, "secret": str, "disabled": bool},
    secret=frozenset({"secret_hash"}),
)
FIRST = "admin"
"""Name of the first administrator."""
LOCAL = Caller(user="local", role=Role.ADMIN, source="local")
"""Who acts when the owner of the data folder sets it up."""


class Users:
    """The users; there is no default account. Only administrators come here."""

    def __init__(
        self, store: Store, clock: Clock, writer: AdminWriter, passwords: Passwords
    ) -> None:
        self._store = store
        self._clock = clock
        self._writer = writer
        self._passwords = passwords

    async def bootstrap(self, secret: str) -> bool:
        """Create the first administrator, `admin`, in a store without users; False when there is one already."""
        if await self._store.find_documents(USERS.name, limit=1):
            return False
        await self.create(LOCAL, {"_id": FIRST, "role": "admin", "secret": secret})
        return True

    async def page(self, *, cursor: str = "", limit: int = 100) -> UserPage:
        """One page by id."""
        found, following = await USERS.page(self._store, after=cursor, limit=limit)
        return UserPage(items=[_view(user) for user in found], next=following)

    async def get(self, name: str) -> UserView:
        """One user.

        Raises:
            NotFound: There is none.
        """
        return _view(await USERS.load(self._store, name))

    async def create(self, caller: Caller, body: Mapping[str, Any]) -> Written:
        """Create a user from `_id`, `secret`, `role` and `disabled`.

        Raises:
            InvalidInput: A field is wrong, or the secret is missing.
            Conflict: The user exists.
        """
        name = check_name(given_id(body), what="_id")
        fields = USERS.accept(body, besides=("_id",))
        if "secret" not in fields:
            raise InvalidInput("a user needs a secret.", fields={"secret": "required"})
        now = self._clock.now()
        made = User(id=name, created_at=now, updated_at=now, **await self._stored(fields))
        return await self._writer.write(caller, USERS, None, made)

    async def update(self, caller: Caller, name: str, body: Mapping[str, Any]) -> Written:
        """Change role, secret or disabled; a new secret and disabling end the user's tokens.

        Raises:
            InvalidInput: A field is wrong.
            NotFound: There is no such user.
            Conflict: Changed meanwhile, or nobody would be left as administrator.
        """
        fields = USERS.accept(body, besides=("revision",))
        before = await USERS.load(self._store, name)
        await self._writer.expect(caller, USERS, before, given_revision(body), "update")
        after = msgspec.structs.replace(
            before, updated_at=self._clock.now(), **await self._stored(fields)
        )
        if _rules(before) and not _rules(after):
            await self._keep_one(name)
        return await self._writer.write(caller, USERS, before, after)

    async def delete(self, caller: Caller, name: str, *, revision: int = 0) -> Written:
        """Remove a user; their tokens end, their jobs stay.

        Raises:
            NotFound: There is none.
            Conflict: Changed meanwhile, or nobody would be left as administrator.
        """
        before = await USERS.load(self._store, name)
        await self._writer.expect(caller, USERS, before, revision, "delete")
        if _rules(before):
            await self._keep_one(name)
        return await self._writer.write(caller, USERS, before, None)

    async def _stored(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields as they are stored: the role checked, the secret hashed."""
        if "role" in fields:
            parse_role(fields["role"])
        stored = {name: value for name, value in fields.items() if name != "secret"}
        if "secret" in fields:
            stored["secret_hash"] = await self._passwords.hash(fields["secret"])
        return stored

    async def _keep_one(self, leaving: str) -> None:
        cursor = ""
        while True:
            found, cursor = await USERS.page(self._store, after=cursor, limit=500)
            if any(_rules(user) for user in found if user.id != leaving):
                return
            if not cursor:
                raise Conflict(
                    f"user {leaving} is the last administrator.",
                    advice="Make somebody else administrator first.",
                )


def _rules(user: User) -> bool:
    return user.role == "admin" and not user.disabled


def _view(user: User) -> UserView:
    return UserView(
        id=user.id,
        role=user.role,
        disabled=user.disabled,
        created_at=user.created_at,
        updated_at=user.updated_at,
        revision=user.revision,
    )
