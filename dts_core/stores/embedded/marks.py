"""When documents of the embedded store were last used, as rows beside them."""

from collections.abc import Sequence
from datetime import datetime

from dts_core.sqlite import Connection
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import instant, micros
from dts_core.stores.limits import DOCUMENTS_MAX


class Marks(Part):
    """The marks of the DocumentStore."""

    async def mark(self, collection: str, doc_id: str, at: datetime) -> None:
        """See DocumentStore."""

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO documents(collection, id, revision, doc) SELECT ?,?,?,x'' WHERE EXISTS"
                "(SELECT 1 FROM documents WHERE collection=? AND id=?) ON CONFLICT(collection, id)"
                " DO UPDATE SET revision=max(revision, excluded.revision)",
                (marks_of(collection), doc_id, micros(at), collection, doc_id),
            )

        await self._write(work)

    async def marks(self, collection: str, doc_ids: Sequence[str]) -> dict[str, datetime]:
        """See DocumentStore."""
        asked = list(doc_ids)[:DOCUMENTS_MAX]

        def work(connection: Connection) -> dict[str, datetime]:
            holes = ",".join("?" * len(asked))
            rows = connection.execute(
                f"SELECT id, revision FROM documents WHERE collection=? AND id IN ({holes})",
                (marks_of(collection), *asked),
            )
            return {doc_id: instant(at) for doc_id, at in rows}

        return await self._read(work)


def marks_of(collection: str) -> str:
    """Where they lie: no collection is called so, and the instant is the revision."""
    return f"{collection}:marks"
