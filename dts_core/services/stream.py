"""The live stream: what changes is read once and handed to every follower whose filters it passes."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import Broker, Message, Subscription
from dts_core.clock import Clock
from dts_core.deadline import answer_within
from dts_core.errors import BrokerError, CodecError, DtsError, Throttled
from dts_core.model import Change, Host, Job, LogBatch, LogRecord
from dts_core.services.access import Caller
from dts_core.services.asked import QUESTIONS, question_view
from dts_core.services.counters import Counters
from dts_core.services.events import EventBus
from dts_core.services.hosts import seen_by
from dts_core.services.logs import line
from dts_core.services.subscriber import StreamPosition, StreamQuery, Subscriber
from dts_core.stores.base import Store
from dts_core.views import job_view

LOG_STREAM: Final = "logs"
"""Fanout of LogBatch: stored records with their positions."""
SUBSCRIBERS_MAX: Final = 500
GATHER_SECONDS: Final = 0.1
"""How long changes gather, so that a job that changes thrice is told once."""
TICK_SECONDS: Final = 1.0
QUEUES_SECONDS: Final = 4.0
"""How long the other topics may wait for a look at the queues."""
"""How often the queues are looked at."""
JOBS_MAX: Final = 200
"""Jobs told one by one in each GATHER_SECONDS; when more change, followers list again instead."""
DIRTY_MAX: Final = 20_000
"""Changed documents of one kind that are remembered until the next flush."""
RESUME_MAX: Final = 1000
"""Changes, and log records, that a resume catches up with; a longer absence is a reset."""
RESUME_OVERLAP: Final = 500
"""Positions told again by a resume: jobs are not told strictly in the order of their positions."""
_log = logging.getLogger(__name__)
_encode = msgspec.json.encode


class StreamHub:
    """All followers of this server. `start`, then `run` as a task; `close` ends every stream."""

    def __init__(
        self, store: Store, broker: Broker, clock: Clock, bus: EventBus, counters: Counters
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._bus = bus
        self._counters = counters
        self._subscribers: set[Subscriber] = set()
        self._dirty: dict[str, dict[str, None]] = {
            topic: {} for topic in ("jobs", "hosts", "alarms", QUESTIONS.name)
        }
        self._wake = asyncio.Event()
        self._logs: Subscription | None = None
        self._lost = 0
        self._overflown = False
        self._queues = b""
        self._closed = False
        bus.listen(self._hear)

    def __len__(self) -> int:
        return len(self._subscribers)

    async def start(self) -> None:
        """Begin to hear log records."""
        self._logs = await self._broker.subscribe(LOG_STREAM, self._hear_logs, limit=1000)

    async def run(self) -> None:
        """Tell followers what changed, until cancelled."""
        looked_at = float("-inf")
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            try:
                await self.flush()
                if self._clock.monotonic() - looked_at >= TICK_SECONDS:
                    looked_at = self._clock.monotonic()
                    await self._look_at_queues()
            except DtsError as error:
                _log.info("a change could not be told to followers: %s", error)
                self._miss_all()

    async def stop(self) -> None:
        """End every stream and hear nothing any more. A second call does nothing."""
        self.close()
        if self._logs is not None:
            await self._logs.close()

    def close(self) -> None:
        """End every stream, and open no new one."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.close()

    async def subscribe(
        self, caller: Caller, query: StreamQuery, last: StreamPosition | None = None
    ) -> Subscriber:
        """A new follower; `leave` must be called with it at the end.

        Args:
            caller: Who follows.
            query: What.
            last: Where an earlier stream was cut: what came since comes first.

        Raises:
            Throttled: SUBSCRIBERS_MAX followers are there already.
        """
        if len(self._subscribers) >= SUBSCRIBERS_MAX:
            raise Throttled("too many streams are open.", retry_after_seconds=5.0)
        subscriber = Subscriber(caller, query, self._clock)
        if query.job:
            jobs = await self._store.get_jobs([query.job])
            subscriber.owns_job = any(caller.sees(job) for job in jobs)
        if last is None:
            jobs_at = await self._store.position()
            subscriber.position = StreamPosition(jobs_at, await self._store.log_position())
            self._subscribers.add(subscriber)
        else:
            subscriber.position = last
            await self._catch_up(subscriber, last)
        if self._closed:
            subscriber.close()
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """The follower is gone. A second call does nothing."""
        self._subscribers.discard(subscriber)

    async def flush(self) -> None:
        """Tell what changed since the last time."""
        if self._bus.dropped > self._lost or self._overflown:
            self._lost, self._overflown = self._bus.dropped, False
            self._miss_all()
        dirty = self._dirty
        self._dirty = {topic: {} for topic in dirty}
        if dirty["jobs"]:
            await self._tell_jobs(list(dirty["jobs"]))
        if dirty["hosts"]:
            for host in await self._store.hosts():
                if host.name in dirty["hosts"]:
                    self._tell_host(host)
        if dirty["alarms"]:
            for alarm in await self._store.alarms():
                if alarm.id in dirty["alarms"]:
                    self._tell("alarms", alarm, alarm.host)

        for each in dirty[QUESTIONS.name]:
            await self._tell_question(each)

    async def _catch_up(self, subscriber: Subscriber, last: StreamPosition) -> None:
        """Read what came since `last`; the follower joins the live stream before the last read."""
        topics = subscriber.query.topics
        if "jobs" in topics and await self._store.position() - last.jobs > RESUME_MAX:
            subscriber.miss()
            subscriber.position = StreamPosition(await self._store.position(), last.logs)
        elif "jobs" in topics:
            since = max(0, last.jobs - RESUME_OVERLAP)
            limit = RESUME_MAX + RESUME_OVERLAP
            for job in await self._store.changed_jobs(since, limit=limit):
                _offer_job(subscriber, job)
        if "logs" in topics:
            query = msgspec.structs.replace(
                subscriber.query.log_query(), after=last.logs, limit=RESUME_MAX
            )
            records = await self._store.find_logs(query)
            if len(records) >= RESUME_MAX:
                subscriber.miss()
            else:
                _offer_logs(subscriber, records)
        self._subscribers.add(subscriber)
        self._dirty["jobs"].update((job.id, None) for job in await self._newest(subscriber))
        self._wake.set()

    async def _newest(self, subscriber: Subscriber) -> list[Job]:
        """Jobs that changed while the follower caught up, so that none falls between the two."""
        if "jobs" not in subscriber.query.topics:
            return []
        return await self._store.changed_jobs(subscriber.position.jobs, limit=RESUME_MAX)

    def _hear(self, changes: Sequence[Change]) -> None:
        if not self._subscribers:
            return
        for change in changes:
            gathered = self._dirty.get(change.topic)
            if gathered is not None and len(gathered) < DIRTY_MAX:
                gathered[change.id] = None
            elif gathered is not None:
                self._overflown = True
        self._wake.set()

    def _hear_logs(self, message: Message) -> None:
        followers = [each for each in self._subscribers if "logs" in each.query.topics]
        if not followers:
            return
        try:
            batch = codec.decode(message.body, LogBatch)
        except CodecError as error:
            self._counters.add("dts_events_undecodable_total")
            _log.warning("a batch of log records cannot be read: %s", error)
            return
        for subscriber in followers:
            _offer_logs(subscriber, batch.records)

    async def _tell_jobs(self, ids: list[str]) -> None:
        followers = [each for each in self._subscribers if "jobs" in each.query.topics]
        if len(ids) > JOBS_MAX:
            for subscriber in followers:
                if not subscriber.query.job:
                    subscriber.miss()
            followers = [each for each in followers if each.query.job]
            asked = {each.query.job for each in followers}
            ids = [each for each in ids if each in asked]
        if not followers or not ids:
            return
        jobs = sorted(await self._store.get_jobs(ids), key=lambda job: job.changed)
        for job in jobs:
            data = b""
            for subscriber in followers:
                if subscriber.wants_job(job):
                    data = data or _encode(job_view(job, with_result=False))
                    subscriber.offer("jobs", data, jobs=job.changed)

    def _tell_host(self, host: Host) -> None:
        whole = b""
        for subscriber in self._subscribers:
            query = subscriber.query
            if "hosts" not in query.topics or query.host not in ("", host.name):
                continue
            if subscriber.caller.is_admin:
                whole = whole or _encode(host)
                subscriber.offer("hosts", whole)
            else:
                subscriber.offer("hosts", _encode(seen_by(subscriber.caller, host)))

    async def _tell_question(self, question_id: str) -> None:
        if not any(QUESTIONS.name in each.query.topics for each in self._subscribers):
            return
        question = await QUESTIONS.find(self._store, question_id)
        if question is None:
            return
        for subscriber in self._subscribers:
            if subscriber.wants_question(question):
                subscriber.offer(QUESTIONS.name, _encode(question_view(question)))

    def _tell(self, topic: str, value: object, host: str) -> None:
        data = b""
        for subscriber in self._subscribers:
            query = subscriber.query
            if topic in query.topics and query.host in ("", host):
                data = data or _encode(value)
                subscriber.offer(topic, data)

    async def _look_at_queues(self) -> None:
        if not any("queues" in each.query.topics for each in self._subscribers):
            self._queues = b""
            return
        try:
            with answer_within(QUEUES_SECONDS):
                data = _encode(await self._broker.stats())
        except BrokerError as error:  # nothing is missed: it is looked at again
            _log.debug("the queues are not known now: %s", error)
            return
        if data != self._queues:
            self._queues = data
            for subscriber in self._subscribers:
                if "queues" in subscriber.query.topics:
                    subscriber.offer("queues", data)

    def _miss_all(self) -> None:
        for subscriber in self._subscribers:
            subscriber.miss()


def _offer_job(subscriber: Subscriber, job: Job) -> None:
    if subscriber.wants_job(job):
        subscriber.offer("jobs", _encode(job_view(job, with_result=False)), jobs=job.changed)


def _offer_logs(subscriber: Subscriber, records: Sequence[LogRecord]) -> None:
    wanted = [line(record) for record in records if subscriber.wants_log(record)]
    if wanted:
        subscriber.offer("logs", _encode(wanted), logs=wanted[-1].seq)
