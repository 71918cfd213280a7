"""When documents of the MongoDB store were last used: a field of their own beside the document."""

from collections.abc import Sequence
from datetime import datetime

from dts_core.stores.fields import instant, micros
from dts_core.stores.limits import DOCUMENTS_MAX
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import deadlined
from dts_core.stores.mongodb.naming import name_of


class Marks(Part):
    """The marks of the DocumentStore."""

    @deadlined
    async def mark(self, collection: str, doc_id: str, at: datetime) -> None:
        """See DocumentStore."""
        await self._light("documents").update_one(
            {"_id": name_of(collection, doc_id), "gone": False}, {"$max": {"marked": micros(at)}}
        )

    @deadlined
    async def marks(self, collection: str, doc_ids: Sequence[str]) -> dict[str, datetime]:
        """See DocumentStore."""
        start = name_of(collection, "")
        names = [start + doc_id for doc_id in list(doc_ids)[:DOCUMENTS_MAX]]
        found = self._in("documents").find(
            {"_id": {"$in": names}, "gone": False, "marked": {"$gt": 0}}, {"marked": 1}
        )
        return {each["_id"].removeprefix(start): instant(each["marked"]) async for each in found}
