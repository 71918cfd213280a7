"""What a store says after a campaign: lost, with two results, stuck, or otherwise not as promised."""

import collections
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dts_core.states import LOSSES_MAX
from tools.campaign_faults import Faults
from tools.campaign_load import ENDS, Load
from tools.campaign_recovery import Mark
from tools.campaign_stack import FINAL_STATES, Row, Stack, Stored


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


def judge(
    stack: Stack, load: Load, stored: Stored, marks: Sequence[Mark], faults: Faults
) -> Verdict:
    """Compare what was accepted, what ran and what is stored."""
    verdict = Verdict([], [*load.moved], [], [*load.findings, *stored.left])
    starts = collections.Counter(
        mark.name
        for mark in marks
        if mark.word == "start" and mark.pid not in faults.killed_children
    )
    for job, (kind, name) in load.accepted.items():
        row = stored.rows.get(job)
        if row is None:
            verdict.lost.append(f"LOST: {name} ({job}) is not in the store")
            continue
        seen = load.finals.get(job)
        for wrong in _lost(row, kind, name):
            verdict.lost.append(f"{wrong}: {name} ({job}): {row}")
        for wrong in _doubled(row, kind, starts[name], seen and seen[:2]):
            verdict.duplicate.append(f"{wrong}: {name} ({job}): {row}")
        if row.state not in FINAL_STATES:
            verdict.stuck.append(f"STUCK: {name} ({job}): {row}")
    verdict.duplicate.extend(_twice(stored))
    verdict.other.extend(_wrong_leases(stored))
    if stack.is_charging_exact:
        verdict.other.extend(_wrong_losses(stored, faults.hurt))
    return verdict


def _lost(row: Row, kind: str, name: str) -> Iterator[str]:
    died = row.state == "failed" and "ChildDied" in row.error
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


def _wrong_losses(stored: Stored, hurt: set[str]) -> Iterator[str]:
    """A worker's name is HOST-PID-...: who was neither killed nor frozen for long is charged nothing."""
    for job, epoch, worker in stored.losses:
        if worker.split("-")[-2] not in hurt:
            yield f"CHARGED: {job} lost claim {epoch} of {worker}"
