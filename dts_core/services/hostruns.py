"""How far the hosts of a fan-out are, read: by host, by change, by what they answered. Written by its job alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core.errors import Conflict, InvalidInput, NotFound
from dts_core.hostsets import fold
from dts_core.model import HostOutput, HostRun, Job, JobError
from dts_core.model.remote import RUNNING
from dts_core.services.access import Caller
from dts_core.services.asked import open_questions
from dts_core.services.jobs import Jobs
from dts_core.services.livetext import Piece, end_of, new_lines
from dts_core.states import FINAL
from dts_core.stores.base import Store
from dts_core.stores.limits import RUNS_MAX
from dts_core.text import clean, clean_lines
from dts_core.views.ssh import (
    HostLiveView,
    HostOutputView,
    HostRunList,
    HostRunView,
    OutputGroup,
    OutputGroupList,
    RunState,
)

__all__ = ["INIT", "REMOVE", "ROTATE", "SCAN", "SETUPS", "SSHRPC", "HostRuns", "hosts_of"]

SSHRPC: Final = "dts/sshrpc"
INIT: Final = "dts/vhost.init"
REMOVE: Final = "dts/vhost.remove"
ROTATE: Final = "dts/vhost.rotate"
SCAN: Final = "dts/vhost.scan"
SETUPS: Final = (INIT, REMOVE, ROTATE)
GROUPS_MAX: Final = 200
"""Most groups of one answer."""
TEXT_MAX: Final = 1 << 20
"""Characters of a stream, of one host."""
GROUP_TEXT_MAX: Final = 16_384
LOST: Final = JobError(
    type="lost", message="the job ended before its end was known; what it did there is not known."
)


class _Asked(msgspec.Struct, frozen=True):
    """The part of the job's arguments that is needed here."""

    hosts: list[str] = []
    vhosts: list[str] = []
    """Of a set-up."""
    ask: bool = False
    own_keys: list[str] | None = None


