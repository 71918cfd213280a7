"""What a campaign's verdict finds wrong: every excuse has its limits, and what goes beyond them is reported."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from dts_core.clients import SyncAdminClient
from dts_core.errors import ApiError
from dts_core.model import Attempt
from tests.support.processes import Running
from tools.campaign import Outcome
from tools.campaign_charges import START_SECONDS, Charge, Harms
from tools.campaign_faults import Fault, Faults, catches
from tools.campaign_load import Asked, History, Load
from tools.campaign_outages import DistributedFaults, jobs_in
from tools.campaign_recovery import Mark, Marks, Recoveries
from tools.campaign_stack import Row, Stack, Stored, charge_in
from tools.campaign_verdict import Verdict, count_starts, judge

CALM = 11.0
CHILD, OTHER = 7, 8


def row(name: str, *, state: str = "done", epoch: int = 1) -> Row:
    result = msgspec.json.encode(name) if state == "done" else b""
    return Row(state, epoch, 1, 0, state == "running", state != "running", result, "ann", "", name)


def start(name: str, pid: int, at: float = 100.0) -> Mark:
    return Mark("start", name, pid, at)


class Clock:
    """The wall clock, moved by hand."""

    now = 10_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Long after the begin of the campaign."""
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


@pytest.fixture
def harms(clock: Clock) -> Harms:
    made = Harms(CALM)
    clock.now += 1000
    return made


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path, 2)


@pytest.fixture
def load(stack: Stack, tmp_path: Path) -> Iterator[Load]:
    history = History(tmp_path / "history")
    yield Load(stack, history, 1, tmp_path / "marks", 10)
    history.close()


@pytest.fixture
def faults(stack: Stack, tmp_path: Path) -> Faults:
    recoveries = Recoveries(
        Marks(tmp_path / "marks"), lambda at: set(), lambda names, ago: set(), lambda names: set()
    )
    return Faults(stack, recoveries, lambda kind, count: None, 1)


def verdict(load: Load, faults: Faults, *marks: Mark, **rows: Row) -> Verdict:
    return judge(load, Stored(rows, [], []), marks, faults)


# --- starts


@pytest.mark.parametrize(
    ("name", "starts", "counted"),
    [
        ("quick-1", [(CHILD, 99), (OTHER, 101)], 1),
        ("long-1", [(CHILD, 96), (OTHER, 101)], 1),
        ("slow-1", [(CHILD, 99), (OTHER, 101)], 2),
        ("fails-1", [(CHILD, 99), (OTHER, 101)], 2),
        ("endless-1", [(CHILD, 99), (OTHER, 101)], 2),
        ("quick-1", [(CHILD, 99), (CHILD, 99), (OTHER, 101)], 2),
        ("quick-1", [(CHILD, 99), (OTHER, 101), (OTHER, 102)], 2),
        ("quick-1", [(CHILD, 50), (OTHER, 101)], 2),
        ("quick-1", [(CHILD, 101), (OTHER, 102)], 2),
    ],
)
def test_a_killed_child_excuses_one_start(
    name: str, starts: list[tuple[int, float]], counted: int
) -> None:
    """Of an asynchronous job that can have run in it then: no synchronous one, no second one, none long before."""
    marks = [start(name, pid, at) for pid, at in starts]
    assert count_starts(marks, {CHILD: 100.0})[name] == counted


def test_a_synchronous_job_that_starts_twice_is_a_duplicate(load: Load, faults: Faults) -> None:
    """Also when one of its children was killed."""
    load.accepted["a"] = ("slow", "slow-1")
    faults.killed_children[CHILD] = 100.0
    found = verdict(
        load, faults, start("slow-1", CHILD, 99), start("slow-1", OTHER), a=row("slow-1")
    )
    assert [each.split(":")[0] for each in found.duplicate] == ["DOUBLED, started 2 times"]


@pytest.mark.parametrize(
    ("error", "is_killed", "is_wrong"),
    [("ChildDied", True, False), ("ChildDied", False, True), ("ValueError", True, True)],
)
def test_only_a_killed_child_excuses_a_failure(
    load: Load, faults: Faults, error: str, is_killed: bool, is_wrong: bool
) -> None:
    """Whatever the kind: a child that dies by itself, or another failure, is a wrong end."""
    if is_killed:
        faults.killed_children[CHILD] = 100.0
    for name in ("quick", "slow", "endless"):
        load.accepted[name] = (name, f"{name}-1")
    rows = {
        name: row(f"{name}-1", state="failed")._replace(error=error)
        for name, _ in load.accepted.values()
    }
    assert len(verdict(load, faults, **rows).lost) == 3 * is_wrong


# --- charges


def charged(harms: Harms, at: float, *, pid: int = 5) -> bool:
    """Whether a charge at that instant is reported."""
    return bool(list(harms.wrong([Charge("a", 1, f"host-0-{pid}-c0ffee", at)])))


