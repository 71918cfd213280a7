"""Answers the questions of workers: the source of a version by its hash, and results too large for a message.

Both go in chunks. Whose claim a chunk belongs to is what its headers say, which the link has vouched for.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import Any, Final

from dts_core.brokers.base import REQUESTS, Broker, Delivery, claim_of
from dts_core.brokers.consumer import Consumer
from dts_core.clock import Clock
from dts_core.errors import CodecError, Conflict, DtsError, InvalidInput
from dts_core.model import (
    CHUNK_MAX,
    RESULT_MAX,
    BlobChunk,
    BlobReply,
    JobError,
    Question,
    SourceReply,
    SourceRequest,
)
from dts_core.services.results import UnfitResult, check_result, too_large
from dts_core.stores.base import Store

__all__ = ["CHUNK", "Requests"]

CHUNK: Final = CHUNK_MAX
"""Most bytes of source in one answer."""
UPLOAD_MINUTES: Final = 10
"""A result that gets no further for so long is given up."""
SWEEP_SECONDS: Final = 60.0
_HASH_LENGTH: Final = 64
_HASH_DIGITS: Final = frozenset("0123456789abcdef")
_log = logging.getLogger(__name__)


class Requests(Consumer[Question]):
    """Consumes `requests`; the caller asks or sends again from where the answer says.

    Args:
        broker: Where the questions come.
        store: Sources, and results as they come.
        clock: For the age of results that get no further.
        result_max: Largest result, in bytes.
        prefetch: Most questions at a time.
    """

    name = "requests"
    queue = REQUESTS
    message_class = Question

    def __init__(
        self,
        broker: Broker,
        store: Store,
        clock: Clock,
        *,
        result_max: int = RESULT_MAX,
        prefetch: int = 32,
    ) -> None:
        super().__init__(broker, prefetch=prefetch)
        self._store = store
        self._clock = clock
        self._result_max = result_max
        self._check = partial(check_result, most=result_max)

    async def run(self) -> None:
        """Answer until cancelled, and give up results that get no further."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_sweeping(), name="requests-sweep")
            group.create_task(super().run(), name="requests-answers")

    async def operate(self, message: Question, delivery: Delivery) -> Any:
        """The answer: a SourceReply or a BlobReply.

        Raises:
            StoreUnavailable: It is tried again.
        """
        if isinstance(message, SourceRequest):
            return await self._source(message)
        return await self._chunk(message, delivery)

    async def sweep(self) -> int:
        """Give up results that get no further; how many."""
        before = self._clock.now() - timedelta(minutes=UPLOAD_MINUTES)
        total = 0
        while dropped := await self._store.drop_uploads(before):
            total += dropped
        return total

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                if dropped := await self.sweep():
                    _log.info("%d results that got no further were dropped", dropped)
            except DtsError as error:
                _log.warning("results that get no further could not be dropped: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _source(self, asked: SourceRequest) -> SourceReply:
        """The chunk from `offset` on; `total` 0 for content that is not known here."""
        data = await self._store.get_blob(asked.hash) if _is_hash(asked.hash) else None
        start = max(asked.offset, 0)
        return SourceReply(
            hash=asked.hash if data is not None else "",
            total=len(data) if data is not None else 0,
            offset=start,
            data=b"" if data is None else data[start : start + CHUNK],
        )

    async def _chunk(self, chunk: BlobChunk, delivery: Delivery) -> BlobReply:
        """How much of the whole is kept with this chunk."""
        if claim_of(delivery.message) != (chunk.job, chunk.epoch) or not _is_hash(chunk.hash):
            return _refused(JobError(type="ResultDamaged", message="it is no chunk of this claim"))
        if chunk.total > self._result_max:
            return _refused(too_large(chunk.total, self._result_max))
        try:
            received = await self._store.add_chunk(chunk, self._check)
        except Conflict:
            return BlobReply(chunk.hash, 0, is_late=True)
        except CodecError as error:
            _log.warning("job %s: its result came damaged: %s", chunk.job, error)
            return BlobReply(chunk.hash, 0)
        except InvalidInput as error:
            return _refused(JobError(type="ResultDamaged", message=error.message))
        except UnfitResult as unfit:
            return _refused(unfit.error)
        return BlobReply(chunk.hash, received)


def _refused(error: JobError) -> BlobReply:
    return BlobReply("", 0, error)


def _is_hash(text: str) -> bool:
    return len(text) == _HASH_LENGTH and set(text) <= _HASH_DIGITS
