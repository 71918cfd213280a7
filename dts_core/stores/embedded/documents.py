"""Admin documents of the embedded store, each write with its audit record; and content by its hash."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from dts_core.errors import Conflict, NotFound
from dts_core.model import Operation
from dts_core.sqlite import Connection, one_row
from dts_core.stores.base import Recorded
from dts_core.stores.embedded.marks import marks_of
from dts_core.stores.embedded.ordering import SortedDocuments, sorted_text
from dts_core.stores.fields import micros
from dts_core.stores.limits import DOCUMENTS_MAX
from dts_core.stores.operations import readable

_LAST: Final = "\U0010ffff"
_RECORDED: Final = "SELECT seq, id, collection, doc_id, operator, at, doc FROM operations"
_encoder = msgspec.msgpack.Encoder()


class Documents(SortedDocuments):
    """The DocumentStore."""

    _taken = 0
    """The newest position that this process, the only one on the file, has given to an operation."""

    async def get_document(self, collection: str, doc_id: str) -> bytes | None:
        """See DocumentStore."""

        def work(connection: Connection) -> bytes | None:
            row = one_row(
                connection,
                "SELECT doc FROM documents WHERE collection=? AND id=?",
                (collection, doc_id),
            )
            return None if row is None else row[0]

        return await self._read(work)

    async def find_documents(
        self, collection: str, *, after: str = "", limit: int = 500, prefix: str = ""
    ) -> list[tuple[str, bytes]]:
        """See DocumentStore; at most 1,000."""
        # One lower bound: of two, the index uses either, and walks from there to where the other one begins.
        begin, first = ("id>?", after) if after >= prefix else ("id>=?", prefix)

        def work(connection: Connection) -> list[tuple[str, bytes]]:
            rows = connection.execute(
                f"SELECT id, doc FROM documents WHERE collection=? AND {begin} AND id<=? ORDER BY id LIMIT ?",
                (collection, first, prefix + _LAST, min(limit, DOCUMENTS_MAX)),
            )
            return list(rows)

        return await self._read(work)

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
        at = micros(self._clock.now())
        position = operation.position or await self.next_operation()

        def work(connection: Connection) -> None:
            _check(connection, collection, doc_id, expected_revision)
            if document is None:
                connection.execute(
                    "DELETE FROM documents WHERE collection IN (?,?) AND id=?",
                    (collection, marks_of(collection), doc_id),
                )
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO documents(collection, id, revision, doc, sorted) VALUES(?,?,?,?,?)",
                    (collection, doc_id, revision, document, sorted_text(collection, document)),
                )
            for digest, data in blobs:
                connection.execute(
                    "INSERT INTO blobs(hash, created, data) VALUES(?,?,?) ON CONFLICT(hash) DO NOTHING",
                    (digest, at, data),
                )
            _record(connection, position, operation)

        await self._write(work, durable=True)

    async def next_operation(self) -> int:
        """See DocumentStore."""
        kept = await self._read(
            lambda connection: one_row(connection, "SELECT max(seq) FROM operations")
        )
        self._taken = max(self._taken, (kept and kept[0]) or 0) + 1
        return self._taken

    async def add_operation(self, operation: Operation) -> None:
        """See DocumentStore."""
        position = operation.position or await self.next_operation()
        await self._write(lambda connection: _record(connection, position, operation), durable=True)

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
        filters: list[tuple[str, str | int | None]] = [
            ("collection=?", collection or None),
            ("doc_id=?", doc_id or None),
            ("operator=?", operator or None),
            ("at>=?", None if since is None else micros(since)),
            ("at<?", None if until is None else micros(until)),
            ("seq<?", before or None),
            ("seq>?", after or None),
        ]
        given = [(condition, value) for condition, value in filters if value is not None]
        # One document's history has its index; everything else walks along the positions.
        source = " INDEXED BY operations_doc" if collection and doc_id else " NOT INDEXED"
        where = " AND ".join(condition for condition, _ in given) or "1"
        order = "ASC" if after else "DESC"
        found = await self._recorded(
            f"{source} WHERE {where} ORDER BY seq {order} LIMIT ?",
            *(value for _, value in given),
            min(limit, DOCUMENTS_MAX),
        )
        newest_first = found[::-1] if after else found
        return [(each.position, readable(each)) for each in newest_first]

    async def find_operation(self, operation_id: str) -> tuple[int, Operation] | None:
        """See DocumentStore. There is no index: it is looked for from the newest on."""
        found = await self._recorded(" WHERE id=? ORDER BY seq DESC LIMIT 1", operation_id)
        return (found[0].position, readable(found[0])) if found else None

    async def recorded(self, *, after: int = 0, limit: int = 200) -> list[Recorded]:
        """See DocumentStore."""
        limit = min(limit, DOCUMENTS_MAX)
        return await self._recorded(" WHERE seq>? ORDER BY seq LIMIT ?", after, limit)

    async def _recorded(self, rest: str, *values: str | int) -> list[Recorded]:
        def work(connection: Connection) -> list[Recorded]:
            return [Recorded(*row) for row in connection.execute(_RECORDED + rest, values)]

        return await self._read(work)

    async def get_blob(self, digest: str) -> bytes | None:
        """See DocumentStore."""

        def work(connection: Connection) -> bytes | None:
            row = one_row(connection, "SELECT data FROM blobs WHERE hash=?", (digest,))
            return None if row is None else row[0]

        return await self._read(work)


def _check(connection: Connection, collection: str, doc_id: str, expected: int | None) -> None:
    row = one_row(
        connection,
        "SELECT revision FROM documents WHERE collection=? AND id=?",
        (collection, doc_id),
    )
    what = f"{collection} {doc_id!r}"
    if expected == 0:
        if row is not None:
            raise Conflict(f"{what} exists already.", advice="Change it, or choose another name.")
        return
    if row is None:
        raise NotFound(f"there is no {what}.")
    if expected is not None and row[0] != expected:
        raise Conflict(
            f"{what} has revision {row[0]} by now, not {expected}.",
            advice="Look at the newer one and write again.",
        )


def _record(connection: Connection, position: int, operation: Operation) -> None:
    connection.execute(
        "INSERT INTO operations(seq, id, collection, doc_id, operator, at, doc) VALUES(?,?,?,?,?,?,?)",
        (
            position,
            operation.id,
            operation.collection,
            operation.doc_id,
            operation.operator,
            micros(operation.timestamp),
            _encoder.encode(operation),
        ),
    )
