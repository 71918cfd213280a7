"""Answers the questions of workers: sources by their hash, results too large for a message, and claims.

The first two go in chunks, and only a few at a time are worked on, so that claims need not wait for them. Whose claim a
chunk belongs to is what its headers say, which the link has vouched for; where users are vouched for instead, the claim
must be one of their host.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from dts_core.brokers.base import (
    CONTROL,
    HOLDERS,
    REQUESTS,
    Broker,
    ClaimAnswer,
    ClaimRequest,
    ClaimVerdict,
    Delivery,
    Message,
    claim_of,
)
from dts_core.brokers.consumer import PAUSE_FIRST_SECONDS, Consumer
from dts_core.brokers.senders import host_of
from dts_core.clock import Clock
from dts_core.codec import encode
from dts_core.errors import (
    CodecError,
    Conflict,
    DtsError,
    Forbidden,
    InvalidInput,
    StoreUnavailable,
)
from dts_core.model import (
    CHUNK_MAX,
    RESULT_MAX,
    BlobChunk,
    BlobReply,
    ClaimGrant,
    ClaimsReply,
    ClaimsRequest,
    HeldReply,
    HeldRequest,
    Holders,
    JobError,
    Question,
    SourceReply,
    SourceRequest,
)
from dts_core.services.claims import Claims
from dts_core.services.granting import Granting
from dts_core.services.queues import paused_queues
from dts_core.services.results import UnfitResult, check_result, too_large
from dts_core.services.signatures import signature_of
from dts_core.stores.base import Store

__all__ = ["CHUNK", "Requests"]

CHUNK: Final = CHUNK_MAX
"""Most bytes of source in one answer."""
UPLOAD_MINUTES: Final = 10
"""A result that gets no further for so long is given up."""
SWEEP_SECONDS: Final = 60.0
CHUNKS_AT_ONCE: Final = 8
"""Questions that move chunks and are worked on at a time; the others wait, and hold up no claim."""
ITEMS_MAX: Final = 1_000
"""Most claims of one question."""
PAUSES_SECONDS: Final = 1.0
"""How often it is looked up which queues are paused."""
PAUSED_SECONDS: Final = 5.0
"""When to ask again for a job whose queue is paused."""
AWAITED_SECONDS: Final = 3.0
"""How long a question for claims is tried for; its asker waits little longer."""
_HASH_LENGTH: Final = 64
_HASH_DIGITS: Final = frozenset("0123456789abcdef")
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Requests(Consumer[Question]):
    """Consumes `requests`; the caller asks or sends again from where the answer says.

    Args:
        broker: Where the questions come.
        store: Sources, and results as they come.
        clock: For the age of results that get no further.
        result_max: Largest result, in bytes.
        prefetch: Most questions at a time.
        claims: Grants claims, for workers on a broker that knows none; None: nobody asks for them here.
        signing: Id of the key that the server of this process signs with; other servers say it in the store.
        sealing: The keys that it seals secret arguments to; likewise.
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
        prefetch: int = 128,
        claims: Claims | None = None,
        signing: str = "",
        sealing: Sequence[str] = (),
    ) -> None:
        super().__init__(broker, prefetch=prefetch)
        self._store = store
        self._clock = clock
        self._result_max = result_max
        self._check = partial(check_result, most=result_max)
        self._claims = claims
        self._signing = signing
        self._sealing = frozenset(sealing)
        self._granting = None if claims is None else Granting(claims)
        self._chunks = asyncio.Semaphore(CHUNKS_AT_ONCE)
        self._paused: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Answer until cancelled, and give up results that get no further."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_sweeping(), name="requests-sweep")
            group.create_task(super().run(), name="requests-answers")
            if self._claims is not None:
                group.create_task(self._keep_pauses(), name="requests-pauses")

    async def operate(self, message: Question, delivery: Delivery) -> Any:
        """The answer: a ClaimsReply, HeldReply, SourceReply or BlobReply; None to a question that waited too long.

        Raises:
            StoreUnavailable: It is tried again.
            Forbidden: Claims are not asked for here.
            InvalidInput: Too many of them at once.
        """
        if isinstance(message, ClaimsRequest):
            return await _while_awaited(lambda: self._grant(message))
        if isinstance(message, HeldRequest):
            return await _while_awaited(lambda: self._held(message))
        async with self._chunks:
            if isinstance(message, SourceRequest):
                return await self._source(message)
            return await self._chunk(message, delivery)

    async def look_at_pauses(self) -> None:
        """Know which queues are paused.

        Raises:
            StoreUnavailable: What was known stays.
        """
        self._paused = frozenset(await paused_queues(self._store))

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

    async def _keep_pauses(self) -> None:
        while True:
            try:
                await self.look_at_pauses()
            except DtsError as error:
                _log.warning("it cannot be looked up which queues are paused: %s", error)
            await asyncio.sleep(PAUSES_SECONDS)

    async def _grant(self, asked: ClaimsRequest) -> ClaimsReply:
        """One answer to each item; none of a paused queue is granted."""
        if self._granting is None:
            raise Forbidden("claims are granted while jobs are handed over, not asked for.")
        if len(asked.items) > ITEMS_MAX:
            raise InvalidInput(f"{len(asked.items)} claims in one question.")
        paused = [item.queue in self._paused for item in asked.items]
        requests = [
            ClaimRequest(
                item.job, asked.host, asked.worker, item.redelivered, item.epoch, item.lease
            )
            for item, is_paused in zip(asked.items, paused, strict=True)
            if not is_paused
        ]
        granted = await self._granting.grant(requests) if requests else []
        await self._call_holders([
            request.job for request, answer in zip(requests, granted, strict=True) if answer.lease
        ])  # fmt: skip
        answers = iter(granted)
        return ClaimsReply([_PAUSED if is_paused else _told(next(answers)) for is_paused in paused])

    async def _call_holders(self, jobs: list[str]) -> None:
        """Whoever lives renews the leases of these, before they are asked for again."""
        if not jobs:
            return
        order = Holders(jobs)
        try:
            await self.broker.fanout(CONTROL, Message(encode(order), type=HOLDERS))
        except DtsError as error:  # heartbeats renew them too
            _log.warning("the holders of %d jobs could not be called: %s", len(jobs), error)

    async def _held(self, asked: HeldRequest) -> HeldReply:
        """Which claims are the worker's own, and which it does not know of; the leases of both begin anew."""
        if self._claims is None:
            raise Forbidden("claims are granted while jobs are handed over, not asked for.")
        mine = await self._claims.held(asked.worker, asked.claims, host=asked.host)
        others = await self._claims.unheld(asked.worker, asked.claims)
        own = await self._claims.held(asked.worker, others, host=asked.host)
        return HeldReply(mine, [claim for claim, is_own in zip(others, own, strict=True) if is_own])

    async def _source(self, asked: SourceRequest) -> SourceReply:
        """The chunk from `offset` on; `total` 0 for content that is not known here. With the first comes who signed."""
        if not asked.hash:
            return await self._keys()
        data = await self._store.get_blob(asked.hash) if _is_hash(asked.hash) else None
        start = max(asked.offset, 0)
        is_wanted = data is not None and start == 0 and asked.function
        signature = (
            await signature_of(self._store, asked.function, asked.hash) if is_wanted else None
        )
        return SourceReply(
            hash=asked.hash if data is not None else "",
            total=len(data) if data is not None else 0,
            offset=start,
            data=b"" if data is None else data[start : start + CHUNK],
            signature=signature,
        )

    async def _keys(self) -> SourceReply:
        """The keys of all servers that run: those that sign, and those that are sealed to."""
        parts = await self._store.parts()
        signers = {part.signing for part in parts} | {self._signing}
        sealers = self._sealing.union(*(part.sealing for part in parts))
        return SourceReply("", 0, 0, b"", signers=sorted(signers - {""}), sealers=sorted(sealers))

    async def _chunk(self, chunk: BlobChunk, delivery: Delivery) -> BlobReply:
        """How much of the whole is kept with this chunk."""
        if claim_of(delivery.message) != (chunk.job, chunk.epoch) or not _is_hash(chunk.hash):
            return _refused(JobError(type="ResultDamaged", message="it is no chunk of this claim"))
        if not await self._is_senders(chunk, delivery.message.user_id):
            return BlobReply(chunk.hash, 0, is_late=True)
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

    async def _is_senders(self, chunk: BlobChunk, user: str) -> bool:
        """Whether the claim is one of the host that its user speaks for."""
        host = host_of(user)
        if host is None:
            return True
        return any(job.host == host for job in await self._store.get_jobs([chunk.job]))


async def _while_awaited(answer: Callable[[], Awaitable[T]]) -> T | None:
    """Try while somebody waits for the answer.

    Who asks for claims asks again soon. A question from before an outage must not be granted after it: whoever it was
    may be gone, or have given its messages back, and a claim that nobody knows of ends as a loss.
    """
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + AWAITED_SECONDS, PAUSE_FIRST_SECONDS
    while True:
        try:
            return await answer()
        except StoreUnavailable as error:
            if loop.time() + pause > until:
                _log.warning("a question for claims is not answered: %s", error)
                return None
        await asyncio.sleep(pause)
        pause *= 2


_PAUSED: Final = ClaimGrant(ClaimVerdict.HELD.value, retry_after_seconds=PAUSED_SECONDS)


def _told(answer: ClaimAnswer) -> ClaimGrant:
    return ClaimGrant(
        str(answer.verdict),
        answer.epoch,
        answer.attempt,
        answer.retry_after_seconds,
        answer.lease,
    )


def _refused(error: JobError) -> BlobReply:
    return BlobReply("", 0, error)


def _is_hash(text: str) -> bool:
    return len(text) == _HASH_LENGTH and set(text) <= _HASH_DIGITS
