"""A job's road through the worker: claim, source, run, result, ack."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import Message, Outgoing
from dts_core.model import Cancel, Drain, Reload, Signature
from dts_core.states import JobEvent, WorkerEvent
from dts_core.testing import wait_until
from tests.support.taking import until_stands
from tests.support.worker_process import InProcess, in_process
from tests.support.worker_road import Road

ECHO = "def main(value): return value"
WAIT = "import asyncio\nasync def main():\n    print('ready')\n    await asyncio.sleep(600)"
GATED = """
import os, time
def main(gate):
    print('ready')
    while not os.path.exists(gate):
        time.sleep(0.01)
"""
SLEEP = "import time\ndef main(seconds):\n    print('ready')\n    time.sleep(seconds)\n    return seconds"


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


@pytest.fixture
async def worker(road: Road) -> AsyncIterator[InProcess]:
    async with in_process(road) as found:
        yield found


async def test_a_result_comes_and_its_delivery_is_acked(road: Road, worker: InProcess) -> None:
    """A job's result names job and claim, is sent once, and only then is the delivery gone."""
    job = await road.submit(ECHO, {"a": [1]})
    result = await road.result(job)
    assert (result.event, result.epoch, result.result) == (JobEvent.FINISH, 1, b'{"a":[1]}')
    assert result.started_at is not None
    await until_stands(road.broker, "jobs.default", 0)
    assert len(road.of(job)) == 1
    await wait_until(lambda: worker.worker.held() == [])


async def test_a_failure_is_told_with_hostile_text_made_visible(
    road: Road, worker: InProcess
) -> None:
    """Exception text and log lines reach the control side without controls a terminal would obey."""
    source = "def main():\n    print('\\x1b]52;c;x\\x07\\u202e')\n    raise ValueError('\\x1b[2J')"
    job = await road.submit(source)
    result = await road.result(job)
    assert result.event is JobEvent.FAIL
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("ValueError", "\\x1b[2J")
    await wait_until(lambda: bool(road.texts(job)))
    assert road.texts(job) == ["\\x1b]52;c;x\\x07\\u202e"]


async def test_log_and_progress_name_their_job(road: Road, worker: InProcess) -> None:
    """Each line carries job, function and level; progress carries the claim's epoch."""
    source = "from dts_core import job\ndef main():\n    job.logger.error('e')\n    job.progress(0.5, 'half')"
    job = await road.submit(source)
    await road.result(job)
    await wait_until(lambda: bool(road.texts(job)))
    record = next(each for each in road.records if each.job == job)
    assert (record.level, record.text, record.function, record.source, record.host) == (
        40,
        "e",
        "test/function",
        "job",
        "a",
    )
    assert all(each.epoch == 1 for each in road.progress)


async def test_one_request_serves_all_who_wait_for_a_source(
    road: Road, worker: InProcess, tmp_path: Path
) -> None:
    """Many jobs of a version that is not here yet ask for its source once, in chunks; the disk keeps it."""
    source = ECHO + "\n#" + "x" * 600_000
    jobs = [road.message(source, n) for n in range(20)]
    await road.send(*jobs)
    for job in jobs:
        await road.result(job.id)
    assert [each.offset for each in road.requests] == [0, 262144, 524288]
    cached = worker.road.folder / "worker" / "sources" / f"{jobs[0].version}.py"
    assert cached.read_bytes() == source.encode()


async def test_the_disk_cache_is_used_and_never_trusted(road: Road) -> None:
    """A cached source is taken without asking; one that is not what its name says is fetched anew."""
    first, second = road.message(ECHO, 1), road.message(ECHO + "  #", 2)
    folder = road.folder / "worker" / "sources"
    folder.mkdir(parents=True)
    (folder / f"{first.version}.py").write_bytes(road.sources[first.version])
    (folder / f"{second.version}.py").write_bytes(b"def main(value): return 'forged'")
    async with in_process(road):
        await road.send(first, second)
        assert (await road.result(first.id)).result == b"1"
        assert (await road.result(second.id)).result == b"2"
    assert [each.hash for each in road.requests] == [second.version]


async def test_a_version_that_nobody_has_fails_for_good(road: Road, worker: InProcess) -> None:
    """A job whose source the control side does not know fails as LoadFailed and is not tried again."""
    job = road.message(ECHO)
    del road.sources[job.version]
    await road.send(job)
    result = await road.result(job.id)
    assert result.error is not None
    assert result.error.type == "LoadFailed"
    assert not result.retry