def test_a_fault_excuses_for_its_time_and_a_lease(harms: Harms, clock: Clock) -> None:
    """Not before, not long after, and nobody else."""
    began = clock.now
    with harms.during([5]):
        clock.now += 10
    assert not charged(harms, began + 9)
    assert not charged(harms, clock.now + CALM)
    assert charged(harms, began - 1)
    assert charged(harms, clock.now + CALM + 1)
    assert charged(harms, began + 9, pid=6)


def test_a_kill_does_not_excuse_what_was_charged_before(harms: Harms, clock: Clock) -> None:
    """The dead are charged whenever their claims end, the living were charged wrongly."""
    harms.kill(5)
    assert not charged(harms, clock.now + 1000)
    assert charged(harms, clock.now - 1)


class Process:
    """One that ends when it is told."""

    pid = 5
    is_over = False

    def poll(self) -> int | None:
        return 0 if self.is_over else None


def stop(harms: Harms, clock: Clock) -> None:
    """Let worker 5 stop within a second."""
    process = Process()
    harms.stop(cast("subprocess.Popen[Any]", process))
    clock.now += 1
    process.is_over = True
    deadline = time.monotonic() + 60
    while harms.stopping():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_that_stopped_in_peace_is_charged_nothing(harms: Harms, clock: Clock) -> None:
    """It has given its claims back; trouble that comes long after is no excuse."""
    stop(harms, clock)
    assert charged(harms, clock.now)
    clock.now += 2 * CALM
    with harms.trouble():
        clock.now += 10
    assert charged(harms, clock.now)


def test_a_worker_that_stopped_amid_trouble_is_charged_then(harms: Harms, clock: Clock) -> None:
    """Nobody took its claims back: they end with their leases, and nothing does for ever."""
    stop(harms, clock)
    with harms.trouble():
        clock.now += 10
    ended = clock.now + START_SECONDS + CALM
    assert not charged(harms, ended)
    assert charged(harms, ended + 1)


def test_trouble_alone_excuses_nobody(harms: Harms, clock: Clock) -> None:
    """Whoever is heard again keeps what it holds."""
    with harms.trouble():
        clock.now += 10
    assert charged(harms, clock.now)


def test_a_charge_is_reported_on_every_engine(load: Load, faults: Faults) -> None:
    """The verdict has it among what breaks another promise."""
    stored = Stored({}, [], [Charge("a", 1, "host-0-5-c0ffee", 1.0)])
    assert judge(load, stored, [], faults).other == ["CHARGED: a lost claim 1 of host-0-5-c0ffee"]


def test_charges_are_read_from_what_the_stores_pack() -> None:
    """With the instant; other ends of an attempt are none."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    lost = Attempt(epoch=3, worker="host-0-5-c0ffee", ended_at=at, outcome="lose")
    encode = msgspec.msgpack.encode
    assert charge_in("a", encode(lost)) == Charge("a", 3, "host-0-5-c0ffee", at.timestamp())
    assert charge_in("a", encode(msgspec.structs.replace(lost, outcome="give_back"))) is None


def test_only_the_frozen_are_excused(faults: Faults, stack: Stack, tmp_path: Path) -> None:
    """What is done to the control side harms no worker; what is done to one harms no other."""
    for name in ("control", *stack.workers):
        stack.running[name] = Running(["-c", "import time; time.sleep(600)"], tmp_path)
    try:
        with faults.harm(["control", stack.workers[0]]):
            pass
        now = time.time()
        pids = {name: part.process.pid for name, part in stack.running.items()}
        wrong = [name for name, pid in pids.items() if charged(faults.harms, now, pid=pid)]
        assert wrong == ["control", stack.workers[1]]
    finally:
        for part in stack.running.values():
            part.kill()


# --- the end of a process


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
DIES = "lambda *_: (signal.signal(signal.SIGTERM, signal.SIG_DFL), os.kill(os.getpid(), signal.SIGTERM))"
STOPPER = f"import os, signal; signal.signal(signal.SIGTERM, {DIES}); {SLEEPER}"


@pytest.mark.parametrize(("code", "is_wrong"), [(SLEEPER, False), (STOPPER, True)])
def test_a_young_process_that_can_stop_has_to(
    faults: Faults, stack: Stack, tmp_path: Path, code: str, is_wrong: bool
) -> None:
    """Only one that has no way of its own yet may end by the signal itself."""
    part = stack.running["owner"] = Running(["-c", code], tmp_path)
    deadline = time.monotonic() + 60
    while "up" not in part.said():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    faults.terminate("owner")
    assert bool(faults.findings) is is_wrong


def test_what_a_process_catches_is_read_from_its_status() -> None:
    """A mask of bits, the first is signal 1."""
    assert catches("Name:\tx\nSigCgt:\t0000000000004002\n", signal.SIGTERM)
    assert not catches("Name:\tx\nSigCgt:\t0000000000000002\n", signal.SIGTERM)


# --- what nobody accepted


def test_a_record_that_nobody_submitted_is_reported(load: Load, faults: Faults) -> None:
    """However well it ended."""
    (found,) = verdict(load, faults, start("quick-1", 1), a=row("quick-1")).other
    assert found.startswith("STORED, BUT NOT SUBMITTED")


def test_a_record_of_a_refused_submission_is_reported(load: Load, faults: Faults) -> None:
    """An error that says nothing was done has to be true, of the load's submissions and of the faults' own."""
    load.asked["quick-1"] = Asked.REFUSED
    faults.asked["quick-2"] = Asked.REFUSED
    found = verdict(load, faults, a=row("quick-1"), b=row("quick-2")).other
    assert [each.split(":")[0] for each in found] == ["STORED, BUT REFUSED"] * 2


def test_a_record_of_unknown_outcome_is_judged_like_any_other(load: Load, faults: Faults) -> None:
    """It may be there; then it ends once, as its kind does."""
    names = ("quick-1", "quick-2", "slow-3", "slow-4")
    load.asked |= dict.fromkeys(names, Asked.UNKNOWN)
    found = verdict(
        load,
        faults,
        *(start("slow-4", pid) for pid in (1, 2)),
        a=row("quick-1"),
        b=row("quick-2", state="running"),
        c=row("slow-3", state="failed"),
        d=row("slow-4"),
    )
    assert not found.other
    assert [len(found.stuck), len(found.lost), len(found.duplicate)] == [1, 1, 1]


def test_a_job_that_ran_without_a_record_is_reported(load: Load, faults: Faults) -> None:
    """Also when nobody knows how its submission ended."""
    load.asked["quick-1"] = Asked.UNKNOWN
    assert verdict(load, faults, start("quick-1", 1)).other == ["RAN WITHOUT A RECORD: quick-1"]


def test_every_job_that_is_asked_for_in_vain_has_a_name(faults: Faults) -> None:
    """So that each can be found, and none counts as accepted twice."""
    asker = cast(DistributedFaults, faults)
    every = [
        *DistributedFaults._asks_in_vain(asker),
        *DistributedFaults._asks_in_vain(asker),
    ]
    names = [job["args"][0] for ask in every for job in jobs_in(ask)]
    assert len(names) == len(set(names)) > 10
    assert set(faults.asked) == set(names)


class Answering:
    """A client whose submissions are refused with these statuses."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    def submit_many(self, jobs: object, key: str) -> None:
        raise ApiError("no", answer_status=self.statuses.pop(0))


