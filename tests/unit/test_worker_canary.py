"""What a worker does with a version that is not the default one: runs it where it is tried, has it ready when told."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.model import Ahead, Readied, Reload, Trial
from dts_core.signing import Trust
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from dts_worker.readied import KEPT_MAX, KEPT_SECONDS, ReadiedVersions
from tests.support.worker_process import in_process
from tests.support.worker_road import Road

DEFAULT = "def main(): return 'default'"
CANARY = "async def main(): return 'canary'"
BROKEN = "raise ValueError('no such pump')\ndef main(): pass"
FUNCTION = "test/function"


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


def said(road: Road) -> list[Readied]:
    """What the last heartbeat says of deploys."""
    return road.beats[-1].readied


async def until_said(road: Road, order: str) -> Readied:
    await wait_until(lambda: any(each.order == order for each in said(road)), what=order)
    return next(each for each in said(road) if each.order == order)


@pytest.mark.parametrize(("hosts", "result"), [(["a", "b"], b'"canary"'), (["b"], b'"default"')])
async def test_a_host_of_the_trial_runs_its_version(
    road: Road, hosts: list[str], result: bytes
) -> None:
    """By its name, of the other kind too; both versions are verified alike."""
    version = road.add(CANARY)
    job = road.message(DEFAULT, trial=Trial(version, True, hosts))
    async with in_process(road, Trust([road.signer.public])):
        await road.send(job)
        assert (await road.result(job.id)).result == result
    ran = version if "a" in hosts else job.version
    assert [each.hash for each in road.requests] == [ran]


async def test_an_unsigned_canary_never_runs(road: Road) -> None:
    """Nor does the default version in its place."""
    version = road.add(CANARY)
    road.sign = lambda asked: None if asked.hash == version else road.signed(asked)
    job = road.message(DEFAULT, trial=Trial(version, True, ["a"]))
    async with in_process(road, Trust([road.signer.public])):
        await road.send(job)
        result = await road.result(job.id)
    assert result.event is JobEvent.FAIL
    assert result.error is not None
    assert "is not signed" in result.error.message


async def test_a_trial_of_no_version_is_no_job(road: Road) -> None:
    """It would be the name of a file: such a message goes to the dead letters."""
    good = road.message(DEFAULT)
    async with in_process(road) as worker:
        await road.send(road.message(DEFAULT, trial=Trial("../x", False, ["a"])), good)
        assert (await road.result(good.id)).event is JobEvent.FINISH
        assert worker.worker.consumer.undecodable == 1


async def test_a_deploy_is_answered_with_a_heartbeat(road: Road) -> None:
    """Ready or why not, with the version that was loaded last; nothing of it is run as a job."""
    default, canary, broken = (road.add(each) for each in (DEFAULT, CANARY, BROKEN))
    async with in_process(road):
        await road.order(Reload(FUNCTION, default, Ahead(order="d1", is_default=True)))
        good = await until_said(road, "d1")
        assert (good.worker, good.hash, good.why, good.runs) == ("a-1", default, "", default)
        await road.order(Reload(FUNCTION, canary, Ahead(order="d2")))
        ahead = await until_said(road, "d2")
        assert (ahead.hash, ahead.why, ahead.runs) == (canary, "", default)
        await road.order(Reload(FUNCTION, broken, Ahead(order="d3", is_default=True)))
        bad = await until_said(road, "d3")
        assert "no such pump" in bad.why
        assert bad.runs == default
        await road.order(Reload(FUNCTION, "0" * 64, Ahead(order="d4")))
        assert "no version" in (await until_said(road, "d4")).why
        assert road.beats[-1].functions == {FUNCTION: default}


async def test_a_deploy_that_is_told_again_is_done_once(road: Road) -> None:
    """The answer is said again; orders of other hosts are not heeded."""
    version = road.add(DEFAULT)
    order = Reload(FUNCTION, version, Ahead(order="d1", hosts=["a"]))
    async with in_process(road):
        await road.order(Reload(FUNCTION, version, Ahead(order="d0", hosts=["b"])))
        await road.order(order)
        await road.order(order)
        await until_said(road, "d1")
        beats = len(road.beats)
        await road.order(order)
        await wait_until(lambda: len(road.beats) > beats)
        assert [each.order for each in said(road)] == ["d1"]
    assert len(road.requests) == 1


async def test_the_hosts_of_a_canary_say_that_they_run_it(road: Road) -> None:
    """A version that is only fetched ahead is not what the host runs."""
    default, canary = road.add(DEFAULT), road.add(CANARY)
    async with in_process(road) as worker:
        functions = worker.worker.functions
        await road.order(Reload(FUNCTION, default))
        await wait_until(lambda: functions() == {FUNCTION: default})
        await road.order(Reload(FUNCTION, canary, Ahead()))
        await wait_until(lambda: len(road.requests) == 2)
        await road.order(Reload(FUNCTION, canary, Ahead(hosts=["a"], is_default=True)))
        await wait_until(lambda: functions() == {FUNCTION: canary})
    assert len(road.requests) == 2


def test_answers_are_kept_for_a_while() -> None:
    """A bounded number, for a bounded time, the newest last."""
    now = 0.0
    kept = ReadiedVersions(lambda: now)
    for number in range(KEPT_MAX + 1):
        kept.add(Readied(order=str(number), worker="w", function=FUNCTION, hash="h"))
        now += 1.0
    assert [each.order for each in kept.said()] == [str(each) for each in range(1, KEPT_MAX + 1)]
    assert "0" not in kept
    now += KEPT_SECONDS - 2.0
    assert [each.order for each in kept.said()] == [str(KEPT_MAX - 1), str(KEPT_MAX)]
    assert "1" not in kept
