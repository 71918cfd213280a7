"""The control side that a worker meets, without its store: queues, claims, sources, and what the worker sent."""

import asyncio
import hashlib
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dts_core import codec
from dts_core.brokers.base import (
    CONTROL,
    HEARTBEATS,
    LOGS,
    REQUESTS,
    RESULTS,
    Consumption,
    Delivery,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.embedded import Link
from dts_core.brokers.link_server import LinkServer
from dts_core.model import (
    BlobChunk,
    BlobReply,
    Control,
    Heartbeat,
    JobMessage,
    JobResult,
    JobResults,
    LogBatch,
    LogRecord,
    Progress,
    ProgressReport,
    Question,
    Signature,
    SourceReply,
    SourceRequest,
)
from dts_core.names import new_id
from dts_core.places import PUBLIC_KEYS
from dts_core.signing import Signer
from dts_core.signing.files import write_keys
from dts_core.signing.keys import new_pem
from dts_core.testing import wait_until
from tests.contract.broker_backends import Owner

CHUNK = 256 << 10
LATE_SECONDS = 0.2
"""Logs promise no order beside results: here each comes late, so that no test rests on the kinder one."""
_QUESTION: Any = Question


class Road(Owner):
    """An owner that submits jobs and keeps every result; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, role="worker")
        self.sources: dict[str, bytes] = {}
        self.requests: list[SourceRequest] = []
        self.chunks: list[BlobChunk] = []
        self.on_chunk: Callable[[BlobChunk], BlobReply | None] | None = None
        """Answers instead, where it answers."""
        self.uploads: dict[tuple[str, int], dict[int, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        """sha256 -> every result that came whole."""
        self.results: list[JobResult] = []
        self.beats: list[Heartbeat] = []
        self.progress: list[Progress] = []
        self.records: list[LogRecord] = []
        self.dropped = 0
        self.signer = Signer(new_pem())
        self.sign: Callable[[SourceRequest], Signature | None] = self.signed
        """Who signed what a worker asks for; every function by default."""
        self._taken: dict[str, Consumption] = {}

    async def __aenter__(self) -> "Road":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        await super().open()
        write_keys(self.folder / PUBLIC_KEYS, [self.signer.public])
        await self.broker.declare(QueueSpec("jobs.default", claimed=True))
        await self.broker.declare(QueueSpec(RESULTS))
        await self.broker.declare(QueueSpec(HEARTBEATS, QueueKind.BOUNDED))
        await self.broker.declare(QueueSpec(LOGS, QueueKind.BOUNDED))
        await self.broker.declare(QueueSpec(REQUESTS, QueueKind.REQUEST))
        takers = {
            RESULTS: self._on_results,
            HEARTBEATS: self._on_beat,
            LOGS: self._on_logs,
            REQUESTS: self._on_request,
        }
        for queue, take in takers.items():
            self._taken[queue] = await self.broker.consume(queue, take, prefetch=1000)

    # --- what the worker sends

    def _on_results(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self.results += codec.decode(delivery.message.body, JobResults).results
        self._ack(RESULTS, deliveries)

    def _on_beat(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.message.type == "Heartbeat":
                self.beats.append(codec.decode(delivery.message.body, Heartbeat))
            else:
                self.progress += codec.decode(delivery.message.body, ProgressReport).items
        self._ack(HEARTBEATS, deliveries)

    def _on_logs(self, deliveries: list[Delivery]) -> None:
        asyncio.get_running_loop().call_later(LATE_SECONDS, self._keep_logs, deliveries)

    def _keep_logs(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            batch = codec.decode(delivery.message.body, LogBatch)
            self.records += batch.records
            self.dropped += batch.dropped
        self._ack(LOGS, deliveries)

    def _on_request(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            asked: Question = codec.decode(delivery.message.body, _QUESTION)
            reply: SourceReply | BlobReply
            if isinstance(asked, BlobChunk):
                reply = self._keep_chunk(asked)
            else:
                assert isinstance(asked, SourceRequest)
                self.requests.append(asked)
                source = self.sources.get(asked.hash, b"")
                data = source[asked.offset : asked.offset + CHUNK]
                signature = None if asked.offset else self.sign(asked)
                reply = SourceReply(asked.hash, len(source), asked.offset, data, signature)
            answer = Message(codec.encode(reply), correlation_id=delivery.message.correlation_id)
            self.broker.publish_soon([Outgoing(delivery.message.reply_to, answer)])
        self._ack(REQUESTS, deliveries)

    def signed(self, asked: SourceRequest) -> Signature | None:
        """The signature of the version as one of the function that the worker named."""
        return self.signer.sign(asked.function, asked.hash) if asked.function else None

    def _keep_chunk(self, chunk: BlobChunk) -> BlobReply:
        self.chunks.append(chunk)
        if self.on_chunk is not None and (reply := self.on_chunk(chunk)) is not None:
            return reply
        kept = self.uploads.setdefault((chunk.job, chunk.epoch), {})
        kept[chunk.offset] = chunk.data
        received = 0
        while received in kept:
            received += len(kept[received])
        if received == chunk.total:
            self.blobs[chunk.hash] = b"".join(kept[at] for at in sorted(kept))
        return BlobReply(chunk.hash, received)

    def _ack(self, queue: str, deliveries: list[Delivery]) -> None:
        self._taken[queue].ack([delivery.tag for delivery in deliveries])

    # --- what a test does

    def add(self, source: str) -> str:
        """Keep a function's source; its hash."""
        text = textwrap.dedent(source).encode()
        found = hashlib.sha256(text).hexdigest()
        self.sources[found] = text
        return found

    def message(self, source: str, *args: Any, **fields: Any) -> JobMessage:
        """A job of the function in `source`."""
        given: dict[str, Any] = {
            "id": new_id(),
            "function": "test/function",
            "version": self.add(source),
            "is_async": "async def main" in source,
            "args": json.dumps(args).encode(),
            "kwargs": b"{}",
            "attempt": 1,
            "grace_seconds": 0.2,
        }
        return JobMessage(**(given | fields))

    async def send(self, *jobs: JobMessage, queue: str = "jobs.default") -> None:
        """Publish jobs."""
        await self.broker.publish(
            [
                Outgoing(queue, Message(codec.encode(job), type="JobMessage", message_id=job.id))
                for job in jobs
            ]
        )

    async def submit(self, source: str, *args: Any, **fields: Any) -> str:
        """Publish one job; its id."""
        job = self.message(source, *args, **fields)
        await self.send(job)
        return job.id

    async def result(self, job: str, *, seconds: float = 60.0) -> JobResult:
        """The result of a job, once it has come."""
        await wait_until(lambda: bool(self.of(job)), seconds, what=f"a result of {job}")
        return self.of(job)[0]

    def of(self, job: str) -> list[JobResult]:
        """Every result that came of a job."""
        return [result for result in self.results if result.id == job]

    def texts(self, job: str) -> list[str]:
        """Log lines of a job."""
        return [record.text for record in self.records if record.job == job]

    async def order(self, order: Control) -> None:
        """Send an order of the control side."""
        await self.broker.fanout(CONTROL, Message(codec.encode(order), type=type(order).__name__))

    async def reopen_links(self) -> None:
        """Serve links again after `server.close()`, as an owner that was started again does."""
        self.server = LinkServer(
            self.broker,
            self.socket,
            role=self.role,
            ping_seconds=self.ping_seconds,
            lost_seconds=self.lost_seconds,
        )
        await self.server.start()

    def take_claim_away(self, job: str, epoch: int) -> None:
        """Let no link hold this claim any more, so that its result is refused."""
        for session in self.server._sessions:
            if isinstance(session.link, Link):
                session.link._claims.drop(job, epoch)

    async def until_logged(self, job: str, text: str) -> None:
        """Wait until a job has logged a line."""
        await wait_until(lambda: text in self.texts(job), what=f"{job} logs {text!r}")

    async def all_texts(self, job: str) -> list[str]:
        """Log lines of a job once every line that was sent has come; for a worker that has ended."""

        async def nothing_waits() -> bool:
            logs = [queue for queue in await self.broker.stats() if queue.name == LOGS]
            return all(queue.ready + queue.unacked == 0 for queue in logs)

        await wait_until(nothing_waits, what="the last log line")
        return self.texts(job)

    async def until_linked(self) -> None:
        """Wait until a worker is there and has said so."""
        await wait_until(lambda: bool(self.beats), what="a heartbeat")
        await asyncio.sleep(0)
