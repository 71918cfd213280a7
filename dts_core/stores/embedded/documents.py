"""Admin documents of the embedded store, each write with its audit record; and content by its hash."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.errors import Conflict, NotFound
from dts_core.model import Operation
from dts_core.sqlite import Connection, one_row
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import micros
from dts_core.stores.limits import DOCUMENTS_MAX

_LAST: Final = "\U0010ffff"
_encoder = msgspec.msgpack.Encoder()
_operation = msgspec.msgpack.Decoder(Operation)


class Documents(Part):
    """The DocumentStore."""

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

        def work(connection: Connection) -> list[tuple[str, bytes]]:
            rows = connection.execute(
                "SELECT id, doc FROM documents WHERE collection=? AND id>? AND id>=? AND id<=? ORDER BY id LIMIT ?",
                (collection, after, prefix, prefix + _LAST, min(limit, DOCUMENTS_MAX)),
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

        def work(connection: Connection) -> None:
            _check(connection, collection, doc_id, expected_revision)
            if document is None:
                connection.execute(
                    "DELETE FROM documents WHERE collection=? AND id=?", (collection, doc_id)
                )
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO documents(collection, id, revision, doc) VALUES(?,?,?,?)",
                    (collection, doc_id, revision, document),
                )
            for digest, data in blobs:
                connection.execute(
                    "INSERT INTO blobs(hash, created, data) VALUES(?,?,?) ON CONFLICT(hash) DO NOTHING",
                    (digest, at, data),
                )
            _record(connection, operation)

        await self._write(work, durable=True)

    async def add_operation(self, operation: Operation) -> None:
        """See DocumentStore."""
        await self._write(lambda connection: _record(connection, operation), durable=True)

    async def operations(
        self, *, collection: str = "", doc_id: str = "", before: int = 0, limit: int = 50
    ) -> list[tuple[int, Operation]]:
        """See DocumentStore; at most 1,000."""
        conditions, values = ["seq<?"], [before or 1 << 62]
        filters: list[tuple[str, str]] = [("collection", collection), ("doc_id", doc_id)]
        conditions += [f"{column}=?" for column, value in filters if value]
        texts = [value for _, value in filters if value]
        # One document's history has its index; everything else walks back from the newest.
        source = "INDEXED BY operations_doc" if collection and doc_id else "NOT INDEXED"
        select = f"SELECT seq, doc FROM operations {source} WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT ?"

        def work(connection: Connection) -> list[tuple[int, Operation]]:
            rows = connection.execute(select, (*values, *texts, min(limit, DOCUMENTS_MAX)))
            return [(seq, _operation.decode(doc)) for seq, doc in rows]

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


def _record(connection: Connection, operation: Operation) -> None:
    connection.execute(
        "INSERT INTO operations(id, collection, doc_id, operator, at, doc) VALUES(?,?,?,?,?,?)",
        (
            operation.id,
            operation.collection,
            operation.doc_id,
            operation.operator,
            micros(operation.timestamp),
            _encoder.encode(operation),
        ),
    )
