"""Results too large for a message, on their way in chunks, ahead of the message that refers to them."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Broker, Message, claim_headers
from dts_core.errors import BrokerError, CodecError, DtsError, ResultRefused, StoreError
from dts_core.model import CHUNK_MAX, BlobChunk, BlobReply, JobError, JobResult
from dts_core.states import JobEvent
from dts_worker.held import Held, Stage

UPLOADS_AT_ONCE = 2
CHUNK_SECONDS = 10.0
"""Longest wait for the answer to one chunk."""
PAUSE_FIRST_SECONDS = 0.2
PAUSE_MAX_SECONDS = 2.0
STEPS_BACK_MAX = 5
"""How often the control side may have less than before: it was started again, or what it has is damaged."""
log = structlog.get_logger(__name__)


class _NotWanted(Exception):
    """Its claim is over."""


class _Failed(Exception):
    """It cannot be handed over, ever; with what takes its place, and whether another attempt may do better."""

    def __init__(self, error: JobError, *, retry: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry = retry


class Uploads:
    """Hands large results over, a few at a time; bounded by what the worker holds.

    While the broker is away they wait, and go on where the control side says.

    Args:
        broker: Asked on the queue `requests`.
        on_done: Called with the claim and the result that is to be published: one that refers to what was handed over,
            or a failure in its place.
        on_late: Called with a claim that is over.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        on_done: Callable[[Held, JobResult], None],
        on_late: Callable[[Held], None],
    ) -> None:
        self._broker = broker
        self._on_done = on_done
        self._on_late = on_late
        self._waiting: deque[tuple[Held, JobResult]] = deque()
        self._wake = asyncio.Semaphore(0)
        self._open = 0

    def __len__(self) -> int:
        """Results that are not handed over yet."""
        return self._open

    def add(self, held: Held, result: JobResult) -> None:
        """Hand a result over soon."""
        self._open += 1
        self._waiting.append((held, result))
        self._wake.release()

    async def run(self) -> None:
        """Hand over until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(UPLOADS_AT_ONCE):
                group.create_task(self._work(), name=f"upload-{number}")

    async def _work(self) -> None:
        while True:
            await self._wake.acquire()
            held, result = self._waiting.popleft()
            try:
                told = await self._hand_over(held, result)
            except _NotWanted:
                self._open -= 1
                self._on_late(held)
            else:
                self._open -= 1
                self._on_done(held, told)

    async def _hand_over(self, held: Held, result: JobResult) -> JobResult:
        """What is to be published.

        Raises:
            _NotWanted: Nothing.
        """
        content = result.result or b""
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        try:
            await self._send(held, content, digest)
        except _Failed as failed:
            log.warning("a result cannot be handed over", job=held.job.id, reason=str(failed))
            return msgspec.structs.replace(
                result, event=JobEvent.FAIL, result=None, error=failed.error, retry=failed.retry
            )
        return msgspec.structs.replace(result, result=None, blob=digest, size=len(content))

    async def _send(self, held: Held, content: bytes, digest: str) -> None:
        """Send chunks from where the control side is, until it has the whole."""
        total, offset, steps_back = len(content), 0, 0
        while offset < total:
            chunk = BlobChunk(
                digest, total, offset, content[offset : offset + CHUNK_MAX], held.job.id, held.epoch
            )
            reply = await self._ask(held, chunk)
            if reply.is_late:
                raise _NotWanted
            if reply.error is not None:
                raise _Failed(reply.error, retry=False)
            if reply.received <= offset:
                steps_back += 1
                if steps_back > STEPS_BACK_MAX:
                    error = JobError(
                        type="ResultDamaged", message="the result did not arrive as it was sent"
                    )
                    raise _Failed(error, retry=True)
            # Always the start of a chunk: whatever comes from there, the next one lies on the grid.
            offset = total if reply.received >= total else _floor(reply.received)

    async def _ask(self, held: Held, chunk: BlobChunk) -> BlobReply:
        """The answer to a chunk; asked again as long as there is none."""
        body = await asyncio.to_thread(codec.encode, chunk)
        headers = claim_headers(chunk.job, chunk.epoch)
        message = Message(body, type="BlobChunk", headers=headers)
        pause = PAUSE_FIRST_SECONDS
        while True:
            if held.stage is Stage.GONE:
                raise _NotWanted
            try:
                answer = await self._broker.request(
                    REQUESTS, message, timeout_seconds=CHUNK_SECONDS
                )
                return codec.decode(answer.body, BlobReply)
            except ResultRefused as error:
                raise _NotWanted from error
            except (BrokerError, StoreError, CodecError) as error:
                log.warning("a large result waits", job=chunk.job, reason=str(error))
            except DtsError as error:
                refused = JobError(type="ResultRefused", message=error.message)
                raise _Failed(refused, retry=True) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_SECONDS)


def _floor(received: int) -> int:
    return max(received, 0) // CHUNK_MAX * CHUNK_MAX
