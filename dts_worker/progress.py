"""Progress of jobs on its way: the last report of each, at most five times a second."""

import asyncio

import structlog

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, Broker, Message, Outgoing
from dts_core.errors import BrokerError, TooLarge
from dts_core.model import Progress, ProgressReport
from dts_core.text import clean

INTERVAL_SECONDS = 0.2
ITEMS_MAX = 1_000
"""Most jobs in one report; the others come with the next."""
log = structlog.get_logger(__name__)


class ProgressOutbox:
    """Keeps one report a job; bounded by the jobs that run."""

    def __init__(self, broker: Broker, *, host: str, worker: str) -> None:
        self._broker = broker
        self._host = host
        self._worker = worker
        self._items: dict[str, Progress] = {}
        self._wake = asyncio.Event()

    def add(self, job: str, epoch: int, fraction: float, text: str) -> None:
        """Report soon; a later report of the same job takes this one's place."""
        self._items[job] = Progress(job, epoch, fraction, clean(text, 200))
        self._wake.set()

    def forget(self, job: str) -> None:
        """The job has ended: its progress is no news any more."""
        if self._items:
            self._items.pop(job, None)

    async def run(self) -> None:
        """Send until cancelled; a report that cannot be sent is dropped, the next one says more."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._send()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _send(self) -> None:
        names = list(self._items)[:ITEMS_MAX]
        items = [self._items.pop(name) for name in names]
        if self._items:
            self._wake.set()
        if not items:
            return
        report = ProgressReport(host=self._host, worker=self._worker, items=items)
        try:
            message = Message(body=codec.encode(report), type="ProgressReport")
            await self._broker.publish([Outgoing(HEARTBEATS, message)])
        except (BrokerError, TooLarge) as error:
            log.debug("progress was not sent", reason=str(error))
