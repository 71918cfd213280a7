"""Users: who may ask at all, and as what."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, Forbidden, InvalidInput
from dts_core.model import JobQuery, User
from dts_core.names import is_name
from dts_core.services.access import DTS, Caller, Role, check_own_secret
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import NAMESPACES
from dts_core.services.documents import Collection, declared
from dts_core.services.functions import FUNCTIONS
from dts_core.services.mailaddress import check_address, check_groups
from dts_core.services.mistakes import Mistakes
from dts_core.services.passwords import Passwords
from dts_core.services.resources.base import Resource
from dts_core.services.resources.depending import OPEN, SHOWN, holding, some
from dts_core.services.resources.rules import Draft
from dts_core.stores.base import Store
from dts_core.views import Dependents, UserDocument
from dts_core.views.declared import RoleName, UserFields

USERS: Final = Collection[User](
    name="users",
    one="user",
    kind=User,
    fields=declared(UserFields),
    secret=frozenset({"secret_hash"}),
    document=UserDocument,
    needs=("secret",),
    filters={"role": RoleName, "disabled": bool, "groups": str},
    sorts=("id", "role", "disabled", "address", "created_at", "updated_at"),
    texts=("address",),
)
FIRST = "admin"
"""Name of the first administrator."""
LOCAL = Caller(user="local", role=Role.ADMIN, source="local")
"""Who acts when the owner of the data folder sets it up."""


class Users(Resource[User]):
    """The users; there is no default account. Only administrators come here."""

    def __init__(
        self, store: Store, clock: Clock, writer: AdminWriter, passwords: Passwords
    ) -> None:
        super().__init__(USERS, store, clock, writer)
        self._passwords = passwords
        self._lock = asyncio.Lock()

    async def bootstrap(self, secret: str) -> bool:
        """Create the first administrator, `admin`, in a store without users; False when there is one already."""
        if not await self.is_empty():
            return False
        await self.create(LOCAL, {"_id": FIRST, "role": "admin", "secret": secret})
        return True

    async def is_empty(self) -> bool:
        """Whether there is no user at all."""
        return not await self._store.find_documents(USERS.name, limit=1)

    def view(self, document: User) -> UserDocument:
        """A user as shown; the secret never leaves."""
        return UserDocument(
            _id=document.id,
            role=document.role,  # type: ignore[typeddict-item]  # checked when it was given
            disabled=document.disabled,
            address=document.address,
            groups=document.groups,
            created_at=document.created_at,
            updated_at=document.updated_at,
            revision=document.revision,
        )

    def check_id(self, doc_id: str) -> None:
        """A name, and none that the control side acts under. What is none is not repeated: it may be a secret."""
        if not is_name(doc_id):
            raise InvalidInput(
                "the _id is no name of a user.",
                fields={"_id": "lower-case letters, digits and _, parts joined by dots"},
                advice="Use lower-case letters, digits and _, starting with a letter.",
            )
        if doc_id in (DTS, LOCAL.user):
            raise InvalidInput(
                f"{doc_id} is what the control side calls itself.", fields={"_id": "reserved"}
            )

    async def check(
        self, caller: Caller, doc_id: str, fields: dict[str, Any], mistakes: Mistakes
    ) -> dict[str, Any]:
        """The fields as they are stored: address and groups checked, the secret hashed.

        Raises:
            Forbidden: An access token would change the secret of its own user. The attempt is recorded.
        """
        if "secret" in fields and doc_id == caller.user:
            try:
                check_own_secret(caller)
            except Forbidden as error:
                await self._writer.refused(caller, USERS.name, doc_id, "update", error)
                raise
        stored = {name: value for name, value in fields.items() if name != "secret"}
        if "address" in fields:
            with mistakes.at("address"):
                stored["address"] = check_address(fields["address"])
        if "groups" in fields:
            with mistakes.at("groups"):
                stored["groups"] = check_groups(fields["groups"])
        if "secret" in fields:
            with mistakes.at("secret"):
                stored["secret_hash"] = await self._passwords.hash(fields["secret"])
        return stored

    async def changed(self, caller: Caller, before: User, stored: Mapping[str, Any]) -> Draft[User]:
        """The user with other fields; disabling ends their tokens for good."""
        draft = await super().changed(caller, before, stored)
        after = draft.document
        if after.disabled and not before.disabled:
            after = msgspec.structs.replace(after, tokens_ended=after.tokens_ended + 1)
        return Draft(after)

    async def guard(self, before: User, after: User | None) -> None:
        """Somebody stays administrator."""
        if not _rules(before) or (after is not None and _rules(after)):
            return
        cursor = ""
        while True:
            found, cursor = await USERS.page(self._store, after=cursor, limit=500)
            if any(_rules(user) for user in found if user.id != before.id):
                return
            if not cursor:
                raise Conflict(
                    f"user {before.id} is the last administrator.",
                    advice="Make somebody else administrator first.",
                )

    async def agree(self, before: User, after: User | None) -> None:
        """Two administrators who are put out at once by two servers: one stays."""
        await self.guard(before, after)

    def alone(self) -> asyncio.Lock:
        """Whether somebody stays administrator is looked at by one write at a time."""
        return self._lock

    async def dependents(self, document: User) -> list[Dependents]:
        """Functions they own, namespaces they are a member of, jobs of theirs that are not over."""
        name = document.id
        record = await self._store.submitter_record(name)
        jobs = sum(record.counts.get(state, 0) for state in OPEN)
        page = await self._store.find_jobs(JobQuery(submitter=name, state=OPEN, limit=SHOWN))
        found = [
            await holding(self._store, FUNCTIONS, {"owner": name}),
            await holding(self._store, NAMESPACES, {"members": name}),
            some("jobs", [job.id for job in page.items], total=jobs),
        ]
        return [each for each in found if each.total]


def _rules(user: User) -> bool:
    return user.role == "admin" and not user.disabled
