"""What a deploy knows of a host: by what its workers say of themselves, cleaned, and of nobody else."""

from typing import Any

import pytest

from dts_core.builtin.deployed import FAILED, READY, SILENT, report_on
from dts_core.daemons.fleet import Fleet, Patience
from dts_core.daemons.vitals import clean_beat
from dts_core.model import Host, Readied
from dts_core.services.access import Caller, Role
from dts_core.services.hosts import seen_by
from dts_core.testing import START
from tests.support.beats import make_beat

PATIENCE = Patience(late_beats=3.0, lost_seconds=10.0)


def readied(order: str = "d", worker: str = "alpha-1", **fields: Any) -> Readied:
    given: dict[str, Any] = {"function": "a/b", "hash": "h", "runs": "h"}
    return Readied(order=order, worker=worker, **(given | fields))


def host(*answers: Readied, workers: tuple[str, ...] = ("alpha-1",), state: str = "up") -> Host:
    beat = make_beat(readied=list(answers))
    return Host(
        name="alpha", state=state, first_seen=START, last_beat=START, beat=beat,
        workers=len(workers), worker_names=list(workers),
    )  # fmt: skip


BOTH = ("alpha-1", "alpha-2")


@pytest.mark.parametrize(
    ("of", "state", "is_over"),
    [
        (host(readied()), READY, True),
        (host(readied("another")), SILENT, False),
        (host(readied(), workers=BOTH), SILENT, False),
        (host(readied(), readied(worker="alpha-2"), workers=BOTH), READY, True),
        (host(readied(), readied(worker="alpha-2", why="no"), workers=BOTH), FAILED, True),
        (host(readied(why="no"), workers=BOTH), FAILED, False),
        (host(readied(worker="gone"), readied()), READY, True),
        (host(state="lost"), SILENT, True),
        (host(readied(), state="lost"), READY, True),
        (host(readied(), workers=()), READY, True),
        (None, SILENT, True),
    ],
)
def test_a_host_is_ready_when_each_of_its_workers_is(
    of: Host | None, state: str, is_over: bool
) -> None:
    """Only answers to this deploy count; nobody waits for who is lost or gone."""
    report = report_on(of, "d")
    assert (report.state, report.is_over) == (state, is_over)
    assert bool(report.words()) is (state != READY)
    assert "is_over" not in report.shown()


def test_answers_of_all_workers_of_a_host_come_together() -> None:
    """With the workers' names; a drained worker's too."""
    fleet = Fleet(PATIENCE)
    for at, worker in enumerate(BOTH):
        draining = worker == "alpha-2"
        beat = make_beat(worker=worker, readied=[readied(worker=worker)], draining=draining)
        fleet.hear(beat, float(at), START)
    found = fleet.hosts["alpha"].host(0)
    assert found.worker_names == list(BOTH)
    assert [each.worker for each in found.beat.readied] == list(BOTH)


def test_a_worker_answers_for_itself_in_printable_words() -> None:
    """Whatever a heartbeat says, it is said by the worker that sent it, in bounded text."""
    said = readied(worker="another", why="\x1b]52;c;x\x07" + "x" * 9_000)
    beat = clean_beat(make_beat(readied=[said] * 100))
    assert len(beat.readied) == 64
    [first, *_] = beat.readied
    assert first.worker == "alpha-1"
    assert first.why.isprintable()
    assert len(first.why) <= 500


def test_others_than_administrators_do_not_see_answers() -> None:
    """They name jobs and functions that may be none of theirs."""
    of = host(readied())
    assert seen_by(Caller(user="ann", role=Role.OPERATOR), of).beat.readied == []
    assert seen_by(Caller(user="root", role=Role.ADMIN), of).beat.readied == of.beat.readied