class HostRuns:
    """Reads them, for who sees the job."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    async def job(self, caller: Caller, job_id: str) -> Job:
        """The job of a fan-out.

        Raises:
            NotFound: There is none that the caller sees.
        """
        return await self._of(caller, job_id, SSHRPC, *SETUPS)

    async def logging_in(self, caller: Caller, job_id: str) -> Job:
        """A job whose logins may ask: of a fan-out, or a scan. Raises as `job`."""
        return await self._of(caller, job_id, SSHRPC, *SETUPS, SCAN)

    async def _of(self, caller: Caller, job_id: str, *functions: str) -> Job:
        job = await self._jobs.get(caller, job_id)
        if job.function not in functions:
            raise NotFound(f"job {job.id} goes to no hosts by SSH: it is one of {job.function}.")
        return job

    async def page(
        self, caller: Caller, job_id: str, *, start: int, limit: int, state: str
    ) -> HostRunList:
        """Hosts of a job in its order, from the one at `start` on; with `state` only those that stand there.

        Raises:
            NotFound: There is no such job that the caller sees.
        """
        job = await self.job(caller, job_id)
        hosts = hosts_of(job)
        items: list[HostRunView] = []
        at = start
        while at < len(hosts) and len(items) < limit:
            some = hosts[at : at + (RUNS_MAX if state else limit)]
            shown = await self._shown(job, some)
            for view in shown:
                if len(items) == limit:
                    break
                at += 1
                if not state or view.state == state:
                    items.append(view)
        position = max((item.seq for item in items), default=0)
        listed = await self._list(job, items, position)
        return msgspec.structs.replace(listed, next=at if at < len(hosts) else 0)

    async def changes(self, caller: Caller, job_id: str, *, after: int, limit: int) -> HostRunList:
        """Hosts that changed after a position, in the order of their changes. Raises as `page`."""
        job = await self.job(caller, job_id)
        runs = await self._store.runs(job.id, after=after, limit=limit)
        items = [_view(job, run.host, run) for run in runs]
        return await self._list(job, items, max((run.seq for run in runs), default=after))

    async def output(self, caller: Caller, job_id: str, host: str) -> HostOutputView:
        """What one host printed and returned; while it runs, the newest of what it has printed.

        Raises:
            NotFound: There is no such job that the caller sees, or no such host in it.
        """
        job, run = await self._one(caller, job_id, host)
        output = run.output if run is not None and run.output is not None else HostOutput()
        view = _view(job, host, run)
        if run is not None and not run.has_ended:
            total = output.stdout_total + output.stderr_total
            view = msgspec.structs.replace(view, output_total=total)
            output = _so_far(output)
        return HostOutputView(
            **_fields(view),
            stdout=_text(output.stdout, TEXT_MAX),
            stderr=_text(output.stderr, TEXT_MAX),
            result=_text(output.result, TEXT_MAX),
        )

    async def _one(self, caller: Caller, job_id: str, host: str) -> tuple[Job, HostRun | None]:
        """A job, and one of its hosts with its output."""
        job = await self.job(caller, job_id)
        if host not in hosts_of(job):
            raise NotFound(f"job {job.id} does not go to host {clean(host, 120)}.")
        found = await self._store.get_runs(job.id, [host], with_output=True)
        return job, found[0] if found else None

    async def live(
        self, caller: Caller, job_id: str, host: str, *, stdout: int, stderr: int
    ) -> HostLiveView:
        """What one host has printed behind two positions, whether it runs or has ended. Raises as `output`."""
        job, run = await self._one(caller, job_id, host)
        view = _view(job, host, run)
        output = (run.output if run is not None else None) or HostOutput()
        is_over = view.state not in ("running", "waiting")
        out = _piece(output.stdout, output.stdout_total, stdout, is_over=is_over)
        err = _piece(output.stderr, output.stderr_total, stderr, is_over=is_over)
        return HostLiveView(
            **_fields(view),
            stdout=_text(out.data, TEXT_MAX),
            stderr=_text(err.data, TEXT_MAX),
            result=_text(output.result, TEXT_MAX),
            stdout_at=out.at,
            stderr_at=err.at,
            stdout_missed=out.missed,
            stderr_missed=err.missed,
            is_over=is_over,
        )

    async def groups(self, caller: Caller, job_id: str) -> OutputGroupList:
        """Hosts with the same answer together, the largest groups first. Raises as `page`."""
        job = await self.job(caller, job_id)
        gathered = await self._gathered(job)
        order = sorted(gathered, key=lambda key: (-len(gathered[key]), key))
        items = []
        for state, digest in order[:GROUPS_MAX]:
            views = gathered[state, digest]
            items.append(await self._group(job, digest, views))
        return OutputGroupList(
            items=items, is_over=_is_over(job), more=max(len(order) - GROUPS_MAX, 0)
        )

    async def ended(self, job: Job, which: str, digest: str) -> list[str]:
        """Hosts that ended in one way, in the job's order; `not_ok`: in any but ok; `group`: those of a digest.

        Raises:
            InvalidInput: The digest names no group, or more than one.
            Conflict: It is not over, so that it is not known who never started.
        """
        if which in ("never_started", "not_ok") and not _is_over(job):
            raise Conflict(
                f"job {job.id} is not over.", advice="Wait for its end, or cancel it first."
            )
        views = await self._shown(job, hosts_of(job))
        if which == "group":
            whole = _one_digest({view.group for view in views if view.group}, digest)
            return [view.host for view in views if view.group == whole]
        if which == "not_ok":
            return [view.host for view in views if view.state != "ok"]
        return [view.host for view in views if view.state == which]

    async def _shown(self, job: Job, hosts: Sequence[str]) -> list[HostRunView]:
        runs: dict[str, HostRun] = {}
        for at in range(0, len(hosts), RUNS_MAX):
            some = await self._store.get_runs(job.id, hosts[at : at + RUNS_MAX])
            runs |= {run.host: run for run in some}
        return [_view(job, host, runs.get(host)) for host in hosts]

    async def _list(self, job: Job, items: list[HostRunView], position: int) -> HostRunList:
        asked = _asked(job)
        total = len(hosts_of(job))
        questions = await open_questions(self._store, job) if asked.ask or asked.own_keys else []
        return HostRunList(
            items=items,
            total=total,
            counts=_counts(job, total, await self._store.count_runs(job.id)),
            position=position,
            job_state=job.state.value,
            is_over=_is_over(job),
            questions=len(questions),
        )

    async def _gathered(self, job: Job) -> Mapping[tuple[str, str], list[HostRunView]]:
        gathered: defaultdict[tuple[str, str], list[HostRunView]] = defaultdict(list)
        for view in await self._shown(job, hosts_of(job)):
            gathered[view.state, view.group].append(view)
        return gathered

    async def _group(self, job: Job, digest: str, views: Sequence[HostRunView]) -> OutputGroup:
        first, names = views[0], [view.host for view in views]
        found = await self._store.get_runs(job.id, names[:1], with_output=True) if digest else []
        output = (found[0].output if found else None) or HostOutput()
        return OutputGroup(
            digest=digest,
            state=first.state,
            hosts=names,
            folded=fold(names),
            exit_status=first.exit_status,
            exit_signal=first.exit_signal,
            error=first.error,
            stdout=_text(output.stdout, GROUP_TEXT_MAX),
            stderr=_text(output.stderr, GROUP_TEXT_MAX),
            result=_text(output.result, GROUP_TEXT_MAX),
        )


def _fields(view: HostRunView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in HostRunView.__struct_fields__}


def _piece(data: bytes, total: int, at: int, *, is_over: bool) -> Piece:
    total = total or len(data)  # of records of before
    return new_lines(end_of(data, total), total, at, is_over=is_over)


def _so_far(output: HostOutput) -> HostOutput:
    """What a running host has printed, with a line for what is held no more."""

    def told(data: bytes, total: int) -> bytes:
        gone = total - len(data)
        return b"... %d bytes before this ...\n" % gone + data if gone > 0 else data

    return msgspec.structs.replace(
        output,
        stdout=told(output.stdout, output.stdout_total),
        stderr=told(output.stderr, output.stderr_total),
    )


def hosts_of(job: Job) -> list[str]:
    """The hosts that a fan-out goes to, each once; none where its arguments are of another shape."""
    asked = _asked(job)
    return list(dict.fromkeys(asked.vhosts if job.function in SETUPS else asked.hosts))


def _asked(job: Job) -> _Asked:
    try:
        return msgspec.json.decode(job.kwargs, type=_Asked)
    except msgspec.DecodeError:
        return _Asked()


def _is_over(job: Job) -> bool:
    return job.state in FINAL


def _view(job: Job, host: str, run: HostRun | None) -> HostRunView:
    """A host as it stands; what has no end when its job is over was lost, or never begun."""
    over = _is_over(job)
    if run is None:
        return HostRunView(host=host, state="never_started" if over else "waiting")
    error, state = run.error, _state(run.state)
    if over and not run.has_ended:
        state, error = "failed", LOST
    return HostRunView(
        host=host,
        state=state,
        seq=run.seq,
        exit_status=run.exit_status,
        exit_signal=run.exit_signal,
        error=error,
        group=run.digest,
        output_total=run.output_total,
        fingerprint=run.fingerprint,
        started_at=run.started_at,
        finished_at=run.finished_at,
    )


def _state(text: str) -> RunState:
    state: RunState = msgspec.convert(text, RunState)
    return state


def _counts(job: Job, total: int, kept: Mapping[str, int]) -> dict[str, int]:
    counts = dict(kept)
    if left := total - sum(kept.values()):
        counts["never_started" if _is_over(job) else "waiting"] = left
    if _is_over(job) and (hanging := counts.pop(RUNNING, 0)):
        counts["failed"] = counts.get("failed", 0) + hanging
    return counts


def _one_digest(digests: set[str], begin: str) -> str:
    found = [each for each in digests if begin and each.startswith(begin)]
    if len(found) != 1:
        why = "more than one group begins so" if found else "there is no such group"
        raise InvalidInput(f"group {clean(begin, 64)!r}: {why}.", fields={"digest": why})
    return found[0]


def _text(data: bytes, limit: int) -> str:
    return clean_lines(data.decode("utf-8", "replace"), limit)
