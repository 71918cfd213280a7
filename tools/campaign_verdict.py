"""What a store says after a campaign: lost, with two results, stuck, or otherwise not as promised."""

import collections
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from dts_core.states import LOSSES_MAX
from tools.campaign_faults import Faults
from tools.campaign_load import ASYNCHRONOUS, ENDS, RUN_SECONDS, Asked, Load
from tools.campaign_recovery import Mark
from tools.campaign_stack import FINAL_STATES, Row, Stored

UNREAD_SECONDS: Final = RUN_SECONDS + 20.0
"""So long before its child is killed a job may have started: a worker that is frozen for 14 s reads no results."""


class Verdict(NamedTuple):
    """Findings by what they break."""

    lost: list[str]
    """Accepted, and not there, or without what it was run for."""
    duplicate: list[str]
    """Ended or started more often than it was claimed, or there twice."""
    stuck: list[str]
    """Not over though nothing is in the way."""
    other: list[str]
    """Any other promise."""


def judge(load: Load, stored: Stored, marks: Sequence[Mark], faults: Faults) -> Verdict:
    """Compare what was submitted and accepted, what ran and what is stored."""
    verdict = Verdict([], [*load.moved], [], [*load.findings, *stored.left])
    starts = count_starts(marks, faults.killed_children)
    can_die = bool(faults.killed_children)
    for job, (_, name) in load.accepted.items():
        row = stored.rows.get(job)
        if row is None:
            verdict.lost.append(f"LOST: {name} ({job}) is not in the store")
        else:
            seen = load.finals.get(job)
            _judge_row(
                verdict, job, row, name=name, starts=starts[name], seen=seen, can_die=can_die
            )
    asked = load.asked | faults.asked
    for job, row in stored.rows.items():
        if job in load.accepted:
            continue
        if asked.get(row.name) is Asked.UNKNOWN:
            name = row.name
            _judge_row(
                verdict, job, row, name=name, starts=starts[name], seen=None, can_die=can_die
            )
        else:
            wrong = "STORED, BUT REFUSED" if row.name in asked else "STORED, BUT NOT SUBMITTED"
            verdict.other.append(f"{wrong}: {row.name} ({job}): {row}")
    recorded = {row.name for row in stored.rows.values()}
    verdict.other.extend(f"RAN WITHOUT A RECORD: {name}" for name in starts if name not in recorded)
    verdict.duplicate.extend(_twice(stored))
    verdict.other.extend(_wrong_leases(stored))
    verdict.other.extend(faults.harms.wrong(stored.charges))
    return verdict


def count_starts(
    marks: Sequence[Mark], killed_children: Mapping[int, float]
) -> collections.Counter[str]:
    """How often each job was started, in as far as each start takes a claim of its own.

    What ran asynchronously in a child that was killed runs again, alone, under the same claim: once for each such
    child, and if it had not ended long before. A synchronous job fails with its child.
    """
    starts: collections.Counter[str] = collections.Counter()
    excused: set[tuple[str, int]] = set()
    for mark in marks:
        if mark.word != "start":
            continue
        killed_at = killed_children.get(mark.pid, -math.inf)
        can_run_again = (
            kind_of(mark.name) in ASYNCHRONOUS
            and killed_at - UNREAD_SECONDS <= mark.at <= killed_at
            and (mark.name, mark.pid) not in excused
        )
        if can_run_again:
            excused.add((mark.name, mark.pid))
            starts[mark.name] += 0
        else:
            starts[mark.name] += 1
    return starts


def kind_of(name: str) -> str:
    """A job's name begins with its kind."""
    return name.split("-", maxsplit=1)[0]


def _judge_row(
    verdict: Verdict,
    job: str,
    row: Row,
    *,
    name: str,
    starts: int,
    seen: tuple[str, int, Any] | None,
    can_die: bool,
) -> None:
    kind = kind_of(name)
    for wrong in _lost(row, kind, name=name, can_die=can_die):
        verdict.lost.append(f"{wrong}: {name} ({job}): {row}")
    for wrong in _doubled(row, kind, starts, seen and seen[:2]):
        verdict.duplicate.append(f"{wrong}: {name} ({job}): {row}")
    if row.state not in FINAL_STATES:
        verdict.stuck.append(f"STUCK: {name} ({job}): {row}")


def _lost(row: Row, kind: str, *, name: str, can_die: bool) -> Iterator[str]:
    died = can_die and row.state == "failed" and "ChildDied" in row.error
    if row.state in FINAL_STATES and row.state not in ENDS[kind] and not died:
        yield "WRONG END"
    if row.state == "dead" and row.losses < LOSSES_MAX:
        yield "DEAD WITHOUT LOSSES"
    if row.state == "done" and (not row.result or json.loads(row.result) != name):
        yield "WRONG RESULT"


def _doubled(row: Row, kind: str, starts: int, seen: tuple[str, int] | None) -> Iterator[str]:
    if starts > row.epoch:
        yield f"DOUBLED, started {starts} times"
    if row.attempt > (3 if kind == "fails" else 1):
        yield "CHARGED TOO OFTEN"
    if seen is not None and seen != (row.state, row.epoch):
        yield f"DOUBLED, was seen as {seen}"


def _twice(stored: Stored) -> Iterator[str]:
    """A name that stands in two records: a submission that was sent again was accepted again."""
    names = collections.Counter(row.name for row in stored.rows.values())
    yield from (f"ACCEPTED TWICE: {name}" for name, count in names.items() if count > 1)


def _wrong_leases(stored: Stored) -> Iterator[str]:
    for job, row in stored.rows.items():
        if row.state in ("running", "cancelling") and not row.has_lease:
            yield f"{job} is {row.state} without a lease"
        if row.state in FINAL_STATES and (row.has_lease or not row.is_finished):
            yield f"{job} is over with a lease, or without an end: {row}"
