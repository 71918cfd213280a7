"""How a fan-out begins, halts and ends, with work that needs no host."""

import asyncio

import pytest

from dts_core.errors import HostUnreachable, InvalidInput
from dts_core.ssh.fanout import FanOut, FanOutPlan
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.ssh.target import Target
from dts_core.testing import wait_until


def targets(count: int) -> list[Target]:
    return [Target(id=f"h{n}", address="a", user="u") for n in range(count)]


class Work:
    """Ends as it is told; remembers how many ran at once, and who was begun."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.now = 0
        self.most = 0
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, target: Target) -> Outcome:
        self.begun.append(target.id)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.append(target.id)
            raise
        finally:
            self.now -= 1
        is_bad = target.id in self.bad
        return Outcome(host=target.id, state=HostState.FAILED if is_bad else HostState.OK)


async def states(run: FanOut) -> dict[str, str]:
    found = [(outcome.host, outcome.state.value) async for outcome in run]
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("at_once", [1, 7, 64, 500])
async def test_every_host_once_and_so_many_at_once(at_once: int) -> None:
    """Whatever the numbers."""
    work = Work()
    found = await states(FanOut(targets(200), work, FanOutPlan(at_once=at_once)))
    assert found == {f"h{n}": "ok" for n in range(200)}
    assert work.most == min(at_once, 200)


async def test_nobody_is_no_work() -> None:
    """An empty selection ends at once."""
    assert await states(FanOut([], Work())) == {}


async def test_batches_follow_one_another() -> None:
    """The next begins when the one before has ended; the last size is used again."""
    work = Work()
    run = FanOut(targets(9), work, FanOutPlan(batches=(1, 3)))
    seen = [len(work.begun) async for _ in run]
    assert seen[0] == 1
    assert max(seen[1:4]) == 4
    assert max(seen[4:7]) == 7
    assert seen[-1] == 9


async def test_a_budget_halts_it() -> None:
    """One failure more than allowed: nothing new is begun, what runs ends, the rest never started, and says why."""
    work = Work("h0", "h2")
    run = FanOut(targets(20), work, FanOutPlan(at_once=1, batches=(4,), failures_max=1))
    outcomes = [outcome async for outcome in run]
    assert work.begun == ["h0", "h1", "h2"]
    assert [outcome.state.value for outcome in outcomes[:3]] == ["failed", "ok", "failed"]
    rest = outcomes[3:]
    assert {outcome.state for outcome in rest} == {HostState.NEVER_STARTED}
    assert {outcome.error.message for outcome in rest if outcome.error} == {
        "more than 1 hosts have failed"
    }
    assert {outcome.host for outcome in outcomes} == {f"h{n}" for n in range(20)}


async def test_cancelling_tells_every_host() -> None:
    """Those that run are cancelled there; those that wait never started; the iteration comes to its end."""
    work = Work()
    work.gate = asyncio.Event()
    run = FanOut(targets(10), work, FanOutPlan(at_once=3))
    task = asyncio.create_task(states(run))
    await wait_until(lambda: work.now == 3)
    run.cancel()
    found = await task
    assert sorted(work.cancelled) == ["h0", "h1", "h2"]
    assert sorted(found.values()) == ["cancelled"] * 3 + ["never_started"] * 7


async def test_whoever_stops_looking_has_closed_it() -> None:
    """No task and no work lives on."""
    work = Work()
    run = FanOut(targets(50), work, FanOutPlan(at_once=5)).__aiter__()
    first = await anext(run)
    assert first.state is HostState.OK
    work.gate = asyncio.Event()
    await run.aclose()
    assert work.now == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("ssh-fan-out")]


async def test_a_slow_reader_holds_the_hosts_back() -> None:
    """What is finished and not read is bounded."""
    work = Work()
    run = FanOut(targets(100), work, FanOutPlan(at_once=2)).__aiter__()
    await anext(run)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(work.begun) <= 6
    assert 1 + len([outcome async for outcome in run]) == 100


async def test_a_hosts_own_time_is_over() -> None:
    """The work is cancelled there, and the host told as timed out."""
    work = Work()
    work.gate = asyncio.Event()
    run = FanOut(targets(2), work, FanOutPlan(host_seconds=0.05))
    assert await states(run) == {"h0": "timed_out", "h1": "timed_out"}
    assert sorted(work.cancelled) == ["h0", "h1"]


async def test_errors_of_ours_are_ends_and_others_are_told() -> None:
    """A host that cannot be reached is an outcome; a mistake in the work itself is not hidden."""

    async def refuse(target: Target) -> Outcome:
        raise HostUnreachable("no way", host=target.id)

    async def break_down(target: Target) -> Outcome:
        raise ZeroDivisionError

    assert await states(FanOut(targets(1), refuse)) == {"h0": "unreachable"}
    with pytest.raises(ZeroDivisionError):
        await states(FanOut(targets(3), break_down))


@pytest.mark.parametrize(
    ("count", "plan"), [(2, FanOutPlan(at_once=0)), (2, FanOutPlan(batches=(1, 0)))]
)
def test_numbers_that_make_no_sense(count: int, plan: FanOutPlan) -> None:
    """Refused before anything is begun; so is a host that is named twice."""
    with pytest.raises(InvalidInput):
        FanOut(targets(count), Work(), plan)
    with pytest.raises(InvalidInput, match="twice"):
        FanOut(targets(1) * 2, Work())
