"""Admin documents of the MongoDB store, each write with its audit record; and content by its hash.

A write is one guarded write of one document, which also carries what goes with it: its operation and its content. That
write is the commit. What it carries is moved to its own collections right after; whoever reads operations or content
moves first what a crash left, so that nobody ever sees half of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from dts_core.errors import Conflict, NotFound
from dts_core.model import Operation
from dts_core.stores.base import Recorded
from dts_core.stores.fields import micros
from dts_core.stores.limits import DOCUMENTS_MAX
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    VERSION,
    Doc,
    DuplicateKeyError,
    UpdateOne,
    deadlined,
    upsert,
)
from dts_core.stores.mongodb.naming import LAST, name_of
from dts_core.stores.mongodb.ordering import SortedDocuments, place_of
from dts_core.stores.mongodb.positions import FIGURES, next_number
from dts_core.stores.operations import readable

_SETTLED_AT_ONCE: Final = 100
_encoder = msgspec.msgpack.Encoder()
_operation = msgspec.msgpack.Decoder(Operation)


class Documents(SortedDocuments):
    """The DocumentStore."""

    @deadlined
    async def get_document(self, collection: str, doc_id: str) -> bytes | None:
        """See DocumentStore."""
        found = await self._in("documents").find_one(
            {"_id": name_of(collection, doc_id), "gone": False}, {"doc": 1}
        )
        return None if found is None else bytes(found["doc"])

    @deadlined
    async def find_documents(
        self, collection: str, *, after: str = "", limit: int = 500, prefix: str = ""
    ) -> list[tuple[str, bytes]]:
        """See DocumentStore; at most 1,000."""
        start = name_of(collection, "")
        bounds = {
            "$gt": start + after,
            "$gte": start + prefix,
            "$lte": start + prefix + LAST,
        }
        found = (
            self._in("documents")
            .find({"_id": bounds, "gone": False}, {"doc": 1})
            .sort("_id", ASCENDING)
            .limit(min(limit, DOCUMENTS_MAX))
        )
        return [(each["_id"].removeprefix(start), bytes(each["doc"])) async for each in found]

    @deadlined
    async def write_document(
        self,
        collection: str,
        doc_id: str,
        document: bytes | None,
        operation: Operation,
        *,
        expected_revision: int | None = None,
        revision: int = 1,
        blobs: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """See DocumentStore. Without `expected_revision` any revision is changed or deleted."""
        name = name_of(collection, doc_id)
        carried = {
            "seq": operation.position or await self.next_operation(),
            "operation": _encoder.encode(operation),
            "blobs": [{"hash": digest, "data": data} for digest, data in dict(blobs).items()],
        }
        if expected_revision == 0:
            await self._create(name, document, revision, carried)
        else:
            await self._change(name, document, revision, expected_revision, carried)
        await self._settle(name)

    @deadlined
    async def next_operation(self) -> int:
        """See DocumentStore."""
        return await next_number(self._in(FIGURES), "operations")

    @deadlined
    async def add_operation(self, operation: Operation) -> None:
        """See DocumentStore."""
        position = operation.position or await self.next_operation()
        await self._keep_operation(position, operation, _encoder.encode(operation))

    @deadlined
    async def operations(
        self,
        *,
        collection: str = "",
        doc_id: str = "",
        operator: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        after: int = 0,
        limit: int = 50,
    ) -> list[tuple[int, Operation]]:
        """See DocumentStore."""
        filters: list[tuple[str, str, str | int | None]] = [
            ("collection", "$eq", collection or None),
            ("doc_id", "$eq", doc_id or None),
            ("operator", "$eq", operator or None),
            ("at", "$gte", None if since is None else micros(since)),
            ("at", "$lt", None if until is None else micros(until)),
            ("seq", "$lt", before or 1 << 62),
            ("seq", "$gt", after or None),
        ]
        where: Doc = {}
        for field, relation, value in filters:
            if value is not None:
                where.setdefault(field, {})[relation] = value
        found = await self._recorded(where, ASCENDING if after else DESCENDING, limit)
        newest_first = found[::-1] if after else found
        return [(each.position, readable(each)) for each in newest_first]

    @deadlined
    async def find_operation(self, operation_id: str) -> tuple[int, Operation] | None:
        """See DocumentStore."""
        found = await self._recorded({"_id": operation_id}, DESCENDING, 1)
        return (found[0].position, readable(found[0])) if found else None

    @deadlined
    async def recorded(self, *, after: int = 0, limit: int = 200) -> list[Recorded]:
        """See DocumentStore."""
        return await self._recorded({"seq": {"$gt": after}}, ASCENDING, limit)

    async def _recorded(self, where: Doc, order: int, limit: int) -> list[Recorded]:
        await self._settle_all()
        found = (
            self._in("operations").find(where).sort("seq", order).limit(min(limit, DOCUMENTS_MAX))
        )
        return [
            Recorded(
                each["seq"],
                str(each["_id"]),
                each["collection"],
                each["doc_id"],
                each["operator"],
                each["at"],
                bytes(each["doc"]),
            )
            async for each in found
        ]

    @deadlined
    async def get_blob(self, digest: str) -> bytes | None:
        """See DocumentStore."""
        found = await self._in("blobs").find_one({"_id": digest}, {"data": 1})
        if found is None and await self._settle_all():
            found = await self._in("blobs").find_one({"_id": digest}, {"data": 1})
        return None if found is None else bytes(found["data"])

    async def _create(self, name: str, document: bytes | None, revision: int, carried: Doc) -> None:
        made = {
            "_id": name,
            "v": VERSION,
            "revision": revision,
            "doc": document,
            "gone": False,
            "carries": [carried],
            **place_of(name, document, revision),
        }
        try:
            await self._in("documents").insert_one(made)
        except DuplicateKeyError:
            # What was deleted and not cleared away yet stands in nobody's way.
            if await self._settle(name):
                return await self._create(name, document, revision, carried)
            raise Conflict(
                f"{_words(name)} exists already.", advice="Change it, or choose another name."
            ) from None

    async def _change(
        self,
        name: str,
        document: bytes | None,
        revision: int,
        expected: int | None,
        carried: Doc,
    ) -> None:
        guard: Doc = {"_id": name, "gone": False}
        if expected is not None:
            guard["revision"] = expected
        sets: Doc = {"gone": True}
        if document is not None:
            sets = {"doc": document, "revision": revision, **place_of(name, document, revision)}
        documents = self._in("documents")
        result = await documents.update_one(guard, {"$set": sets, "$push": {"carries": carried}})
        if result.matched_count:
            return
        stands = await documents.find_one({"_id": name, "gone": False}, {"revision": 1})
        if stands is None:
            raise NotFound(f"there is no {_words(name)}.")
        raise Conflict(
            f"{_words(name)} has revision {stands['revision']} by now, not {expected}.",
            advice="Look at the newer one and write again.",
        )

    async def _settle_all(self) -> bool:
        """Move what a crash left behind; whether there was any."""
        settled = False
        while True:
            found = self._in("documents").find({"carries.seq": {"$gt": 0}}, {"_id": 1})
            names = [each["_id"] async for each in found.limit(_SETTLED_AT_ONCE)]
            for name in names:
                await self._settle(name)
            settled = settled or bool(names)
            if len(names) < _SETTLED_AT_ONCE:
                return settled

    async def _settle(self, name: str) -> bool:
        """Move what a document carries to its own collections; True when the document is deleted with that.

        Every step may be done any number of times, by any number of processes at once.
        """
        documents = self._in("documents")
        found = await documents.find_one({"_id": name}, {"carries": 1, "gone": 1})
        if found is None:
            return True
        for carried in found["carries"]:
            await self._keep_blobs(carried["blobs"])
            # The bytes as they are: a newer version's record has fields that are lost in a decoded one.
            content = bytes(carried["operation"])
            await self._keep_operation(carried["seq"], _operation.decode(content), content)
        done = [carried["seq"] for carried in found["carries"]]
        if done:
            await documents.update_one(
                {"_id": name}, {"$pull": {"carries": {"seq": {"$in": done}}}}
            )
        if found["gone"]:
            await documents.delete_one({"_id": name, "gone": True, "carries": []})
        return bool(found["gone"])

    async def _keep_blobs(self, blobs: Sequence[Doc]) -> None:
        if blobs:
            at = micros(self._clock.now())
            await upsert(
                self._in("blobs"),
                [
                    UpdateOne(
                        {"_id": blob["hash"]},
                        {"$setOnInsert": {"v": VERSION, "created": at, "data": blob["data"]}},
                        upsert=True,
                    )
                    for blob in blobs
                ],
            )

    async def _keep_operation(self, seq: int, operation: Operation, content: bytes) -> None:
        kept = {
            "v": VERSION,
            "seq": seq,
            "collection": operation.collection,
            "doc_id": operation.doc_id,
            "operator": operation.operator,
            "at": micros(operation.timestamp),
            "doc": content,
        }
        try:
            await self._in("operations").update_one(
                {"_id": operation.id}, {"$setOnInsert": kept}, upsert=True
            )
        except DuplicateKeyError:
            return  # somebody else moved it at the same moment


def _words(name: str) -> str:
    collection, _, doc_id = name.partition("/")
    return f"{collection} {doc_id!r}"
