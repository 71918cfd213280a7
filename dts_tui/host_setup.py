"""What is known of one virtual host on its way to being a worker: its document, and the jobs of each step.

No Textual here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from dts_core.plain.figures import is_final
from dts_core.text import clean, one_line
from dts_core.views import JobView
from dts_core.views.ssh import HostRunView
from dts_tui.admin_documents import Doc, at
from dts_tui.remembering import remembered

INIT: Final = "dts/vhost.init"
REMOVE: Final = "dts/vhost.remove"
SCAN, TRIAL, LOOK, WORK, REMOVAL = "scan", "trial", "look", "work", "removal"
KINDS: Final = (SCAN, TRIAL, LOOK, WORK, REMOVAL)
"""Jobs of a set-up: its key is looked at, its login tried, the plan made, the plan carried out, all of it removed."""
WHY_MAX: Final = 1_000


@dataclass(frozen=True)
class Options:
    """How a host is set up: what its virtual host does not say.

    Attributes:
        scope: user or system.
        queues: That its worker takes from; none: `default`.
        wait_seconds: For the first heartbeat.
    """

    scope: Literal["user", "system"] = "user"
    queues: tuple[str, ...] = ()
    wait_seconds: float = 60.0

    def same_as(self, other: "Options") -> bool:
        """Whether the plan is the same with both."""
        return (self.scope, self.queues) == (other.scope, other.queues)


@dataclass(frozen=True)
class Ended:
    """How far a job is with this host: live, ok or failed; why not, and what it told."""

    state: str
    why: str = ""
    told: dict[str, Any] = field(default_factory=dict)


@dataclass
class SetUp:
    """One host's set-up, as far as it is known here; everything but the options comes from the server.

    Attributes:
        vhost: Its id.
        document: None: not known yet, or there is none.
        why: Why there is no document.
        jobs: The newest of each kind.
        run: How the try of the login ended.
        lines: What the log of the job that carries the plan out has said.
        starting: Kind of the job that the server is being asked for; empty: none.
        refused: Why the server started no job, by kind.
        eager: Whether steps that change nothing follow one another by themselves.
        wanted: What is asked about once all is known: again, remove; empty: nothing.
    """

    vhost: str
    document: Doc | None = None
    why: str = ""
    options: Options = Options()
    jobs: dict[str, JobView] = field(default_factory=dict)
    run: HostRunView | None = None
    lines: list[str] = field(default_factory=list)
    starting: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    eager: bool = False
    wanted: str = ""

    def take(self, kind: str, job: JobView) -> None:
        """Note what a job is now; another one than before leaves nothing of that one."""
        known = self.jobs.get(kind)
        if known is None or known.id != job.id:
            if kind == TRIAL:
                self.run = None
            elif kind == WORK:
                self.lines = []
        self.jobs[kind] = job
        self.refused.pop(kind, None)

    def found(self, jobs: Mapping[str, JobView]) -> None:
        """Take what was done with this host before, and how."""
        for kind, job in jobs.items():
            known = self.jobs.get(kind)
            if known is None or known.id == job.id or known.created_at < job.created_at:
                self.take(kind, job)
        plans = [job for kind, job in jobs.items() if kind in (LOOK, WORK)]
        if plans and self.options == Options():
            self.options = options_of(max(plans, key=lambda each: each.created_at).kwargs)

    def fresh(self, kind: str) -> JobView | None:
        """The job of this kind, if neither the document nor the options were changed since."""
        job = self.jobs.get(kind)
        if kind == LOOK and job is not None and not self.options.same_as(options_of(job.kwargs)):
            return None
        changed = at(self.document) if self.document is not None else None
        return job if job is not None and (changed is None or job.created_at >= changed) else None

    def newest(self, kind: str) -> JobView | None:
        """The same, if nothing was made or removed since either."""
        job = self.fresh(kind)
        later = [self.jobs[each] for each in (WORK, REMOVAL) if each in self.jobs]
        newer = any(job is not None and each.created_at > job.created_at for each in later)
        return None if newer else job

    @property
    def live(self) -> list[str]:
        """Kinds whose job has not ended."""
        return [kind for kind, job in self.jobs.items() if not is_final(job.state)]

    def ended(self, kind: str) -> Ended:
        """How far the job of this kind is with this host; only where there is one."""
        return ended(self.jobs[kind], self.vhost)

    @property
    def work(self) -> JobView | None:
        """What carried the plan out, if nothing was removed since."""
        work, removal = self.jobs.get(WORK), self.jobs.get(REMOVAL)
        if work is None or (removal is not None and removal.created_at > work.created_at):
            return None
        return work

    @property
    def removal(self) -> JobView | None:
        """What removed it, if nothing was made since."""
        return None if self.work is not None else self.jobs.get(REMOVAL)

    @property
    def is_made(self) -> bool:
        """Whether the host was made a worker by a job that is known."""
        return self.work is not None and self.ended(WORK).state == "ok"

    @property
    def is_removed(self) -> bool:
        """Whether what was made was taken away since, all of it."""
        return self.removal is not None and self.ended(REMOVAL).state == "ok"

    @property
    def is_let_in(self) -> bool:
        """Whether the login was tried since anything was changed, and the host let it in."""
        is_tried = self.newest(TRIAL) is not None
        return is_tried and self.run is not None and self.run.state == "ok"

    @property
    def report(self) -> dict[str, Any]:
        """Facts and steps as they were told last; empty where nobody has looked."""
        for job in (self.newest(LOOK), self.work, self._look_before_work()):
            if job is not None and (end := ended(job, self.vhost)).state == "ok":
                return end.told
        return {}

    def _look_before_work(self) -> JobView | None:
        """What the plan was made by that is being carried out, or was not carried out well."""
        look, removal = self.fresh(LOOK), self.jobs.get(REMOVAL)
        if look is None or (removal is not None and removal.created_at > look.created_at):
            return None
        return look

    @property
    def planned(self) -> list[dict[str, Any]]:
        """The steps of the plan; empty where nobody has looked."""
        steps = self.report.get("steps")
        return [each for each in steps if isinstance(each, dict)] if isinstance(steps, list) else []

    @property
    def changes(self) -> list[str]:
        """Names of the steps of the plan that change something."""
        return [str(each.get("name", "")) for each in self.planned if each.get("changes")]

    def said(self) -> list[str]:
        """What the job that carries the plan out has said of this host, oldest first."""
        job, begin = self.jobs.get(WORK), f"{self.vhost}: "
        texts = [*self.lines, *([job.progress_text] if job is not None else [])]
        own = [each.removeprefix(begin) for each in texts if each.startswith(begin)]
        return list(dict.fromkeys(own))

    def mark(self, step: str) -> str:
        """How far a step of the plan is: waiting, doing, done, failed, or so where nothing changes."""
        if step not in self.changes:
            return "so"
        said = self.said()
        if f"{step}: done" in said:
            return "done"
        state = self.ended(WORK).state
        if state == "ok":
            return "done"
        if not any(each.startswith(f"{step}: ") for each in said):
            return "waiting"
        return "doing" if state == "live" else "failed"


def newest_of(
    vhost: str, inits: Sequence[JobView], removals: Sequence[JobView]
) -> dict[str, JobView]:
    """By kind, the newest job on a host, of lists with the newest first."""
    kinds = {LOOK: (inits, True), WORK: (inits, False), REMOVAL: (removals, False)}
    found: dict[str, JobView] = {}
    for kind, (jobs, is_dry) in kinds.items():
        for job in jobs:
            given = job.kwargs if isinstance(job.kwargs, dict) else {}
            if vhost in (given.get("vhosts") or ()) and bool(given.get("dry_run")) is is_dry:
                found.setdefault(kind, job)
    return found


def ended(job: JobView, vhost: str) -> Ended:
    """How far a job on hosts is with one of them."""
    if not is_final(job.state):
        return Ended("live")
    if job.state != "done":
        why = job.error.message if job.error is not None else job.reason
        return Ended("failed", shown(why) or f"the job was {job.state}")
    result = job.result if isinstance(job.result, dict) else {}
    hosts = result.get("hosts")
    told = hosts.get(vhost) if isinstance(hosts, dict) else None
    if not isinstance(told, dict):
        return Ended("failed", "the job has ended and told nothing of this host")
    if told.get("state") == "ok" or job.function not in (INIT, REMOVE):
        return Ended("ok", told=told)
    return Ended("failed", shown(told.get("why")) or str(told.get("state")), told)


def shown(text: object) -> str:
    """Any text of a host or a job as one printable line; empty for none."""
    return one_line(clean(text), WHY_MAX) if isinstance(text, str) else ""


def options_of(given: Any) -> Options:
    """Those that a job was started with."""
    given = given if isinstance(given, dict) else {}
    scope, queues, seconds = (given.get(name) for name in ("scope", "queues", "wait_seconds"))
    return Options(
        scope="system" if scope == "system" else "user",
        queues=tuple(map(str, queues)) if isinstance(queues, list) else (),
        wait_seconds=float(seconds) if isinstance(seconds, int | float) else 60.0,
    )


def setup_of(known: dict[str, SetUp], vhost: str) -> SetUp:
    """The set-up of a host, as it was left."""
    return remembered(known, vhost, lambda: SetUp(vhost))
