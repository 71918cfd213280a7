"""Namespaces: who may submit to whose functions."""

from typing import Any

from dts_core.clock import Clock
from dts_core.errors import InvalidInput
from dts_core.model import Namespace
from dts_core.names import check_name
from dts_core.services.access import DTS, EVERYBODY, Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.directory import NAMESPACES
from dts_core.services.functions import FUNCTIONS
from dts_core.services.mistakes import Mistakes
from dts_core.services.resources.base import Resource, refused_removal
from dts_core.services.resources.depending import holding
from dts_core.stores.base import Store
from dts_core.text import clean_lines
from dts_core.views import Dependents, NamespaceDocument
from dts_core.views.declared import DESCRIPTION_MAX

MEMBERS_MAX = 1000


class Namespaces(Resource[Namespace]):
    """The namespaces; everybody reads those they are a member of, administrators write."""

    def __init__(self, store: Store, clock: Clock, writer: AdminWriter) -> None:
        super().__init__(NAMESPACES, store, clock, writer)

    def view(self, document: Namespace) -> NamespaceDocument:
        """A namespace as shown."""
        return NamespaceDocument(
            _id=document.id,
            description=document.description,
            members=document.members,  # type: ignore[typeddict-item]  # checked when they were given
            created_at=document.created_at,
            updated_at=document.updated_at,
            revision=document.revision,
        )

    def sees(self, caller: Caller, doc_id: str) -> bool:
        """Members and administrators."""
        return caller.sees_namespace(doc_id)

    def check_id(self, doc_id: str) -> None:
        """A name that is not reserved."""
        super().check_id(doc_id)
        if doc_id == DTS:
            raise InvalidInput(
                f"namespace {DTS} is the control side's own.", fields={"_id": "reserved"}
            )

    async def check(
        self, caller: Caller, doc_id: str, fields: dict[str, Any], mistakes: Mistakes
    ) -> dict[str, Any]:
        """The description cleaned, the members' names checked."""
        stored = dict(fields)
        if "description" in fields:
            stored["description"] = clean_lines(fields["description"], DESCRIPTION_MAX)
        members = fields.get("members", {})
        if len(members) > MEMBERS_MAX:
            mistakes.add("members", f"at most {MEMBERS_MAX}, not {len(members)}")
        for user in members:
            if user != EVERYBODY:
                with mistakes.at("members"):
                    check_name(user, what="members")
        return stored

    async def dependents(self, document: Namespace) -> list[Dependents]:
        """Its functions."""
        functions = await holding(self._store, FUNCTIONS, {}, prefix=f"{document.id}/")
        return [functions] if functions.total else []

    async def guard(self, before: Namespace, after: Namespace | None) -> None:
        """One that still has functions stays."""
        if after is None and (found := await self.dependents(before)):
            raise refused_removal(
                f"namespace {before.id}", found, advice="Delete its functions first."
            )