@pytest.mark.parametrize(
    ("statuses", "known"),
    [
        ([422], Asked.REFUSED),
        ([409, 429], Asked.REFUSED),
        ([0], Asked.UNKNOWN),
        ([503], Asked.UNKNOWN),
        ([503, 422], Asked.UNKNOWN),
    ],
)
def test_the_load_knows_what_may_be_there(load: Load, statuses: list[int], known: Asked) -> None:
    """A refusal does not take back that an earlier try under the same key may have been accepted."""
    client = cast(SyncAdminClient, Answering(*statuses))
    for _ in statuses:
        with pytest.raises(ApiError):
            load._send(client, [("quick", "quick-1")], "key")
    assert load.asked == {"quick-1": known}


# --- around it


def test_faults_of_others_are_trouble(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of workers are not."""
    seen: list[bool] = []
    real = faults.harms.trouble

    @contextlib.contextmanager
    def trouble() -> Iterator[None]:
        seen.append(True)
        with real():
            yield

    monkeypatch.setattr(faults.harms, "trouble", trouble)
    for is_of_worker in (True, False):
        kind = Fault("none", 1, lambda: None, is_of_worker)
        monkeypatch.setattr(faults, "kinds", lambda kind=kind: [kind])
        faults.one()
        assert bool(seen) is not is_of_worker


def test_named_faults_come_first(
    faults: Faults, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, once; what is not possible is left out, and the whole deck comes after them."""
    first = Faults(stack, faults.recoveries, faults.probe, 1, first=["c", "impossible", "a"])
    monkeypatch.setattr(first, "kinds", lambda: [Fault(name, 1, lambda: None) for name in "abc"])
    dealt = [first.one() for _ in range(8)]
    assert dealt[:2] == ["c", "a"]
    assert sorted(dealt[2:5]) == sorted(dealt[5:8]) == ["a", "b", "c"]


def test_the_closing_line(faults: Faults) -> None:
    """Has one form, whether anything was measured or not."""
    outcome = Outcome(5, 2, Verdict(["a"], [], ["b", "c"], []), faults.recoveries)
    seconds = r"(\d+\.\d\d|-)"
    form = (
        r"jobs=5 faults=2 lost=1 duplicate=0 stuck=2 "
        rf"p95_worker_kill_s={seconds} p95_broker_back_s={seconds}"
    )
    assert re.fullmatch(form, outcome.line())
    faults.recoveries.worker_kill.append(1.5)
    faults.recoveries.broker_back.append(2.25)
    assert re.fullmatch(form, outcome.line())
    assert outcome.line().endswith(" p95_worker_kill_s=1.50 p95_broker_back_s=2.25")
