"""The steps from an address to a worker that beats, and where each stands. No Textual here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from dts_core.model import Host
from dts_core.plain import words
from dts_core.views import PartView
from dts_tui.admin_documents import Doc
from dts_tui.host_setup import LOOK, REMOVAL, SCAN, TRIAL, WORK, Ended, SetUp, ended, shown

ADDRESS, KEY, LOGIN, FACTS, PLAN, APPLY, BEAT, JOB = (
    "address", "host key", "login", "facts", "plan", "apply", "heartbeat", "first job",
)  # fmt: skip
NAMES: Final = (ADDRESS, KEY, LOGIN, FACTS, PLAN, APPLY, BEAT, JOB)
STATES: Final = {
    "waiting": "waiting", "doing": "doing", "yours": "your turn", "so": "ok", "done": "changed",
    "failed": "failed",
}  # fmt: skip
"""States of a step, in words."""
BEAT_SECONDS: Final = 60.0
"""An agent that has not been heard for so long after everything was ready is in trouble."""


class Step(NamedTuple):
    """Where a step stands."""

    name: str
    state: str
    told: str = ""
    """In a few words."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it."""
        return self.state in ("so", "done")


@dataclass(frozen=True)
class Around:
    """What else counts: the host as the server hears it, its agent, the time."""

    host: Host | None
    agent: PartView | None
    now: datetime


def steps_of(it: SetUp, around: Around) -> list[Step]:
    """All steps in their order; those behind one that is not over wait."""
    out: list[Step] = []
    for name, rule in _RULES.items():
        is_next = all(each.is_over for each in out)
        if is_next or (name == BEAT and _beats(it, around)):
            out.append(rule(it, around))
        else:
            out.append(Step(name, "waiting"))
    return out


def current(steps: list[Step]) -> Step:
    """The first that is not over: the last one never is."""
    return next(each for each in steps if not each.is_over)


def credential(document: Doc) -> str:
    """What logs in there, in words; empty: nothing is stored."""
    auth = str(document.get("auth", ""))
    key = f"key {shown(document.get('key_fingerprint')) or 'as stored'}"
    references = document.get("references") or {}
    has_password = bool(document.get("has_password")) or "password" in references
    if auth == "agent":
        return "the SSH agent of the server"
    if auth == "certificate" and document.get("has_key"):
        return f"certificate with {key}"
    if auth in ("key", "ask") and document.get("has_key"):
        return key
    if auth in ("password", "ask") and has_password:
        return "the stored password"
    return ""


def asks(document: Doc) -> bool:
    """Whether whoever logs in there is asked, since nothing is stored."""
    return document.get("auth") == "ask" and not credential(document)


# --- the rules ----------------------------------------------------------------------------------


def _address(it: SetUp, around: Around) -> Step:
    del around
    document = it.document
    if document is None:
        return Step(ADDRESS, "failed" if it.why else "doing", it.why)
    if document.get("disabled"):
        return Step(ADDRESS, "failed", "it is disabled, so it is left alone")
    where = f"{document.get('user')}@{document.get('address')}:{document.get('port')}"
    return Step(ADDRESS, "so", shown(where))


def _key(it: SetUp, around: Around) -> Step:
    del around
    assert it.document is not None
    pinned = it.document.get("known_host_fingerprints") or []
    if it.starting == SCAN:
        return Step(KEY, "doing", "asking")
    if SCAN in it.refused:
        return Step(KEY, "failed", it.refused[SCAN])
    job = it.fresh(SCAN)
    if job is None:
        return Step(KEY, *(("so", _fingerprint(pinned)) if pinned else ("yours", "not known yet")))
    end = ended(job, it.vhost)
    if end.state != "ok":
        return Step(KEY, *(("doing", "looking") if end.state == "live" else ("failed", end.why)))
    seen = end.told.get("state")
    if is_changed(it):
        return Step(KEY, "failed", "it shows another key than the pinned one")
    if pinned:
        return Step(KEY, "so", _fingerprint(pinned))
    if seen == "unknown":
        return Step(KEY, "yours", "compare it, and pin it")
    return Step(KEY, "failed", shown(end.told.get("why")) or "it showed no key")


def is_changed(it: SetUp) -> bool:
    """Whether the host was seen with another key than the pinned one."""
    job = it.fresh(SCAN)
    return job is not None and ended(job, it.vhost).told.get("state") == "changed"


def _fingerprint(pinned: list[str]) -> str:
    more = f" and {len(pinned) - 1} more" if len(pinned) > 1 else ""
    return shown(pinned[0]) + more


def _login(it: SetUp, around: Around) -> Step:
    del around
    assert it.document is not None
    what = credential(it.document)
    if it.starting == TRIAL:
        return Step(LOGIN, "doing", "asking")
    if TRIAL in it.refused:
        return Step(LOGIN, "failed", it.refused[TRIAL])
    if it.newest(TRIAL) is not None:
        if it.is_let_in and not asks(it.document):
            return Step(LOGIN, "so", what)
        if it.is_let_in:
            return Step(LOGIN, "yours", "you were let in; now one to store")
        why = login_trouble(it)
        return Step(LOGIN, "failed", why) if why else Step(LOGIN, "doing", "trying it")
    if it.report or it.starting == LOOK or it.newest(LOOK) is not None or _is_left_to_job(it):
        return Step(LOGIN, "so", what or "no stored credential")
    if not what:
        return Step(LOGIN, "yours", "no credential is stored")
    return Step(LOGIN, "yours", "to be tried")


