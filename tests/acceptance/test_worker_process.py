"""`dts-worker` as a process: signals, sudden deaths, and what is left of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.processes import STOP_SECONDS, environment, eventually, freeze
from tests.support.taking import until_stands
from tests.support.worker_process import a_process
from tests.support.worker_road import Road

PID = """
import os, time
{kind} main(seconds=60):
    print(os.getpid(), flush=True)
    {sleep}
    return os.getpid()
"""
SYNC = PID.format(kind="def", sleep="time.sleep(seconds)")
ASYNC = "import asyncio\n" + PID.format(kind="async def", sleep="await asyncio.sleep(seconds)")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux has the means")


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def pid_of(road: Road, job: str) -> int:
    """The process that a job says it runs in."""
    await wait_until(lambda: bool(road.texts(job)), what="a line of the job")
    return int(road.texts(job)[0])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_it_runs_jobs_on_either_loop_and_says_which(road: Road, loop: str) -> None:
    """The heartbeat names the loop; jobs of both kinds end well on it; SIGTERM ends it with status 0."""
    async with a_process(road, DTS_WORKER_LOOP=loop) as worker:
        jobs = [road.message(source, 0) for source in (SYNC, ASYNC)]
        await road.send(*jobs)
        for job in jobs:
            assert (await road.result(job.id)).event is JobEvent.FINISH
        assert road.beats[-1].loop == loop
        worker.process.terminate()
        assert await worker.ends() == 0, worker.said()


@pytest.mark.parametrize("source", [SYNC, ASYNC], ids=["sync", "async"])
async def test_sigterm_lets_a_job_finish(road: Road, source: str) -> None:
    """The running job ends and is reported, heartbeats say `draining` meanwhile, nothing new is taken."""
    async with a_process(road) as worker:
        job = await road.submit(source, 1.0)
        await pid_of(road, job)
        worker.process.terminate()
        await wait_until(lambda: road.beats[-1].draining)
        late = await road.submit(source, 0)
        assert await worker.ends() == 0
    assert (await road.result(job)).event is JobEvent.FINISH
    assert road.of(late) == []
    assert road.desk.lost == []
    await until_stands(road.broker, "jobs.default", 1)


async def test_sigterm_gives_back_what_does_not_finish(road: Road) -> None:
    """After drain_seconds the rest is killed and goes back uncharged; the status is still 0."""
    async with a_process(road, DTS_WORKER_DRAIN_SECONDS="0.5") as worker:
        jobs = [await road.submit(source) for source in (SYNC, ASYNC)]
        pids = [await pid_of(road, job) for job in jobs]
        worker.process.terminate()
        assert await worker.ends() == 0
    await wait_until(lambda: {job for job, _ in road.desk.given_back} >= set(jobs))
    assert road.desk.lost == []
    assert [pid for pid in pids if alive(pid)] == []


async def test_a_second_signal_ends_it_at_once(road: Road) -> None:
    """Whoever asks twice does not wait for jobs; their processes end too."""
    async with a_process(road, DTS_WORKER_DRAIN_SECONDS="60") as worker:
        pids = [await pid_of(road, await road.submit(source)) for source in (SYNC, ASYNC)]
        worker.process.send_signal(signal.SIGINT)
        await wait_until(lambda: road.beats[-1].draining)
        worker.process.send_signal(signal.SIGINT)
        assert await worker.ends() == 128 + signal.SIGINT
        await wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("source", [SYNC, ASYNC], ids=["sync", "async"])
async def test_kill_9_leaves_no_child(road: Road, source: str) -> None:
    """However suddenly the worker dies, its children die with it and the claims are charged as lost."""
    async with a_process(road) as worker:
        job = await road.submit(source)
        pid = await pid_of(road, job)
        family = [each.pid for each in psutil.Process(worker.process.pid).children(recursive=True)]
        assert pid in family
        worker.process.kill()
        await worker.ends()
        await wait_until(lambda: not any(alive(each) for each in family))
    await wait_until(lambda: (job, 1) in road.desk.lost)


@linux_only
async def test_kill_9_leaves_no_process_of_a_job(road: Road) -> None:
    """A process that a job started ends too when the worker is killed, in whatever session it is."""
    source = """
        import subprocess, time
        def main():
            for own in (False, True):
                print(subprocess.Popen(["sleep", "300"], start_new_session=own).pid, flush=True)
            time.sleep(60)
        """
    async with a_process(road) as worker:
        job = await road.submit(source)
        await wait_until(lambda: len(road.texts(job)) == 2)
        pids = [int(text) for text in road.texts(job)]
        worker.process.kill()
        await worker.ends()
        await wait_until(lambda: not any(alive(pid) for pid in pids))


async def test_what_a_killed_worker_left_on_disk_goes_with_the_next(road: Road) -> None:
    """Working folders of children that nobody could remove are removed at the next start, and only those."""
    folder = road.folder / "worker" / "children"
    async with a_process(road) as worker:
        await pid_of(road, await road.submit(SYNC))
        worker.process.kill()
        await worker.ends()
    left = {each.name for each in folder.iterdir()}
    assert len(left) == 1
    beside = folder / f"{os.getpid()}-other"
    beside.mkdir()
    road.beats.clear()
    async with a_process(road) as worker:
        assert not left & {each.name for each in folder.iterdir()}
        worker.process.terminate()
        assert await worker.ends() == 0
    assert [each.name for each in folder.iterdir()] == [beside.name]


@linux_only
async def test_a_daemon_of_a_job_that_killed_its_child_ends(road: Road) -> None:
    """A detached process is found even when the child that it came from is gone already."""
    source = """
        import os, sys
        def main():
            heard, said = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    sys.__stdout__.write(f"{os.getpid()}\\n"); sys.__stdout__.flush()
                    os.write(said, b".")
                    os.close(1); os.close(2)
                    os.execve("/bin/sleep", ["sleep", "300"], {})
                os._exit(0)
            os.wait()
            os.read(heard, 1)
            os._exit(1)
        """
    async with a_process(road):
        job = await road.submit(source)
        result = await road.result(job)
        assert result.error is not None
        assert result.error.type == "ChildDied"
        pid = await pid_of(road, job)
        await wait_until(lambda: not alive(pid))
        assert (await road.result(await road.submit(SYNC, 0))).event is JobEvent.FINISH


async def test_it_ends_with_the_process_that_started_it(road: Road) -> None:
    """When the other end of --parent-pipe closes, it stops at once, with all its children."""
    reading, writing = os.pipe()
    async with a_process(
        road,
        "--parent-pipe",
        str(reading),
        pass_fds=(reading,),
        DTS_WORKER_DRAIN_SECONDS="60",
    ) as worker:
        os.close(reading)
        pid = await pid_of(road, await road.submit(SYNC))
        os.close(writing)
        assert await worker.ends() == 0
        assert not alive(pid)


async def test_a_frozen_worker_is_refused_when_it_comes_back(road: Road) -> None:
    """SIGSTOP until the link is lost, then SIGCONT: the run that went elsewhere is killed, nothing is recorded."""
    await road.server.close()
    road.lost_seconds, road.ping_seconds = 1.0, 0.3
    await road.reopen_links()
    async with a_process(road) as worker:
        job = await road.submit(SYNC, 0.5)
        await pid_of(road, job)
        freeze(worker.process.pid)
        await wait_until(lambda: (job, 1) in road.desk.lost)
        road.desk.held_against(job, 3600.0)
        worker.process.send_signal(signal.SIGCONT)
        again = await road.submit(SYNC, 0)
        assert (await road.result(again)).event is JobEvent.FINISH
        beats = len(road.beats)
        await wait_until(lambda: len(road.beats) > beats + 1)
        assert road.beats[-1].held == []
    assert road.of(job) == []


async def test_its_secrets_stay_with_it(road: Road) -> None:
    """A job sees neither the worker's variables nor (for another user than root) its memory's copy of them."""
    source = """
        import os
        def main():
            try:
                parents = open(f"/proc/{os.getppid()}/environ").read()
            except OSError:
                parents = ""
            return [os.environ.get("DTS_CANARY", ""), parents, os.getuid()]
        """
    async with a_process(road, DTS_CANARY="canary-secret"):
        result = await road.result(await road.submit(source))
    assert result.result is not None
    own, parents, uid = json.loads(result.result)
    assert own == ""
    if uid != 0:
        assert "canary" not in parents


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["-c", "/nowhere/worker.toml"], 1, "is not there"),
        (["--url", "ftp://x"], 1, "broker.url"),
        (["--host", "bad name"], 1, "no name of a host"),
        (["--slots", "many"], 2, "--slots"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    """A mistake ends with one line that names it, and the right status."""
    done = subprocess.run(
        [sys.executable, "-m", "dts_worker.cli", *arguments],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    lines = [line for line in done.stderr.splitlines() if line.startswith("dts")]
    assert len(lines) == 1
    assert said in lines[0]


def test_without_a_link_it_waits_for_one(tmp_path: Path) -> None:
    """Owner and workers start in any order: it tries again, says why on stderr, and SIGTERM ends it with status 0."""
    said = tmp_path / "stderr"
    url = f"link+unix://{tmp_path / 'nowhere' / 'link.sock'}"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dts_worker.cli",
                "--url",
                url,
                "--data",
                str(tmp_path / "data"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(tmp_path),
        )
    try:
        away = "the link is away reason=FileNotFoundError"
        eventually(lambda: said.read_text().count(away) >= 3, what="it tries again and says why")
        assert process.poll() is None
        process.terminate()
        printed, _ = process.communicate(timeout=STOP_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, printed) == (0, b""), said.read_text()
    assert "Traceback" not in said.read_text()


def test_help_loads_little(tmp_path: Path) -> None:
    """--help loads the options and nothing of what a worker is made of."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dts_worker.cli", "--help"],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=60,
        check=True,
    )
    assert "dts-worker [OPTIONS]" in done.stdout
    lines = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert "click" in lines
    heavy = {"asyncio", "msgspec", "psutil", "structlog", "uvloop", "rich"}
    assert heavy & {name.partition(".")[0] for name in lines} == set()
    assert [name for name in lines if name.startswith(("dts_worker.", "dts_core.brokers"))] == []


async def test_a_busy_function_does_not_stop_the_heartbeats(road: Road, tmp_path: Path) -> None:
    """While functions of both kinds burn every core, heartbeats keep coming and say that they run."""
    stop = tmp_path / "stop"
    busy = f"import os\n{{}} main():\n    while not os.path.exists({str(stop)!r}): pass"
    async with a_process(road):
        jobs = [await road.submit(busy.format(kind)) for kind in ("def", "def", "async def")]
        await wait_until(lambda: road.beats[-1].running == 3)
        count = len(road.beats)
        await wait_until(lambda: len(road.beats) >= count + 10)
        assert {beat.running for beat in road.beats[count:]} == {3}
        stop.touch()
        for job in jobs:
            await road.result(job)
