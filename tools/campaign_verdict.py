"""What the data file says after a campaign, read without any code of the product."""

import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from dts_core.states import LOSSES_MAX
from tools.campaign_load import ENDS, FINAL_STATES, Load


class Row(NamedTuple):
    """What is read of a job."""

    state: str
    epoch: int
    attempt: int
    losses: int
    lease: int | None
    finished: int | None
    result: str | bytes | None
    submitter: str
    error: bytes | None


def judge(load: Load, path: Path, marks: Path, hurt: set[str]) -> Iterator[str]:
    """What the file says, without any code of the product."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute(
        "SELECT id, state, epoch, attempt, losses, lease, finished, result, submitter, error FROM jobs"
    )
    rows = {row[0]: Row(*row[1:]) for row in found}
    starts = collections.Counter(marks.read_text().splitlines() if marks.exists() else [])
    for job, (kind, name) in load.accepted.items():
        if job not in rows:
            yield f"LOST: {name} ({job}) is not in the file"
            continue
        seen = load.finals.get(job)
        for wrong in _wrong_end(rows[job], kind, name, starts[name], seen and seen[:2]):
            yield f"{wrong}: {name} ({job}): {rows[job]}"
    for job, row in rows.items():
        if row.state in ("running", "cancelling") and row.lease is None:
            yield f"{job} is {row.state} without a lease"
        if row.state in FINAL_STATES and (row.lease is not None or row.finished is None):
            yield f"{job} is {row.state} with lease {row.lease}, finished {row.finished}"
    yield from _wrong_tables(connection, rows)
    yield from _wrong_losses(connection, hurt)
    connection.close()


def _wrong_end(
    row: Row, kind: str, name: str, starts: int, seen: tuple[str, int] | None
) -> Iterator[str]:
    died = row.state == "failed" and b"ChildDied" in (row.error or b"")
    if row.state not in ENDS[kind] and not died:
        yield "WRONG END"
    if row.state == "dead" and row.losses < LOSSES_MAX:
        yield "DEAD WITHOUT LOSSES"
    if row.state == "done" and (row.result is None or json.loads(row.result) != name):
        yield "WRONG RESULT"
    if starts > row.epoch:
        yield f"DOUBLED, started {starts} times"
    if row.attempt > (3 if kind == "fails" else 1):
        yield "CHARGED TOO OFTEN"
    if seen is not None and seen != (row.state, row.epoch):
        yield f"DOUBLED, was seen as {seen}"


def _wrong_tables(connection: apsw.Connection, rows: dict[str, Row]) -> Iterator[str]:
    counted = collections.Counter(f"{row.submitter} {row.state}" for row in rows.values())
    kept = dict(
        connection.execute("SELECT submitter || ' ' || state, jobs FROM counters WHERE jobs!=0")
    )
    if kept != dict(counted):
        yield f"the counters say {kept}, the rows {counted}"
    for table in ("messages", "dead_letters"):
        left = connection.execute(f"SELECT queue, count(*) FROM {table} GROUP BY queue").fetchall()  # noqa: S608
        if left:
            yield f"{table} are left: {left}"


def _wrong_losses(connection: apsw.Connection, hurt: set[str]) -> Iterator[str]:
    """A worker's name is HOST-PID-...: who was neither killed nor frozen for long is charged nothing."""
    for job, doc in connection.execute("SELECT job, doc FROM attempts"):
        attempt = msgspec.msgpack.decode(doc)
        if attempt["outcome"] == "lose" and attempt["worker"].split("-")[-2] not in hurt:
            yield f"CHARGED: {job} lost claim {attempt['epoch']} of {attempt['worker']}"


def story(load: Load, counts: collections.Counter[str], path: Path) -> str:
    """The figures of a campaign, in lines."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    states = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
    [(losses, epochs)] = connection.execute("SELECT sum(losses), sum(epoch) FROM jobs").fetchall()
    connection.close()
    total = sum(counts.values())
    lines = [
        f"faults  {total}: " + ", ".join(f"{n} x {name}" for name, n in counts.most_common()),
        f"jobs    {len(load.accepted)} accepted, {states}",
        f"claims  {epochs}, losses charged {losses}",
        f"errors that the clients met: {dict(load.refusals)}",
    ]
    return "\n".join(lines)
