"""What one admin collection does differently from the others."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from dts_core.clock import Clock
from dts_core.errors import DtsError, NotFound
from dts_core.model import Function, Namespace, User, VirtualHost
from dts_core.names import check_name
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection, given_revision
from dts_core.services.mistakes import Mistakes
from dts_core.stores.base import Store
from dts_core.views import Dependents, Written

Kept = TypeVar("Kept", User, Namespace, Function, VirtualHost)
"""A document that such a collection keeps."""


class Draft(NamedTuple, Generic[Kept]):
    """A document as it is to be written, with the content that belongs to it as (sha256 in hex, bytes)."""

    document: Kept
    blobs: Sequence[tuple[str, bytes]] = ()


class Rules(Generic[Kept]):
    """What a collection says of itself; each of these may be overridden.

    Args:
        collection: Its declaration.
        store: Where it is kept.
        clock: The time of writes.
        writer: Writes it, each with its operation.
    """

    def __init__(
        self, collection: Collection[Kept], store: Store, clock: Clock, writer: AdminWriter
    ) -> None:
        self.collection: Collection[Kept] = collection
        self._store = store
        self._clock = clock
        self._writer = writer

    def view(self, document: Kept) -> Any:
        """The document as it is shown."""
        raise NotImplementedError

    def sees(self, caller: Caller, doc_id: str) -> bool:
        """Whether the document exists for this user."""
        del caller, doc_id
        return True

    def missing(self, doc_id: str) -> NotFound:
        """The error for a document that is not there, or not for this user."""
        return NotFound(f"there is no {self.collection.one} {doc_id[:120]!r}.")

    def check_id(self, doc_id: str) -> None:
        """Let pass what a new document may be called. Raises InvalidInput."""
        check_name(doc_id, what="_id")

    async def allow(self, caller: Caller, doc_id: str, op_type: str) -> None:
        """Let pass who may write this document. Raises Forbidden."""

    async def check(
        self, caller: Caller, doc_id: str, fields: dict[str, Any], mistakes: Mistakes
    ) -> dict[str, Any]:
        """The accepted fields as they are stored; `mistakes` takes what is wrong with them."""
        del caller, doc_id, mistakes
        return fields

    async def check_new(self, doc_id: str, mistakes: Mistakes) -> None:
        """What a new document needs to be there already."""

    async def made(self, caller: Caller, doc_id: str, stored: Mapping[str, Any]) -> Draft[Kept]:
        """The new document."""
        del caller
        now = self._clock.now()
        document = self.collection.kind(id=doc_id, created_at=now, updated_at=now, **stored)
        return Draft(document)

    async def changed(self, caller: Caller, before: Kept, stored: Mapping[str, Any]) -> Draft[Kept]:
        """The document with other fields. Raises InvalidInput."""
        del caller
        return Draft(msgspec.structs.replace(before, updated_at=self._clock.now(), **stored))

    def leaves(self, before: Kept | None) -> Sequence[tuple[str, bytes]]:
        """Content that a removal keeps, as (sha256 in hex, bytes)."""
        del before
        return ()

    async def guard(self, before: Kept, after: Kept | None) -> None:
        """Let pass a change, or a removal, that leaves everything in order. Raises Conflict."""

    async def dependents(self, document: Kept) -> list[Dependents]:
        """What depends on the document."""
        del document
        return []

    async def written(self, before: Kept | None, after: Kept | None, answer: Written) -> Written:
        """After a write was stored: what else is to be done, and the answer."""
        del before, after
        return answer

    async def agree(self, before: Kept, after: Kept | None) -> None:
        """After a write: whether it goes together with what other servers wrote meanwhile.

        Raises:
            DtsError: It does not; the write is taken back.
        """

    async def settle(self, caller: Caller, before: Kept | None, after: Kept | None) -> None:
        """Take back a write that does not agree with those of other servers. Raises as `agree`."""
        if before is None:
            return
        try:
            await self.agree(before, after)
        except DtsError:
            # As the write left it: what somebody has changed since is theirs.
            left = after and msgspec.structs.replace(after, revision=before.revision + 1)
            await self._writer.write(caller, self.collection, left, before, op_type="take back")
            raise

    def alone(self) -> AbstractAsyncContextManager[Any]:
        """Held from the read to the end of a write, where documents of the collection hang together."""
        return nullcontext()

    def revision_of(self, body: Mapping[str, Any]) -> int:
        """The revision that a change was made on; 0 when it names none. Raises InvalidInput."""
        return given_revision(body)
