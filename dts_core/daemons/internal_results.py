"""Large results of the internal worker: the store is at hand, so their chunks go there at once."""

import asyncio
import hashlib
from functools import partial

import msgspec

from dts_core.errors import Conflict
from dts_core.model import CHUNK_MAX, INLINE_MAX, BlobChunk, JobResult
from dts_core.services.results import UnfitResult, check_result
from dts_core.states import JobEvent
from dts_core.stores.jobstore import JobStore

__all__ = ["handed_over"]


async def handed_over(store: JobStore, result: JobResult, most: int) -> JobResult:
    """The result as it may be published: a large one is kept before and only referred to.

    May be called again with the same result after an error.

    Raises:
        StoreError: It is not kept, or only a part.
    """
    content = result.result
    if content is None or len(content) <= INLINE_MAX:
        return result
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
    referring = msgspec.structs.replace(result, result=None, blob=digest, size=len(content))
    check = partial(check_result, most=most)
    for at in range(0, len(content), CHUNK_MAX):
        data = content[at : at + CHUNK_MAX]
        chunk = BlobChunk(digest, len(content), at, data, result.id, result.epoch)
        try:
            await store.add_chunk(chunk, check)
        except Conflict:
            return referring  # its claim is over: it is refused as any late result
        except UnfitResult as unfit:
            return msgspec.structs.replace(
                result, event=JobEvent.FAIL, result=None, error=unfit.error, retry=False
            )
    return referring
