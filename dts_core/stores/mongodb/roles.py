"""Who leads in a role, and which parts there are, by the server's own clock."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from dts_core.model import PartState
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import (
    VERSION,
    Doc,
    DuplicateKeyError,
    ReturnDocument,
    deadlined,
)
from dts_core.stores.mongodb.positions import NOW

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.msgpack.Encoder()
_part = msgspec.msgpack.Decoder(PartState)


class Roles(Part):
    """The RoleStore."""

    @deadlined
    async def hold_role(self, role: str, owner: str, seconds: float) -> bool:
        """See RoleStore."""
        is_free: Doc = {
            "$or": [
                {"$eq": [{"$ifNull": ["$until", 0]}, 0]},
                {"$eq": ["$owner", owner]},
                {"$lte": ["$until", NOW]},
            ]
        }
        held: Doc = {
            "_id": role,
            "v": VERSION,
            "owner": owner,
            "until": {"$add": [NOW, round(seconds * 1000)]},
        }
        try:
            found: Doc | None = await self._in("roles").find_one_and_update(
                {"_id": role},
                [{"$replaceWith": {"$cond": [is_free, held, "$$ROOT"]}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return False  # another one was the first ever to hold it, at the same moment
        return found is not None and bool(found["owner"] == owner)

    @deadlined
    async def release_role(self, role: str, owner: str) -> None:
        """See RoleStore."""
        await self._in("roles").delete_one({"_id": role, "owner": owner})

    @deadlined
    async def save_part(self, part: PartState) -> None:
        """See RoleStore."""
        said: Doc = {
            "v": VERSION,
            "name": part.name,
            "doc": {"$literal": _encoder.encode(part)},
            "seen": NOW,
            "seen_at": "$$NOW",
        }
        await self._in("parts").update_one({"_id": part.id}, [{"$set": said}], upsert=True)

    @deadlined
    async def parts(self, *, within_seconds: float = 60.0) -> list[PartState]:
        """See RoleStore."""
        since: Doc = {"$subtract": [NOW, round(within_seconds * 1000)]}
        found = self._in("parts").aggregate(
            [
                {"$match": {"$expr": {"$gte": ["$seen", since]}}},
                {"$sort": {"name": 1, "_id": 1}},
            ]
        )
        return [
            msgspec.structs.replace(
                _part.decode(each["doc"]),
                seen_at=_EPOCH + timedelta(milliseconds=each["seen"]),
            )
            async for each in found
        ]
