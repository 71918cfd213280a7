"""Jobs: asked for, found again, waited for, run again."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from dts_core.brokers.base import JOBS, Broker, QueueKind, QueueSpec
from dts_core.clock import Clock
from dts_core.deadline import answer_within, extended
from dts_core.errors import (
    BrokerUnavailable,
    DtsError,
    Forbidden,
    InvalidInput,
    NotFound,
    StoreUnavailable,
)
from dts_core.model import (
    Attempt,
    Change,
    Job,
    JobCounts,
    JobQuery,
    Page,
)
from dts_core.names import split_function
from dts_core.sealed import Sealer
from dts_core.services.access import DTS, Caller, check_submit
from dts_core.services.admin import AdminWriter
from dts_core.services.counters import Counters
from dts_core.services.events import EventBus
from dts_core.services.functions import no_function
from dts_core.services.jobcache import READS_MAX, JobCache
from dts_core.services.messages import job_message
from dts_core.services.submission import (
    check_again,
    check_options,
    make_job,
    masked_digest,
    of_batch,
    queue_of,
    renew_job,
)
from dts_core.services.targets import Target, Targets
from dts_core.services.waiters import Waiters, count_ends
from dts_core.signing import Signer
from dts_core.states import FINAL, JobState
from dts_core.stores.base import Store
from dts_core.stores.jobstore import IdempotencyKey, Intake
from dts_core.text import clean
from dts_core.views import SessionView, SubmitRequest, job_view

BATCH_MAX: Final = 1000
WAIT_MAX_SECONDS: Final = 60.0
RECHECK_SECONDS: Final = 1.0
"""How often a waiting request looks at the store: an announcement may be lost."""
DECLARE_SECONDS: Final = 2.0
"""How long a new queue may hold up a job, which is durable without it."""
QUEUES_MAX: Final = 1000
"""Most queues that submissions may bring into being."""
_QUEUED: Final = JobState.QUEUED
_log = logging.getLogger(__name__)


class JobPorts(msgspec.Struct, frozen=True):
    """What `Jobs` works with."""

    store: Store
    intake: Intake
    broker: Broker
    clock: Clock
    bus: EventBus
    writer: AdminWriter
    targets: Targets
    cache: JobCache
    counters: Counters
    result_max: int
    sealer: Sealer | None = None
    """Seals secret arguments; None: none are taken."""
    envelopes: Signer | None = None
    """Signs the envelopes of jobs; None: they are not signed."""


class Jobs:
    """The jobs. What a caller may not see does not exist for them."""

    def __init__(self, ports: JobPorts) -> None:
        self._store = ports.store
        self._intake = ports.intake
        self._broker = ports.broker
        self._clock = ports.clock
        self._bus = ports.bus
        self._writer = ports.writer
        self._targets = ports.targets
        self._counters = ports.counters
        self._result_max = ports.result_max
        self._sealer = ports.sealer
        self._envelopes = ports.envelopes
        self._declared: set[str] = set()
        self.cache = ports.cache
        self.waiters = Waiters()
        self._bus.listen(self.cache.hear)
        self._bus.listen(self.waiters.hear)
        self._bus.listen(lambda changes: count_ends(changes, ports.counters))

    # --- asking for jobs ---------------------------------------------------------------------------------------------

    async def submit(
        self, caller: Caller, request: SubmitRequest, *, key: str = "", digest: bytes = b""
    ) -> Job:
        """Accept one job; durable when it returns.

        Args:
            caller: Who submits.
            request: What to run.
            key: The caller's idempotency key; the same request again answers with the same job.
            digest: Of the request that `key` stands for.

        Raises:
            Forbidden: Names the user and what is missing. For `dts/` the attempt is recorded.
            NotFound: No such function.
            InvalidInput: An option is out of bounds, or the arguments do not fit.
            Conflict: `key` was used for another request.
        """
        job = await self._checked(caller, request, {}, self._clock.now())
        ids = await self._accept(caller, [job], key, digest)
        return job if ids == [job.id] else await self.get(caller, ids[0])

    async def submit_many(
        self,
        caller: Caller,
        requests: Sequence[SubmitRequest],
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> list[str]:
        """Accept 1 to BATCH_MAX jobs in one commit, all or none; their ids in order. Raises as `submit`."""
        if not 1 <= len(requests) <= BATCH_MAX:
            raise InvalidInput(
                f"a batch has 1 to {BATCH_MAX} jobs, not {len(requests)}.",
                fields={"jobs": f"1 to {BATCH_MAX}"},
            )
        known: dict[tuple[str, str], Target] = {}
        jobs, now = [], self._clock.now()
        for index, request in enumerate(requests):
            try:
                jobs.append(await self._checked(caller, request, known, now))
            except DtsError as error:
                raise of_batch(error, index) from error
        return await self._accept(caller, jobs, key, digest)

    async def again(
        self,
        caller: Caller,
        job_id: str,
        *,
        version: str = "same",
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Run a job again with the `same` version of its function, or with the `default` one of now.

        `key` and `digest` as for `submit`.

        Raises:
            NotFound: No such job; for `default`, no such function any more.
            Forbidden: The caller may not submit to its namespace.
            InvalidInput: Its arguments do not fit the version, or `version` is another word.
        """
        if version not in ("same", "default"):
            raise InvalidInput("version is same or default.", fields={"version": "same | default"})
        former = await self.get(caller, job_id)
        await self._permit(caller, former.function)
        chosen, is_async = former.running_version, former.is_async
        if former.trial is not None and chosen == former.trial.version:
            is_async = former.trial.is_async
        if version == "default":
            target = await self._targets.find(former.function)
            check_again(former, target)
            chosen, is_async = target.version, target.is_async
        await self._declare(former.queue)
        job = renew_job(caller, former, chosen, is_async, self._clock.now())
        ids = await self._accept(caller, [job], key, digest)
        return job if ids == [job.id] else await self.get(caller, ids[0])

    async def _checked(
        self,
        caller: Caller,
        request: SubmitRequest,
        known: dict[tuple[str, str], Target],
        now: datetime,
    ) -> Job:
        """The job of a request that passed every check; `known` keeps what a batch has found out already."""
        call = (request.function, request.version)
        target = known.get(call)
        if target is None:
            await self._permit(caller, request.function)
            target = known[call] = await self._targets.find(request.function, request.version)
        check_options(request)
        target.arguments.check(bytes(request.args), bytes(request.kwargs))
        queue = queue_of(request, target)
        if queue not in self._declared:
            await self._declare(queue)
        return make_job(caller, request, target, now, self._sealer)

    async def _permit(self, caller: Caller, function: str) -> None:
        namespace, _ = split_function(function)
        if namespace != DTS and not caller.sees_namespace(namespace):
            raise no_function(function)
        try:
            check_submit(caller, namespace)
        except Forbidden as error:
            if namespace == DTS:
                await self._writer.refused(caller, "jobs", function, "call", error)
            raise

    async def _declare(self, queue: str) -> None:
        """Make sure that the queue is there; a host's own only for a host that was ever seen."""
        if queue in self._declared:
            return
        host = queue.removeprefix("host.")
        if host != queue and all(each.name != host for each in await self._store.hosts()):
            raise InvalidInput(
                f"there is no host {clean(host, 120)}.",
                fields={"host": "not known here"},
                advice="See `dts status` for the hosts.",
            )
        if len(self._declared) >= QUEUES_MAX:
            raise InvalidInput(
                f"there are {QUEUES_MAX} queues already.", fields={"queue": "too many"}
            )
        try:
            with answer_within(DECLARE_SECONDS):
                await self._broker.declare(QueueSpec(JOBS + queue, QueueKind.WORK, claimed=True))
        except BrokerUnavailable as error:  # whoever publishes the job later declares it
            _log.info("the queue %s is declared later: %s", clean(queue, 120), error)
        else:
            self._declared.add(queue)

    async def _accept(
        self, caller: Caller, jobs: Sequence[Job], key: str, digest: bytes
    ) -> list[str]:
        now, jobs = self._clock.now(), [self._signed(job) for job in jobs]
        messages = [
            job_message(job, at=now, result_max=self._result_max)
            for job in jobs
            if job.state is _QUEUED
        ]
        if key and any(job.sealed is not None for job in jobs):
            digest = masked_digest(jobs)
        # Into the cache before the commit: what is announced of the job from then on finds its record there. The jobs
        # of a batch are seldom looked at within FRESH_SECONDS, and each would be marked stale by every change.
        if len(jobs) == 1:
            self.cache.put(jobs[0])
        ids: list[str] = []
        try:
            ids = await self._intake.accept(
                jobs,
                messages,
                key=IdempotencyKey(caller.user, key, digest) if key else None,
            )
        finally:
            if len(ids) != len(jobs) or ids[0] != jobs[0].id:
                self.cache.forget(jobs)
        if ids[0] == jobs[0].id:
            self._counters.add("dts_jobs_submitted_total", len(jobs))
            await self._bus.publish([Change("jobs", job.id, str(job.state)) for job in jobs])
        return ids

    def _signed(self, job: Job) -> Job:
        """With its envelope signed, where jobs are; those of `dts/` never leave the control side."""
        if self._envelopes is None or job.function.startswith(f"{DTS}/"):
            return job
        return msgspec.structs.replace(job, envelope=self._envelopes.sign_job(job))

    # --- looking at jobs ---------------------------------------------------------------------------------------------

    async def get(self, caller: Caller, job_id: str, *, wait_seconds: float = 0.0) -> Job:
        """The whole job; with `wait_seconds` (at most WAIT_MAX_SECONDS) as soon as it has ended.

        Raises:
            NotFound: There is none that the caller sees.
        """
        job = self.cache.get(job_id) or await self._read(job_id)
        if job is None or not caller.sees(job):
            raise _no_job(job_id)
        if wait_seconds <= 0 or job.state in FINAL:
            return job
        return await self._wait(job, min(wait_seconds, WAIT_MAX_SECONDS))

    async def _wait(self, job: Job, seconds: float) -> Job:
        """The job as it stands at its end, or after so long; a store that is away meanwhile is waited out.

        Raises:
            StoreUnavailable: It is away in the end.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        away: StoreUnavailable | None = None
        with extended(seconds):
            while job.state not in FINAL and (left := deadline - loop.time()) > 0:
                going_on = await self.waiters.wait(job.id, min(left, RECHECK_SECONDS))
                try:
                    job, away = await self._read(job.id) or job, None
                except StoreUnavailable as error:
                    away = error
                if not going_on:
                    break
        if away is not None:
            raise away
        return job

    async def _read(self, job_id: str) -> Job | None:
        """From the store, into the cache; again when it changed while it was read."""
        job = None
        for _ in range(READS_MAX):
            self.cache.begin_read(job_id)
            found, trusted = None, False
            try:
                found = await self._store.get_job(job_id)
            finally:
                trusted = self.cache.end_read(job_id, found)
            job = found
            if trusted:
                break
        return job

    async def page(self, caller: Caller, query: JobQuery) -> Page[Job]:
        """One page of the jobs that the caller sees, without results."""
        if not caller.is_admin:
            query = msgspec.structs.replace(
                query,
                visible_namespaces=tuple(caller.memberships),
                visible_to="" if caller.scope.namespaces is not None else caller.user,
            )
        return await self._store.find_jobs(query)

    async def counts(self, caller: Caller) -> JobCounts:
        """The dashboard's figures, over the jobs of the namespaces that the caller sees."""
        if caller.sees_everything:
            return await self._store.count_jobs()
        return await self._store.count_jobs(sorted(caller.memberships))

    async def attempts(self, caller: Caller, job_id: str) -> list[Attempt]:
        """Attempts that ended without ending the job, by epoch.

        Raises:
            NotFound: There is no job that the caller sees.
        """
        await self.get(caller, job_id)
        return await self._store.attempts(job_id)

    async def own_record(self, caller: Caller) -> SessionView:
        """Who asks, and what they submitted: counts by state and the last 50 jobs, newest first."""
        record = await self._store.submitter_record(caller.user)
        recent = await self._store.get_jobs(record.recent)
        return SessionView(
            user=caller.user,
            role=caller.role.name.lower(),
            counts=record.counts,
            recent=[job_view(job, with_result=False) for job in recent if caller.sees(job)],
        )


def _no_job(job_id: str) -> NotFound:
    return NotFound(f"there is no job {clean(job_id, 60)}.", advice="See `dts jobs`.")
