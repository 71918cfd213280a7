"""Results in chunks: documents of their own, named by the upload they belong to.

The upload itself stands in its job's document, so that whether it is wanted, whole or used is decided in one write. A
chunk is `loose` until it is part of a job's result; loose ones that no job knows are what a crash left, and are swept.
"""

from collections.abc import Sequence
from typing import Final

from dts_core.model import CHUNK_MAX, BlobChunk
from dts_core.stores.mongodb.driver import VERSION, Collection, Doc, UpdateOne, upsert

BATCH: Final = 8
"""Chunks of one write."""


async def park(collection: Collection, job: str, upload: str, content: bytes, *, at: int) -> None:
    """Keep a whole content as chunks."""
    offsets = range(0, len(content), CHUNK_MAX)
    documents = [
        _document(job, upload, offset, content[offset : offset + CHUNK_MAX], at)
        for offset in offsets
    ]
    for start in range(0, len(documents), BATCH):
        await collection.insert_many(documents[start : start + BATCH])


async def keep(collection: Collection, upload: str, chunk: BlobChunk, at: int) -> None:
    """Keep one chunk; one that is there already stays as it is."""
    document = _document(chunk.job, upload, chunk.offset, chunk.data, at)
    place = {"_id": document.pop("_id")}
    await upsert(collection, [UpdateOne(place, {"$setOnInsert": document}, upsert=True)])


async def content(collection: Collection, upload: str) -> bytes:
    """All of it, as far as it is there."""
    found = collection.find({"upload": upload}, {"data": 1}).sort("_id", 1)
    return b"".join([each["data"] async for each in found])


async def settle(collection: Collection, *, dropped: Sequence[str], used: Sequence[str]) -> None:
    """Remove chunks that nobody wants, and let those be that are part of a result from now on."""
    if dropped:
        await collection.delete_many({"upload": {"$in": list(dropped)}})
    if used:
        await collection.update_many({"upload": {"$in": list(used)}}, {"$set": {"loose": None}})


def _document(job: str, upload: str, offset: int, data: bytes, at: int) -> Doc:
    return {
        "_id": f"{upload}:{offset:010}",
        "v": VERSION,
        "upload": upload,
        "job": job,
        "loose": at,
        "data": data,
    }
