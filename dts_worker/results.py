"""Results on their way: coalesced, published with a confirm, and only then acked."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from dts_core import codec
from dts_core.brokers.base import RESULTS, Broker, Message, Outgoing
from dts_core.errors import BrokerError, ResultRefused, StoreError
from dts_core.model import INLINE_MAX, JobResult, JobResults
from dts_worker.held import Held, Stage
from dts_worker.uploads import Uploads

MESSAGE_RESULTS = 64
"""Most results in one message."""
MESSAGE_BYTES = 256 << 10
"""Size of results from which a message gets no further one: with one more it stays below 1 MiB, deflated or not."""
PUBLISH_MESSAGES = 8
"""Most messages in one publish."""
PAUSE_FIRST_SECONDS = 0.2
PAUSE_MAX_SECONDS = 2.0
Pair = tuple[Held, JobResult]

log = structlog.get_logger(__name__)


class ResultOutbox:
    """Publishes results in order, a large one once it is handed over.

    Bounded by what the worker holds: every result waits for a delivery's ack.
    While the broker is away, results are kept and tried again; their claims stay in the heartbeats.

    Args:
        broker: Publishes to `results`.
        host: Of this worker.
        worker: Its name.
        on_settled: Called with each claim that is confirmed or refused, after its ack.
    """

    def __init__(
        self, broker: Broker, *, host: str, worker: str, on_settled: Callable[[Held], None]
    ) -> None:
        self._broker = broker
        self._host = host
        self._worker = worker
        self._on_settled = on_settled
        self._waiting: deque[Pair] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._uploads = Uploads(broker, on_done=self._queue, on_late=self._late)
        self.refused = 0
        """Results that were late: their claim had gone to somebody else."""

    def add(self, held: Held, result: JobResult) -> None:
        """Publish soon, with everything else that ends in this turn of the loop."""
        if result.result is not None and len(result.result) > INLINE_MAX:
            self._empty.clear()
            self._uploads.add(held, result)
        else:
            self._queue(held, result)

    def _queue(self, held: Held, result: JobResult) -> None:
        self._waiting.append((held, result))
        self._empty.clear()
        self._wake.set()

    def _late(self, held: Held) -> None:
        if held.stage is not Stage.GONE:
            self._count_refused([(held.job.id, held.epoch)])
        self._settle([held])
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._uploads.run(), name="uploads")
            group.create_task(self._keep_publishing(), name="results-publish")

    async def _keep_publishing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                messages = self._take()
                await self._publish(messages)
            if not self._wake.is_set() and not len(self._uploads):
                self._empty.set()

    async def flushed(self) -> None:
        """Wait until every result is confirmed or refused."""
        await self._empty.wait()

    def _take(self) -> list[list[Pair]]:
        messages: list[list[Pair]] = []
        while self._waiting and len(messages) < PUBLISH_MESSAGES:
            pairs: list[Pair] = []
            size = 0
            while self._waiting and len(pairs) < MESSAGE_RESULTS and size < MESSAGE_BYTES:
                pair = self._waiting.popleft()
                if pair[0].stage is Stage.GONE:
                    continue
                size += _size(pair[1])
                pairs.append(pair)
            if pairs:
                messages.append(pairs)
        return messages

    async def _publish(self, messages: list[list[Pair]]) -> None:
        """Publish until the broker has answered, then ack."""
        pause = PAUSE_FIRST_SECONDS
        outgoing = [self._encode(pairs) for pairs in messages]
        while outgoing:
            try:
                await self._broker.publish(outgoing)
                break
            except ResultRefused as error:
                self._count_refused(error.refused)
                break
            except (BrokerError, StoreError) as error:
                log.warning("results wait", count=sum(map(len, messages)), reason=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_SECONDS)
        self._settle(held for pairs in messages for held, _ in pairs)

    def _encode(self, pairs: list[Pair]) -> Outgoing:
        results = [result for _, result in pairs]
        body = codec.encode(JobResults(self._host, self._worker, results))
        return Outgoing(RESULTS, Message(body=body, type="JobResults"))

    def _count_refused(self, claims: list[tuple[str, int]]) -> None:
        self.refused += len(claims)
        log.warning("results were late and are dropped", claims=claims[:20])

    def _settle(self, claims: Iterable[Held]) -> None:
        """Ack, one call for each consumption."""
        tags: dict[int, list[Held]] = {}
        for held in claims:
            tags.setdefault(id(held.consumption), []).append(held)
        for group in tags.values():
            live = [held.tag for held in group if held.stage is not Stage.GONE]
            group[0].consumption.ack(live)
            for held in group:
                self._on_settled(held)


def _size(result: JobResult) -> int:
    """What it takes in a message, in bytes, besides small change."""
    size = len(result.result or b"")
    if result.error is not None:
        size += len(result.error.message.encode()) + len(result.error.traceback.encode())
    return size
