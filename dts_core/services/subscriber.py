"""One follower of the live stream: what it wants, and what waits for it."""

import asyncio
from collections import deque
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import InvalidInput
from dts_core.model import Job, LoginQuestion, LogQuery, LogRecord
from dts_core.services.access import Caller
from dts_core.services.logs import matches, sees
from dts_core.text import clean

TOPICS: Final = frozenset({"jobs", "hosts", "alarms", "queues", "logs", "questions"})
RESET: Final = "reset"
"""The event that says: too much was missed, list again."""
EVENTS_MAX: Final = 1000
BYTES_MAX: Final = 4 << 20
"""What waits for one follower at most; beyond it everything is dropped and it is told to list again."""
RESET_SECONDS: Final = 1.0
"""Shortest time between two resets of one follower."""


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to follow; empty filters do not filter."""

    topics: frozenset[str]
    job: str = ""
    function: str = ""
    host: str = ""
    level: int = 0
    text: str = ""

    def log_query(self) -> LogQuery:
        """The filters as the store takes them."""
        return LogQuery(
            job=self.job, function=self.function, host=self.host, level=self.level, text=self.text
        )


class StreamPosition(msgspec.Struct, frozen=True):
    """How far a follower is: the newest job change and the newest log record it has. Written `jobs-logs`."""

    jobs: int = 0
    logs: int = 0

    def __str__(self) -> str:
        return f"{self.jobs}-{self.logs}"


def parse_position(text: str) -> StreamPosition | None:
    """The position of an event id; None when there is none.

    Raises:
        InvalidInput: It is no id of ours.
    """
    if not text:
        return None
    jobs, dash, logs = text.partition("-")
    if not dash or not all(
        part.isascii() and part.isdigit() and len(part) < 19 for part in (jobs, logs)
    ):
        raise InvalidInput(
            f"{clean(text, 40)!r} is no id of this stream.",
            fields={"Last-Event-ID": "the id of an event of this stream"},
        )
    return StreamPosition(int(jobs), int(logs))


class StreamItem(msgspec.Struct, frozen=True):
    """One event as it goes out; `data` is JSON."""

    topic: str
    position: StreamPosition
    data: bytes


class Subscriber:
    """A follower with its bounded queue. Offering never waits, so a slow follower delays nobody."""

    def __init__(self, caller: Caller, query: StreamQuery, clock: Clock) -> None:
        self.caller = caller
        self.query = query
        self.position = StreamPosition()
        self.owns_job = False
        self._clock = clock
        self._log_query = query.log_query()
        self._waiting: deque[StreamItem] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._missed = False
        self._reset_at = float("-inf")
        self.closed = False

    def wants_job(self, job: Job) -> bool:
        """Whether a job's change is for this follower."""
        query = self.query
        return (
            "jobs" in query.topics
            and (not query.job or job.id == query.job)
            and (not query.function or job.function == query.function)
            and (not query.host or job.host == query.host)
            and self.caller.sees(job)
        )

    def wants_question(self, question: LoginQuestion) -> bool:
        """Whether what a login asks is for this follower: for whoever started the job alone."""
        query = self.query
        return (
            "questions" in query.topics
            and question.state == "open"
            and query.job in ("", question.job)
            and self.caller.is_admin
            and self.caller.user == question.person
        )

    def wants_log(self, record: LogRecord) -> bool:
        """Whether a log record is for this follower, and not sent yet."""
        return (
            record.seq > self.position.logs
            and matches(self._log_query, record)
            and (self.owns_job or sees(self.caller, record))
        )

    def offer(self, topic: str, data: bytes, *, jobs: int = 0, logs: int = 0) -> None:
        """Queue one event; `jobs` and `logs` are the positions after it, 0 when it has none."""
        at = self.position
        self.position = StreamPosition(max(at.jobs, jobs), max(at.logs, logs))
        self._waiting.append(StreamItem(topic, self.position, data))
        self._bytes += len(data)
        if len(self._waiting) > EVENTS_MAX or self._bytes > BYTES_MAX:
            self._waiting.clear()
            self._bytes = 0
            self._missed = True
        self._wake.set()

    def miss(self) -> None:
        """Something could not be offered: tell the follower to list again."""
        self._missed = True
        self._wake.set()

    def close(self) -> None:
        """End the stream after what waits."""
        self.closed = True
        self._wake.set()

    async def take(self, timeout_seconds: float) -> list[StreamItem]:
        """What waits, in order; empty after `timeout_seconds` of silence, or when the stream has ended."""
        if not self._waiting and not self._due() and not self.closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(min(timeout_seconds, self._patience())):
                    await self._wake.wait()
            except TimeoutError:
                pass
        items = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        if self._due():
            self._missed = False
            self._reset_at = self._clock.monotonic()
            items.append(StreamItem(RESET, self.position, b"{}"))
        return items

    def _due(self) -> bool:
        return self._missed and self._clock.monotonic() - self._reset_at >= RESET_SECONDS

    def _patience(self) -> float:
        return RESET_SECONDS if self._missed else float("inf")