def _is_left_to_job(it: SetUp) -> bool:
    """Whether a job does without a plan that was seen before, as it does when a host is set up anew."""
    removal = it.removal
    return (
        it.starting in (WORK, REMOVAL)
        or it.work is not None
        or (removal is not None and it.ended(REMOVAL).state != "ok")
    )


def login_trouble(it: SetUp) -> str:
    """Why the try of the login did not end well; empty while it goes on, and where it did."""
    job, run = it.jobs[TRIAL], it.run
    if run is not None and run.state not in ("ok", "waiting", "running"):
        why = shown(run.error.message) if run.error is not None else ""
        status = f"`true` ended with exit status {run.exit_status}" if run.exit_status else ""
        return why or status or run.state.replace("_", " ")
    if job.state in ("cancelled", "dead", "expired", "failed") and run is None:
        return shown(job.error.message) if job.error is not None else f"the job was {job.state}"
    return ""


def _look(it: SetUp) -> Ended | None:
    """How the newest look ended; None where something was done since, or nobody has looked."""
    look = it.newest(LOOK)
    return None if look is None else ended(look, it.vhost)


def _facts(it: SetUp, around: Around) -> Step:
    del around
    end = _look(it)
    if it.starting == LOOK or (end is not None and end.state == "live"):
        return Step(FACTS, "doing", "looking at it")
    if LOOK in it.refused:
        return Step(FACTS, "failed", it.refused[LOOK])
    if end is not None and end.state == "failed":
        return Step(FACTS, "failed", end.why)
    if isinstance(facts := it.report.get("facts"), dict):
        told = f"{facts.get('os')}, {facts.get('arch')}, Python {facts.get('python_version')}"
        return Step(FACTS, "so", shown(told))
    if _is_left_to_job(it):
        return Step(FACTS, "so", "left to the job")
    return Step(FACTS, "yours", "to be looked at")


def _plan(it: SetUp, around: Around) -> Step:
    del around
    if not it.report:
        return Step(PLAN, "so", "left to the job")
    if it.is_made and _look(it) is None:
        return Step(PLAN, "so", "carried out")
    count = len(it.changes)
    told = f"{count} of {words.plural(len(it.planned), 'step')} change something"
    return Step(PLAN, "so", told if count else "nothing to change")


def _apply(it: SetUp, around: Around) -> Step:
    for kind, removing in ((WORK, False), (REMOVAL, True)):
        if it.starting == kind:
            return Step(APPLY, "doing", "asking to remove it" if removing else "asking")
        if kind in it.refused:
            return Step(APPLY, "failed", it.refused[kind])
    if it.removal is not None and (step := _removed(it)) is not None:
        return step
    look, work = _look(it), it.work
    if look is not None and (work is None or it.changes):
        is_so = not it.changes and _is_up(around)
        return Step(APPLY, *(("so", "nothing to change") if is_so else ("yours", "to be set up")))
    if work is None:
        return Step(APPLY, "yours", "to be set up")
    end = it.ended(WORK)
    if end.state != "ok" and _all_made(it):
        return Step(APPLY, "done", ", ".join(it.changes))
    if end.state == "live":
        return Step(APPLY, "doing", shown(it.said()[-1]) if it.said() else "waits for its turn")
    if end.state == "failed":
        return Step(APPLY, "failed", end.why)
    changed = [str(each) for each in end.told.get("changed") or []]
    return Step(APPLY, *(("done", shown(", ".join(changed))) if changed else ("so", "as it was")))


def _removed(it: SetUp) -> Step | None:
    """While it is removed, and where that failed."""
    end = it.ended(REMOVAL)
    if end.state == "live":
        return Step(APPLY, "doing", "removing what set-up has made there")
    return Step(APPLY, "failed", f"not removed: {end.why}") if end.state == "failed" else None


def _all_made(it: SetUp) -> bool:
    """Whether every step of the plan is made, and only the heartbeat is waited for."""
    return bool(it.changes) and all(it.mark(name) == "done" for name in it.changes)


def _is_up(around: Around) -> bool:
    return around.host is not None and around.host.state == "up"


def _beats(it: SetUp, around: Around) -> bool:
    """Whether it is heard, and that by what was made last."""
    host, removal, work = around.host, it.removal, it.work
    if host is None or not _is_up(around):
        return False
    if removal is not None and removal.finished_at is not None:
        return host.last_beat > removal.finished_at
    if removal is not None:
        return False
    return work is None or host.last_beat > (work.started_at or work.created_at)


def _beat(it: SetUp, around: Around) -> Step:
    work = it.work
    if work is not None and it.ended(WORK).state == "failed":
        return Step(BEAT, "failed", it.ended(WORK).why)
    if around.host is not None and _beats(it, around):
        age = words.since(around.host.last_beat, around.now)
        return Step(BEAT, "so", f"heard {age} ago")
    since = work.finished_at if work is not None else None
    if since is not None and (around.now - since).total_seconds() > BEAT_SECONDS:
        return Step(BEAT, "failed", f"nothing was heard for {words.since(since, around.now)}")
    return Step(BEAT, "doing", "waiting for the first one")


def _job(it: SetUp, around: Around) -> Step:
    del it, around
    return Step(JOB, "yours", "to be submitted")


_RULES: Final[dict[str, Callable[[SetUp, Around], Step]]] = {
    ADDRESS: _address, KEY: _key, LOGIN: _login, FACTS: _facts, PLAN: _plan, APPLY: _apply, BEAT: _beat,
    JOB: _job,
}  # fmt: skip