async def test_a_source_that_does_not_fit_its_hash_is_refused(
    road: Road, worker: InProcess
) -> None:
    """Whatever the control side sends, only bytes of the hash asked for are run."""
    job = road.message(ECHO)
    road.sources[job.version] = b"def main(*a): return 'forged'"
    await road.send(job)
    result = await road.result(job.id)
    assert result.error is not None
    assert result.error.type == "LoadFailed"


@pytest.mark.parametrize("what", ["bytes", "version", "function", "id"])
async def test_a_message_that_cannot_be_read_is_a_dead_letter(
    road: Road, worker: InProcess, what: str
) -> None:
    """Broken bytes, or parts that must not become names of files or modules, go aside with the reason."""
    job = road.message(ECHO, 1)
    wrong = {
        "version": {"version": "../../etc/passwd"},
        "function": {"function": "../x"},
        "id": {"id": "x" * 65},
    }
    fields = {name: getattr(job, name) for name in job.__struct_fields__}
    body = b"\x01\x00broken"
    if what != "bytes":
        body = codec.encode(type(job)(**(fields | wrong[what])))
    await road.broker.publish([Outgoing("jobs.default", Message(body, message_id=job.id))])

    async def dead() -> bool:
        return bool(await road.broker.dead_letters())

    await wait_until(dead)
    assert (await road.broker.dead_letters())[0].reason
    good = await road.submit(ECHO, 1)
    assert (await road.result(good)).event is JobEvent.FINISH


async def test_a_cancel_stops_a_running_job(road: Road, worker: InProcess) -> None:
    """The order stops the job, and the confirmation comes when it has stopped."""
    job = await road.submit(WAIT)
    await road.until_logged(job, "ready")
    await road.order(Cancel(job=job, by="ann"))
    assert (await road.result(job)).event is JobEvent.CONFIRM_CANCEL


async def test_a_cancel_of_a_job_that_waits_for_its_source_counts(
    road: Road, worker: InProcess
) -> None:
    """A job cancelled while its source is on its way never runs."""
    job = road.message("def main(): print('ran')")
    source = road.sources.pop(job.version)
    gate = asyncio.Event()
    fetch = worker.worker.loader._ask

    async def slowly(function: str, content_hash: str) -> tuple[bytes, Signature | None]:
        await gate.wait()
        road.sources[job.version] = source
        return await fetch(function, content_hash)

    worker.worker.loader._ask = slowly  # type: ignore[method-assign]
    await road.send(job)
    await wait_until(lambda: worker.worker.held() != [])
    await road.order(Cancel(job=job.id))
    await asyncio.sleep(0)
    await wait_until(lambda: worker.worker.executor.is_cancelled(job.id))
    gate.set()
    assert (await road.result(job.id)).event is JobEvent.CONFIRM_CANCEL
    assert road.of(job.id)[0].started_at is None


async def test_a_reload_prepares_a_version_and_refuses_a_bad_one(
    road: Road, worker: InProcess
) -> None:
    """A new version is fetched and tried before its first job; one that does not import leaves the old one."""
    good, bad = road.add(ECHO), road.add("import nowhere")
    await road.order(Reload("test/function", good))
    await wait_until(lambda: worker.worker.functions() == {"test/function": good})
    await road.order(Reload("test/function", bad))
    await wait_until(lambda: any("refused" in each.text for each in road.records))
    record = next(each for each in road.records if "refused" in each.text)
    assert "ModuleNotFoundError" in record.text
    assert (record.source, record.function, record.level) == ("worker", "test/function", 40)
    assert worker.worker.functions() == {"test/function": good}


async def test_a_drained_worker_takes_nothing_until_told(road: Road, worker: InProcess) -> None:
    """Drain pauses this host only, what runs goes on, and jobs flow again after the opposite order."""
    running = await road.submit(SLEEP, 0.5)
    await road.until_logged(running, "ready")
    await road.order(Drain("other"))
    await road.order(Drain("a"))
    await wait_until(lambda: worker.worker.draining)
    waiting = await road.submit(ECHO, 1)
    assert (await road.result(running)).event is JobEvent.FINISH
    await wait_until(lambda: road.beats[-1].draining)
    assert road.of(waiting) == []
    await road.order(Drain("a", on=False))
    assert (await road.result(waiting)).event is JobEvent.FINISH


