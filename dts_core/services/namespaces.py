"""Namespaces: who may submit to whose functions."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, InvalidInput, NotFound
from dts_core.model import Namespace
from dts_core.names import check_name
from dts_core.services.access import DTS, EVERYBODY, Caller, parse_role
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import NAMESPACES
from dts_core.services.documents import given_id, given_revision
from dts_core.stores.base import Store
from dts_core.text import clean_lines
from dts_core.views import NamespacePage, NamespaceView, Written

MEMBERS_MAX = 1000


class Namespaces:
    """The namespaces; everybody reads those they are a member of, administrators write."""

    def __init__(self, store: Store, clock: Clock, writer: AdminWriter) -> None:
        self._store = store
        self._clock = clock
        self._writer = writer

    async def page(self, caller: Caller, *, cursor: str = "", limit: int = 100) -> NamespacePage:
        """One page by id, of the namespaces that the caller sees; it may be short yet have a next."""
        found, following = await NAMESPACES.page(self._store, after=cursor, limit=limit)
        items = [_view(namespace) for namespace in found if caller.sees_namespace(namespace.id)]
        return NamespacePage(items=items, next=following)

    async def get(self, caller: Caller, name: str) -> NamespaceView:
        """One namespace.

        Raises:
            NotFound: There is none that the caller sees.
        """
        if not caller.sees_namespace(name):
            raise NotFound(f"there is no namespace {name[:120]!r}.")
        return _view(await NAMESPACES.load(self._store, name))

    async def create(self, caller: Caller, body: Mapping[str, Any]) -> Written:
        """Create a namespace from `_id`, `description` and `members`.

        Raises:
            InvalidInput: A field is wrong.
            Conflict: It exists.
        """
        name = check_name(given_id(body), what="_id")
        if name == DTS:
            raise InvalidInput(
                f"namespace {DTS} is the control side's own.", fields={"_id": "reserved"}
            )
        fields = _checked(NAMESPACES.accept(body, besides=("_id",)))
        now = self._clock.now()
        made = Namespace(id=name, created_at=now, updated_at=now, **fields)
        return await self._writer.write(caller, NAMESPACES, None, made)

    async def update(self, caller: Caller, name: str, body: Mapping[str, Any]) -> Written:
        """Change `description` or `members` (the whole map); a stale `revision` is refused.

        Raises:
            InvalidInput: A field is wrong.
            NotFound: There is none.
            Conflict: It was changed meanwhile.
        """
        fields = _checked(NAMESPACES.accept(body, besides=("revision",)))
        before = await NAMESPACES.load(self._store, name)
        await self._writer.expect(caller, NAMESPACES, before, given_revision(body), "update")
        after = msgspec.structs.replace(before, updated_at=self._clock.now(), **fields)
        return await self._writer.write(caller, NAMESPACES, before, after)

    async def delete(self, caller: Caller, name: str, *, revision: int = 0) -> Written:
        """Remove a namespace that has no functions any more.

        Raises:
            Conflict: It still has functions, or was changed meanwhile.
            NotFound: There is none.
        """
        before = await NAMESPACES.load(self._store, name)
        await self._writer.expect(caller, NAMESPACES, before, revision, "delete")
        if await self._store.find_documents("functions", prefix=f"{name}/", limit=1):
            raise Conflict(
                f"namespace {name} still has functions.", advice="Delete its functions first."
            )
        return await self._writer.write(caller, NAMESPACES, before, None)


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Clean the description, check the members."""
    if "description" in fields:
        fields["description"] = clean_lines(fields["description"], 2000)
    members = fields.get("members", {})
    if len(members) > MEMBERS_MAX:
        raise InvalidInput(
            f"{len(members)} members are more than {MEMBERS_MAX}.",
            fields={"members": f"at most {MEMBERS_MAX}"},
        )
    for user, role in members.items():
        if user != EVERYBODY:
            check_name(user, what="members")
        parse_role(role)
    return fields


def _view(namespace: Namespace) -> NamespaceView:
    return NamespaceView(
        id=namespace.id,
        description=namespace.description,
        members=namespace.members,
        created_at=namespace.created_at,
        updated_at=namespace.updated_at,
        revision=namespace.revision,
    )
