"""Documents of the MongoDB store in the order of a field.

The values lie beside the document, with the revision that they are of, and an index on each field. What a former
version has written in the meantime has none, or old ones: whoever opens the store next puts that right.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from dts_core.stores.limits import DOCUMENTS_MAX
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    Doc,
    UpdateOne,
    deadlined,
)
from dts_core.stores.mongodb.naming import LAST, name_of
from dts_core.stores.sorting import SORTED, Value, sorted_values

__all__ = ["SortedDocuments", "place_of"]

Row = tuple[Value, str, bytes]
_PLACED_AT_ONCE: Final = 500


def place_of(name: str, document: bytes | None, revision: int) -> Doc:
    """The fields that say where a document stands in each order; none where its collection has no order."""
    collection, _, _ = name.partition("/")
    values = None if document is None else sorted_values(collection, document)
    return {} if values is None else {"of": collection, "sorted": {**values, "revision": revision}}


class SortedDocuments(Part):
    """That part of the DocumentStore."""

    @deadlined
    async def sorted_documents(
        self,
        collection: str,
        field: str,
        *,
        falling: bool = False,
        behind: tuple[Value, str] | None = None,
        limit: int = 500,
    ) -> list[Row]:
        """See DocumentStore."""
        limit, start = min(limit, DOCUMENTS_MAX), name_of(collection, "")
        order = DESCENDING if falling else ASCENDING
        key = "_id" if field == "id" else f"sorted.{field}"
        names = [(key, order)] if field == "id" else [(key, order), ("_id", order)]
        rows: list[Row] = []
        for where in _stretches(collection, key, behind, falling=falling):
            found = self._in("documents").find(where, {"doc": 1, key: 1}).sort(names)
            # Of several that begin alike the planner might choose another, and sort the whole collection.
            found = found.hint("_id_" if field == "id" else f"by_{field}")
            async for each in found.limit(limit - len(rows)):
                doc_id = each["_id"].removeprefix(start)
                value = doc_id if field == "id" else each["sorted"][field]
                rows.append((value, doc_id, bytes(each["doc"])))
            if len(rows) == limit:
                break
        return rows

    async def place_documents(self) -> int:
        """Give every document its place in each order that has none, or the one of a former revision; how many."""
        placed = 0
        for collection in SORTED:
            start = name_of(collection, "")
            where: Doc = {
                "_id": {"$gt": start, "$lte": start + LAST},
                "gone": False,
                "$expr": {"$ne": ["$sorted.revision", "$revision"]},
            }
            writes: list[UpdateOne] = []
            async for each in self._in("documents").find(where, {"doc": 1, "revision": 1}):
                place = place_of(each["_id"], bytes(each["doc"]), each["revision"])
                if place:
                    guard = {"_id": each["_id"], "revision": each["revision"], "gone": False}
                    writes.append(UpdateOne(guard, {"$set": place}))
                    placed += 1
                if len(writes) == _PLACED_AT_ONCE:
                    await self._write_places(writes)
                    writes = []
            await self._write_places(writes)
        return placed

    async def _write_places(self, writes: Sequence[UpdateOne]) -> None:
        if writes:
            await self._in("documents").bulk_write(list(writes), ordered=False)


def _stretches(
    collection: str, key: str, behind: tuple[Value, str] | None, *, falling: bool
) -> Iterator[Doc]:
    """Queries, each of which is one stretch of the index: those with the same value, then those behind it."""
    start, beyond = name_of(collection, ""), "$lt" if falling else "$gt"
    if key == "_id":
        bounds = {"$gt": start, "$lte": start + LAST}
        yield {"_id": bounds | ({beyond: start + behind[1]} if behind else {}), "gone": False}
        return
    whole: Doc = {"of": collection, "gone": False}
    if behind is None:
        yield whole
        return
    yield whole | {key: behind[0], "_id": {beyond: start + behind[1]}}
    yield whole | {key: {beyond: behind[0]}}
