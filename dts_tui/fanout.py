"""One fan-out as the board shows it: its hosts, their states, and who answered the same. No Textual here."""

import shlex
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from dts_core.hostsets import fold
from dts_core.plain import words
from dts_core.plain.cells import pad
from dts_core.plain.figures import is_final
from dts_core.plain.glyphs import run
from dts_core.text import one_line
from dts_core.views import JobView
from dts_core.views.ssh import HostRunList, HostRunView
from dts_tui.draw import Line

SSHRPC: Final = "dts/sshrpc"
"""The function whose jobs are shown on a board."""
STATES: Final = ("ok", "failed", "unreachable", "timed_out", "cancelled", "never_started")
"""How a host can end, each told apart."""
RUNNING, WAITING = "running", "waiting"
MOVING: Final = (RUNNING, WAITING)
"""Where it stands before."""
UNBEGUN: Final = (WAITING, "never_started")
"""States of hosts where nothing was begun, so that nothing was printed."""
SETTLED_LAST: Final = ("never_started", *MOVING)
"""States of hosts that have said nothing; their groups stand below those that have."""


@dataclass
class BoardMemory:
    """How a board was left.

    Attributes:
        at_hosts: Whether hosts were listed, and not groups.
        filter: Of the hosts.
        group, host: What the cursors stood on; empty: on what is first.
    """

    at_hosts: bool = False
    filter: str = ""
    group: str = ""
    host: str = ""


def state_words(state: str) -> str:
    """A state as people write it: `timed out`."""
    return state.replace("_", " ")


def state_cell(state: str, width: int) -> Line:
    """Its glyph and word."""
    look = run(state)
    return [(pad(look.glyph, 2), look.style), (pad(state_words(state), width - 2), look.style)]


def what_of(job: JobView) -> str:
    """What a fan-out runs, in one line: the command, or the function with its arguments."""
    given = job.kwargs if isinstance(job.kwargs, dict) else {}
    return call_words(given)


def call_words(given: dict[str, Any]) -> str:
    """The command or the call that arguments describe, in one line, not yet cleaned."""
    if given.get("argv"):
        return shlex.join(str(word) for word in given["argv"])
    parts = [str(value) for value in given.get("args") or []]
    parts += [f"{name}={value}" for name, value in (given.get("kwargs") or {}).items()]
    return f"{given.get('function') or '?'}({', '.join(parts)})"


def ended_words(view: HostRunView) -> str:
    """How it ended, in a word or two: `exit 2`, `signal KILL`, the type of its error."""
    if view.exit_signal:
        return f"signal {view.exit_signal}"
    if view.exit_status is not None:
        return f"exit {view.exit_status}"
    return "" if view.error is None else one_line(view.error.type, 40).replace("_", " ")


@dataclass(frozen=True)
class Group:
    """Hosts that stand in the same state and gave the same answer."""

    state: str
    digest: str
    views: Sequence[HostRunView]

    @property
    def key(self) -> str:
        """What identifies it within its job."""
        return self.digest or self.state

    @cached_property
    def hosts(self) -> list[str]:
        """Their ids, in the job's order."""
        return [view.host for view in self.views]

    @cached_property
    def folded(self) -> str:
        """The same, short."""
        return fold(self.hosts)

    @property
    def has_answer(self) -> bool:
        """Whether something ran there, so that what it printed can be compared."""
        return bool(self.digest) and self.state != "unreachable"

    @property
    def ended(self) -> str:
        """How its hosts ended, in a word or two; where they were not reached, of the first one."""
        return ended_words(self.views[0])

    @property
    def why(self) -> str:
        """The reason of the first of them, in one line; empty where there is none."""
        error = self.views[0].error
        return "" if error is None else one_line(error.message, 400)


@dataclass
class FanOut:
    """A job and how far its hosts are, as far as the server has told."""

    job: JobView | None = None
    hosts: "OrderedDict[str, HostRunView]" = field(default_factory=OrderedDict)
    total: int = 0
    position: int = 0
    is_over: bool = False
    complete: bool = False
    """Whether every host has been told of once."""

    def whole(self, page: HostRunList, *, first: bool) -> None:
        """Take a page of the list of all hosts."""
        if first:
            self.hosts.clear()
            self.position = page.position
        self._take(page)
        self.complete = not page.next

    def changed(self, page: HostRunList) -> bool:
        """Take what changed since; False when nothing did."""
        self.position = max(self.position, page.position)
        before = self.is_over
        self._take(page)
        return bool(page.items) or before is not self.is_over

    def _take(self, page: HostRunList) -> None:
        for view in page.items:
            known = self.hosts.get(view.host)
            if known is None or known.seq <= view.seq:
                self.hosts[view.host] = view
        self.total, self.is_over = page.total, page.is_over
        self.position = max(self.position, page.position)

    @property
    def is_live(self) -> bool:
        """Whether something may still change."""
        return not self.is_over or (self.job is not None and not is_final(self.job.state))

    def counts(self) -> Counter[str]:
        """State -> hosts."""
        return Counter(view.state for view in self.hosts.values())

    def groups(self) -> list[Group]:
        """Hosts with the same answer together: the largest first, then those that have said nothing."""
        found: dict[tuple[str, str], list[HostRunView]] = {}
        for view in self.hosts.values():
            digest = "" if view.state in SETTLED_LAST else view.group
            found.setdefault((view.state, digest), []).append(view)
        out = [Group(state, digest, views) for (state, digest), views in found.items()]
        out.sort(
            key=lambda each: (
                each.state in SETTLED_LAST,
                -len(each.views),
                STATES.index(each.state) if each.state in STATES else len(STATES),
                each.digest,
            )
        )
        return out

    def majority(self) -> Group | None:
        """The largest group that has an answer; None before there is one."""
        return next((each for each in self.groups() if each.has_answer), None)


def run_record(view: HostRunView) -> dict[str, str]:
    """What a filter and an export of hosts see."""
    return {
        "host": view.host,
        "state": state_words(view.state).replace(" ", "_"),
        "exit": "" if view.exit_status is None else str(view.exit_status),
        "signal": view.exit_signal,
        "error": "" if view.error is None else f"{view.error.type}: {view.error.message}",
        "group": view.group[:10],
        "bytes": str(view.output_total),
        "started": view.started_at.isoformat() if view.started_at else "",
        "finished": view.finished_at.isoformat() if view.finished_at else "",
    }


def took_words(view: HostRunView, now: datetime) -> str:
    """How long it took there, or has taken until now."""
    if view.started_at is None or view.state in UNBEGUN:
        return words.ABSENT
    if view.finished_at is None:
        return words.since(view.started_at, now) if view.state == RUNNING else words.ABSENT
    return words.duration((view.finished_at - view.started_at).total_seconds())


def compared(
    now: Iterable[HostRunView], before: Iterable[HostRunView]
) -> list[tuple[str, str, str, bool]]:
    """(host, then, now, same answer) of every host of two runs; one that a run does not have is `not in it`."""
    then = {view.host: view for view in before}
    out: list[tuple[str, str, str, bool]] = []
    for view in now:
        old = then.pop(view.host, None)
        same = old is not None and (old.state, old.group) == (view.state, view.group)
        out.append((view.host, _short(old), _short(view), same))
    out += [(host, _short(old), "not in it", False) for host, old in then.items()]
    return out


def _short(view: HostRunView | None) -> str:
    if view is None:
        return "not in it"
    ended = ended_words(view)
    return state_words(view.state) + (f", {ended}" if ended and view.state != "ok" else "")
