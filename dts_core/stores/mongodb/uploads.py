"""Uploads of results: one for each claim, in its job's document; see `chunks`."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from dts_core.errors import DtsError, StoreError, StoreUnavailable
from dts_core.model import CHUNK_MAX, BlobChunk
from dts_core.names import new_id
from dts_core.states import HELD
from dts_core.stores.chunks import PARTIAL, WHOLE, check_content, check_shape, claim_over
from dts_core.stores.fields import EPOCH_MAX, micros
from dts_core.stores.limits import SWEEP_MAX
from dts_core.stores.mongodb import chunks
from dts_core.stores.mongodb.driver import Doc, ReturnDocument, deadlined
from dts_core.stores.mongodb.writes import TRIES, JobWrites

_HELD = [state.value for state in HELD]


class Uploads(JobWrites):
    """Chunks of results, of the JobStore."""

    async def add_chunk(self, chunk: BlobChunk, check: Callable[[bytes], None]) -> int:
        """See JobStore; the content is proved in another thread."""
        check_shape(chunk)
        upload = await self._keep(chunk)
        received = _received(upload["have"], chunk.total)
        if upload["state"] == WHOLE:
            return chunk.total
        if received < chunk.total:
            return received
        data = await self._content(upload["id"])
        try:
            await asyncio.to_thread(_prove, data, chunk, check)
        except StoreError:
            raise
        except DtsError:
            await self._drop(chunk.job, upload["id"])
            raise
        await self._mark_whole(chunk, upload["id"])
        return received

    @deadlined
    async def drop_uploads(self, before: datetime) -> int:
        """See JobStore."""
        bound = micros(before)
        loose: list[Doc] = await self._chunks.aggregate(
            [
                {"$match": {"loose": {"$gt": 0, "$lt": bound}}},
                {"$group": {"_id": "$upload", "job": {"$first": "$job"}}},
                {"$limit": SWEEP_MAX},
            ]
        ).to_list(None)
        dropped = []
        for each in loose:
            job = await self._jobs.find_one(
                {"_id": each["job"]}, {"state": 1, "epoch": 1, "upload": 1, "blob": 1}
            )
            if job is not None and job.get("blob") == each["_id"]:
                await chunks.settle(self._chunks, dropped=[], used=[each["_id"]])
            elif job is None or not _is_wanted(job, each["_id"], bound):
                await self._forget(each["job"], each["_id"])
                dropped.append(each["_id"])
        return len(dropped)

    @deadlined
    async def _keep(self, chunk: BlobChunk) -> Doc:
        """Keep a chunk; the upload as it stands then."""
        at = micros(self._clock.now())
        for _ in range(TRIES):
            upload = await self._upload(chunk, at)
            if upload["state"] == WHOLE:
                return upload
            await chunks.keep(self._chunks, upload["id"], chunk, at)
            found: Doc | None = await self._jobs.find_one_and_update(
                _claim(chunk) | {"upload.id": upload["id"]},
                {
                    "$addToSet": {"upload.have": chunk.offset // CHUNK_MAX},
                    "$max": {"upload.touched": at},
                },
                projection={"upload": 1},
                return_document=ReturnDocument.AFTER,
            )
            if found is not None:
                kept: Doc = found["upload"]
                return kept
            # The claim is over, or another content took its place: this chunk is nobody's.
            await chunks.settle(self._chunks, dropped=[upload["id"]], used=[])
        raise StoreUnavailable("too many others change the same upload.")

    async def _upload(self, chunk: BlobChunk, at: int) -> Doc:
        """The upload that a chunk belongs to, begun when there is none."""
        if not 0 < chunk.epoch < EPOCH_MAX:
            raise claim_over(chunk)
        found = await self._jobs.find_one(_claim(chunk), {"upload": 1})
        if found is None:
            raise claim_over(chunk)
        former: Doc | None = found.get("upload")
        if former is not None and (former["hash"], former["size"], former["epoch"]) == (
            chunk.hash,
            chunk.total,
            chunk.epoch,
        ):
            return former
        upload: Doc = {
            "id": new_id(),
            "epoch": chunk.epoch,
            "hash": chunk.hash,
            "size": chunk.total,
            "touched": at,
            "state": PARTIAL,
            "have": [],
        }
        stands: Doc = {"upload": None} if former is None else {"upload.id": former["id"]}
        result = await self._jobs.update_one(_claim(chunk) | stands, {"$set": {"upload": upload}})
        if not result.matched_count:
            return await self._upload(chunk, at)
        if former is not None:
            await chunks.settle(self._chunks, dropped=[former["id"]], used=[])
        return upload

    @deadlined
    async def _content(self, upload: str) -> bytes:
        return await chunks.content(self._chunks, upload)

    @deadlined
    async def _mark_whole(self, chunk: BlobChunk, upload: str) -> None:
        """Let a FINISH refer to it; durable: its sender lets the content go."""
        await self._jobs.update_one(
            {"_id": chunk.job, "upload.id": upload}, {"$set": {"upload.state": WHOLE}}
        )

    @deadlined
    async def _drop(self, job: str, upload: str) -> None:
        await self._forget(job, upload)

    async def _forget(self, job: str, upload: str) -> None:
        await self._jobs.update_one({"_id": job, "upload.id": upload}, {"$set": {"upload": None}})
        await chunks.settle(self._chunks, dropped=[upload], used=[])


def _claim(chunk: BlobChunk) -> Doc:
    return {"_id": chunk.job, "state": {"$in": _HELD}, "epoch": chunk.epoch}


def _prove(data: bytes, chunk: BlobChunk, check: Callable[[bytes], None]) -> None:
    check_content(data, chunk)
    check(data)


def _received(have: list[int], total: int) -> int:
    """Bytes from the start without a gap."""
    kept = set(have)
    count = 0
    while count in kept:
        count += 1
    return min(count * CHUNK_MAX, total)


def _is_wanted(job: Doc, upload: str, before: int) -> bool:
    """Whether something came for it lately, or its result is on the way."""
    own: Doc | None = job.get("upload")
    if own is None or own["id"] != upload:
        return False
    is_live = job["state"] in _HELD and job["epoch"] == own["epoch"]
    return bool(own["touched"] >= before or (own["state"] == WHOLE and is_live))
