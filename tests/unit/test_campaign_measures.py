"""What a campaign measures and what it finds left over: both tell the product's faults from what is as it should be."""

import base64
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from dts_core import codec
from dts_core.model import JobResult, JobResults
from dts_core.states import JobEvent
from tools.campaign_distributed import wrongly_left
from tools.campaign_recovery import Marks, Recoveries
from tools.campaign_stack import Row

OVER = Row("done", 2, 1, 0, False, True, b"1", "ann", "", "quick-1")
RUNS = Row("running", 1, 1, 0, True, False, b"", "ann", "", "long-1")
ROWS = {"over": OVER, "runs": RUNS}
Child = namedtuple("Child", "pid")


class Worker:
    """One with a child."""

    def descendants(self) -> list[Child]:
        return [Child(11)]


def message(job: str = "", results: JobResults | None = None) -> dict[str, Any]:
    """As the management API tells it."""
    body = b"" if results is None else codec.encode(results)
    return {"properties": {"message_id": job}, "payload": base64.b64encode(body).decode()}


def results(*items: tuple[str, int]) -> JobResults:
    return JobResults("h", "w", [JobResult(job, epoch, JobEvent.FINISH) for job, epoch in items])


@pytest.mark.parametrize(
    ("queue", "left", "is_wrong"),
    [
        ("jobs.default", message("over"), False),
        ("jobs.default", message("runs"), True),
        ("jobs.default", message("nobody"), True),
        ("results", message(results=JobResults("", "recorder-1", [])), False),
        ("results", message(results=results(("over", 2))), False),
        ("results", message(results=results(("runs", 0))), False),
        ("results", message(results=results(("over", 2), ("runs", 1))), True),
        ("dead", message("over"), True),
    ],
)
def test_what_may_be_left(queue: str, left: dict[str, Any], is_wrong: bool) -> None:
    """Second messages of what is over may; anything that somebody still waits for may not."""
    assert bool(wrongly_left(queue, left, ROWS)) is is_wrong


def begin(path: Path, *names: str, pid: int) -> None:
    with path.open("a") as file:
        for name in names:
            file.write(f"start {name} {pid} {time.monotonic()}\n")


@pytest.mark.parametrize("is_calm", [True, False])
def test_a_kill_is_measured_by_what_was_promised(tmp_path: Path, is_calm: bool) -> None:
    """Deliveries that come back, those that were acked, and a kill amid other faults: a figure each."""
    path = tmp_path / "marks"
    begin(path, "long-1", "long-2", "long-3", pid=11)
    recoveries = Recoveries(
        Marks(path), lambda at: set(), lambda names, ago: names & {"long-2"}, lambda names: set()
    )
    with recoveries.of_worker(Worker(), is_calm=is_calm):  # type: ignore[arg-type]
        with path.open("a") as file:
            file.write(f"end long-3 11 {time.monotonic()}\n")  # just before it is killed
        begin(path, "long-1", "long-2", pid=12)
    kept = [recoveries.worker_kill, recoveries.acked_kill, recoveries.troubled_kill]
    assert [len(samples) for samples in kept] == ([1, 1, 0] if is_calm else [0, 0, 2])
    assert not recoveries.findings


def test_a_job_that_is_dead_is_waited_for_no_longer(tmp_path: Path) -> None:
    """Lost too often it runs nowhere; the others are measured."""
    path = tmp_path / "marks"
    begin(path, "long-1", "long-2", pid=11)
    asked: list[set[str]] = []

    def over(names: set[str]) -> set[str]:
        asked.append(set(names))
        return {"long-2"}

    recoveries = Recoveries(Marks(path), lambda at: set(), lambda names, ago: set(), over)
    with recoveries.of_worker(Worker(), is_calm=True):  # type: ignore[arg-type]
        begin(path, "long-1", pid=12)
    assert asked == [{"long-2"}]
    assert len(recoveries.worker_kill) == 1
    assert not recoveries.findings
