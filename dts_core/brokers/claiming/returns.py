"""Claims on their way back, uncharged: told to the control side as results are, with a confirm."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from dts_core import codec
from dts_core.brokers.base import RESULTS, Broker, Message, Outgoing
from dts_core.brokers.claiming.records import Claim
from dts_core.brokers.consumer import PAUSE_FIRST_SECONDS, PAUSE_MAX_SECONDS
from dts_core.errors import DtsError
from dts_core.model import JobResult, JobResults
from dts_core.states import JobEvent

MESSAGE_CLAIMS: Final = 64
"""Most claims in one message."""
log = structlog.get_logger(__name__)

_Item = tuple[str, int, Claim | None]


class Returns:
    """Gives claims back; while the broker is away they wait.

    Args:
        broker: Publishes to `results`.
        host: Of this worker.
        worker: Its name.
        on_returned: Called with each claim whose return is confirmed.
    """

    def __init__(
        self, broker: Broker, host: str, worker: str, on_returned: Callable[[Claim], None]
    ) -> None:
        self._broker = broker
        self._host = host
        self._worker = worker
        self._on_returned = on_returned
        self._waiting: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def add(self, claim: Claim) -> None:
        """Give a claim back soon."""
        self._add((claim.job, claim.epoch, claim))

    def add_unknown(self, job: str, epoch: int) -> None:
        """Give a claim back that never arrived here."""
        self._add((job, epoch, None))

    async def flushed(self) -> None:
        """Wait until every one is confirmed."""
        await self._empty.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        pause = PAUSE_FIRST_SECONDS
        while True:
            await self._wake.wait()
            batch = [
                self._waiting.popleft() for _ in range(min(len(self._waiting), MESSAGE_CLAIMS))
            ]
            try:
                await self._publish(batch)
                pause = PAUSE_FIRST_SECONDS
            except DtsError as error:
                self._waiting.extendleft(reversed(batch))
                log.warning("claims that go back wait", count=len(batch), reason=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, PAUSE_MAX_SECONDS)
            if not self._waiting:
                self._wake.clear()
                self._empty.set()

    def _add(self, item: _Item) -> None:
        self._waiting.append(item)
        self._empty.clear()
        self._wake.set()

    async def _publish(self, batch: list[_Item]) -> None:
        results = [JobResult(job, epoch, JobEvent.GIVE_BACK) for job, epoch, _ in batch]
        body = codec.encode(JobResults(self._host, self._worker, results))
        await self._broker.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])
        for _, _, claim in batch:
            if claim is not None:
                self._on_returned(claim)
