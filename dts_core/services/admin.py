"""The one function that every write of an admin collection goes through: its diff, its operation, its announcement."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, DtsError
from dts_core.model import Change, Function, Namespace, Operation, User, VirtualHost
from dts_core.names import new_id
from dts_core.services.access import Caller
from dts_core.services.chains import Chain
from dts_core.services.counters import Counters
from dts_core.services.documents import Collection, Doc
from dts_core.services.events import EventBus
from dts_core.services.keeping import keep_unknown
from dts_core.services.throttle import Throttle
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import Written

_UNTOLD = frozenset({"revision", "updated_at"})
REFUSALS_PER_MINUTE = 60
"""Refused attempts of one user that are recorded; the others are only counted, so that nobody fills the disk."""


class AdminWriter:
    """Writes admin documents, each with its operation in the same transaction.

    Args:
        store: Where they go.
        clock: For the time of operations.
        bus: Hears of each write.
        counters: Counts writes and refusals.
        key: Secrets appear in operations as a hash with this key; random when empty.
    """

    def __init__(
        self, store: Store, clock: Clock, bus: EventBus, counters: Counters, key: bytes = b""
    ) -> None:
        self._store = store
        self._clock = clock
        self._bus = bus
        self._counters = counters
        self._key = key or secrets.token_bytes(32)
        self._refusals = Throttle(clock, REFUSALS_PER_MINUTE)
        self.chain = Chain(store)
        """Of the operations that go through here."""

    async def write(
        self,
        caller: Caller,
        collection: Collection[Doc],
        before: Doc | None,
        after: Doc | None,
        *,
        op_type: str = "",
        blobs: Sequence[tuple[str, bytes]] = (),
    ) -> Written:
        """Create (`before` None), change or delete (`after` None) one document, durably.

        Args:
            caller: Who writes.
            collection: What is written to.
            before: The document as it was read; the write is refused when it is no longer that revision.
            after: The new document; its revision is set here.
            op_type: What the operation is called when it is not create, update or delete.
            blobs: (sha256 in hex, content) stored in the same transaction.

        Raises:
            Conflict: It exists already, or was changed meanwhile. The attempt is recorded.
            NotFound: It is gone.
        """
        document = after or before
        assert document is not None
        verb = "create" if before is None else "update" if after is not None else "delete"
        was = _revision(before)
        if after is not None and "revision" in after.__struct_fields__:
            after = msgspec.structs.replace(after, revision=was + 1)
        operation = self._operation(caller, collection.name, document.id, op_type or verb)
        operation = msgspec.structs.replace(
            operation, ops=difference(collection, before, after, self._key), revision=was + 1
        )
        stored = None if after is None else await self._stored(collection, before, after)
        try:
            async with self.chain.link(operation) as linked:
                await self._store.write_document(
                    collection.name,
                    document.id,
                    stored,
                    linked,
                    expected_revision=was,
                    revision=was + 1,
                    blobs=blobs,
                )
        except Conflict as error:
            await self.refused(caller, collection.name, document.id, operation.op_type, error)
            raise _conflict(collection.one, document.id, verb) from error
        self._counters.add("dts_admin_writes_total", collection=collection.name, op=verb)
        await self._bus.publish([Change(topic=collection.name, id=document.id, state=verb)])
        return Written(
            operation=verb, id=document.id, revision=was + 1 if after is not None else was
        )

    async def _stored(self, collection: Collection[Doc], before: Doc | None, after: Doc) -> bytes:
        """The document as it is written: with what a newer version has put into it."""
        changed = collection.encode(after)
        stored = before and await self._store.get_document(collection.name, before.id)
        if not stored:
            return changed
        return keep_unknown(stored, collection.encode(collection.decode(stored)), changed)

    async def expect(
        self,
        caller: Caller,
        collection: Collection[Doc],
        document: Function | Namespace | User | VirtualHost,
        revision: int,
        op_type: str,
    ) -> None:
        """Let pass a change that was made on the newest revision, or that names none (0).

        Raises:
            Conflict: The document was changed since. The attempt is recorded.
        """
        if revision in (0, document.revision):
            return
        error = Conflict(
            f"{collection.one} {document.id} was changed meanwhile: "
            f"it has revision {document.revision}, not {revision}.",
            advice="Load it again and repeat the change.",
        )
        await self.refused(caller, collection.name, document.id, op_type, error)
        raise error

    async def record(
        self, caller: Caller, collection: str, doc_id: str, op_type: str, ops: dict[str, Any]
    ) -> None:
        """Record an act that writes no document, durably and before it is done."""
        operation = self._operation(caller, collection, clean(doc_id, 240), op_type)
        async with self.chain.link(msgspec.structs.replace(operation, ops=ops)) as linked:
            await self._store.add_operation(linked)
        self._counters.add("dts_admin_writes_total", collection=collection, op=op_type)

    async def refused(
        self, caller: Caller, collection: str, doc_id: str, op_type: str, why: DtsError
    ) -> None:
        """Record an attempt that was refused; nothing else is written."""
        self._counters.add("dts_refused_total", op=op_type)
        if not self._refusals.admit(caller.user):
            return
        operation = self._operation(caller, collection, clean(doc_id, 240), op_type)
        operation = msgspec.structs.replace(operation, refused=clean(why.message, 400))
        async with self.chain.link(operation) as linked:
            await self._store.add_operation(linked)

    def _operation(self, caller: Caller, collection: str, doc_id: str, op_type: str) -> Operation:
        return Operation(
            id=new_id(),
            collection=collection,
            doc_id=doc_id,
            op_type=op_type,
            operator=caller.user,
            timestamp=self._clock.now(),
            request_id=caller.request_id,
            source=caller.source,
        )


def difference(
    collection: Collection[Doc], before: Doc | None, after: Doc | None, key: bytes
) -> dict[str, Any]:
    """Field -> [before, after] of every field that differs; secrets as a keyed hash."""
    old = {} if before is None else _plain(before)
    new = {} if after is None else _plain(after)
    changed = {}
    for name in collection.kind.__struct_fields__:
        pair = [old.get(name), new.get(name)]
        if name in _UNTOLD or pair[0] == pair[1]:
            continue
        if name in collection.secret:
            pair = [_keyed(value, key) for value in pair]
        elif name in collection.shown:
            pair = [value and collection.shown[name](value) for value in pair]
        changed[name] = pair
    return changed


def _plain(document: Doc) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(document)
    return plain


def _keyed(value: Any, key: bytes) -> str | None:
    if not value:
        return None
    return "hmac:" + hmac.new(key, str(value).encode(), hashlib.sha256).hexdigest()[:32]


def _revision(document: Any) -> int:
    if document is None:
        return 0
    return int(getattr(document, "revision", 1))


def _conflict(one: str, doc_id: str, verb: str) -> Conflict:
    if verb == "create":
        return Conflict(
            f"{one} {doc_id} exists already.", advice="Change it, or choose another _id."
        )
    return Conflict(
        f"{one} {doc_id} was changed meanwhile.", advice="Load it again and repeat the change."
    )
