"""Documents of the embedded store in the order of a field.

The values lie as JSON beside the document, in the same row, with an index on each field of it.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from dts_core.sqlite import Connection
from dts_core.stores.embedded.base import Part
from dts_core.stores.limits import DOCUMENTS_MAX
from dts_core.stores.sorting import FIELDS, Value, sorted_values

__all__ = ["SortedDocuments", "sorted_text"]

Row = tuple[Value, str, bytes]
_SOURCES: Final = {
    field: (f"json_extract(sorted, '$.{field}')", f"documents INDEXED BY documents_{field}")
    for field in FIELDS
} | {"id": ("id", "documents")}
"""Field -> what is compared, word for word as the index has it, and what is read."""


def sorted_text(collection: str, document: bytes) -> str | None:
    """The column `sorted` of a document."""
    values = sorted_values(collection, document)
    return None if values is None else msgspec.json.encode(values).decode()


class SortedDocuments(Part):
    """That part of the DocumentStore."""

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
        limit = min(limit, DOCUMENTS_MAX)

        def work(connection: Connection) -> list[Row]:
            found: list[Row] = []
            for sql, values in _stretches(field, behind, falling=falling):
                found += connection.execute(sql, (collection, *values, limit - len(found)))
                if len(found) == limit:
                    break
            return found

        return await self._read(work)


def _stretches(
    field: str, behind: tuple[Value, str] | None, *, falling: bool
) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """Queries, each of which is one stretch of the index: those with the same value, then those behind it."""
    what, source = _SOURCES[field]
    sign, way = ("<", "DESC") if falling else (">", "ASC")
    select = f"SELECT {what}, id, doc FROM {source} WHERE collection=? AND {what} IS NOT NULL"
    order = f"ORDER BY {what} {way}, id {way} LIMIT ?"
    if behind is None:
        yield f"{select} {order}", ()
        return
    # By the id alone: SQLite does not see that a value which is compared for equality needs no order.
    yield f"{select} AND {what}=? AND id{sign}? ORDER BY id {way} LIMIT ?", behind
    yield f"{select} AND {what}{sign}? {order}", behind[:1]