async def test_heartbeats_say_what_is_held_and_counted(road: Road, worker: InProcess) -> None:
    """Claims of running jobs, slots, queues, and RECV, FAIL, DONE per function are in the heartbeat."""
    held = await road.submit(WAIT)
    await road.until_logged(held, "ready")
    await road.result(await road.submit(ECHO, 1))
    await road.result(await road.submit("def main(): 1 / 0"))
    count = len(road.beats)
    await wait_until(lambda: len(road.beats) > count + 1)
    beat = road.beats[-1]
    assert beat.held == [(held, 1)]
    assert (beat.slots, beat.running, beat.queues) == (2, 1, ["default", "host.a"])
    assert sorted(beat.counts) == [
        (WorkerEvent.RECV, "test/function", 3),
        (WorkerEvent.FAIL, "test/function", 1),
        (WorkerEvent.DONE, "test/function", 1),
    ]
    await road.order(Cancel(job=held))
    await road.result(held)


async def test_the_numbers_of_the_events_are_fixed() -> None:
    """RECV 1, FAIL 2, DONE 3: on the wire for ever."""
    assert (WorkerEvent.RECV, WorkerEvent.FAIL, WorkerEvent.DONE) == (1, 2, 3)


async def test_results_wait_while_the_link_is_away(
    road: Road, worker: InProcess, tmp_path: Path
) -> None:
    """A job that ends while the owner is away keeps its claim and its result, and reports after the return."""
    gate = tmp_path / "gate"
    job = await road.submit(GATED, str(gate))
    await road.until_logged(job, "ready")
    await road.server.close()
    await wait_until(lambda: not worker.link.is_connected)
    gate.touch()
    await wait_until(lambda: worker.worker.running == 0)
    assert worker.worker.held() == [(job, 1)]
    await road.reopen_links()
    assert (await road.result(job)).event is JobEvent.FINISH
    assert len(road.of(job)) == 1


async def test_a_claim_that_went_elsewhere_is_abandoned(road: Road, worker: InProcess) -> None:
    """After a lost link, a run whose claim another worker has is killed and tells nothing."""
    job = await road.submit(WAIT)
    await road.until_logged(job, "ready")
    await road.server.close()
    road.desk.owners[job] = "another"
    await road.reopen_links()
    await wait_until(lambda: worker.worker.running == 0)
    await wait_until(lambda: worker.worker.held() == [])
    assert road.of(job) == []


async def test_results_that_nobody_wants_are_dropped(
    road: Road, worker: InProcess, tmp_path: Path
) -> None:
    """A refused result is counted and not tried again; the others of its message arrive."""
    gate = tmp_path / "gate"
    jobs = [road.message(GATED, str(gate)) for _ in range(2)]
    await road.send(*jobs)
    for job in jobs:
        await road.until_logged(job.id, "ready")
    road.take_claim_away(jobs[0].id, 1)
    gate.touch()
    assert (await road.result(jobs[1].id)).event is JobEvent.FINISH
    await wait_until(lambda: worker.worker.held() == [])
    assert road.of(jobs[0].id) == []
    assert worker.worker.results.refused == 1


async def test_stopping_finishes_what_runs(road: Road) -> None:
    """A drain lets running jobs end, reports them, and takes nothing more."""
    async with in_process(road) as worker:
        job = await road.submit(SLEEP, 0.5)
        await road.until_logged(job, "ready")
        worker.stop.set()
        await wait_until(lambda: worker.worker.draining)
        late = await road.submit(ECHO, 1)
    assert (await road.result(job)).event is JobEvent.FINISH
    assert road.of(late) == []
    await until_stands(road.broker, "jobs.default", 1)


async def test_what_does_not_finish_in_time_goes_back_uncharged(road: Road) -> None:
    """After drain_seconds the rest is killed and given back, with no result and no loss."""
    async with in_process(road, drain_seconds=0.3) as worker:
        job = await road.submit(SLEEP, 60)
        await road.until_logged(job, "ready")
        worker.stop.set()
    await wait_until(lambda: (job, 1) in road.desk.given_back)
    assert road.of(job) == []
    assert road.desk.lost == []
    await until_stands(road.broker, "jobs.default", 1)


async def test_slow_jobs_are_not_hoarded(road: Road) -> None:
    """A worker holds only about as many slow synchronous jobs as it has slots; the others stay for others."""
    async with in_process(road) as worker:
        await asyncio.gather(*[road.submit("async def main(): pass") for _ in range(200)])
        await wait_until(lambda: len(road.results) == 200)
        jobs = [road.message(SLEEP, 60) for _ in range(60)]
        await road.send(*jobs)
        await wait_until(lambda: worker.worker.running == 2)
        await wait_until(lambda: len(worker.worker.held()) <= 6)
        worker.at_once.set()
