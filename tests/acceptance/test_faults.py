"""Faults in the real stack: whoever dies or freezes, no accepted job is lost, and none counts twice."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import httpx
import psutil
import pytest

from dts_core.clients import SyncAdminClient, submission
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError
from dts_core.states import FINAL
from dts_core.views import JobView
from tests.support.processes import Running, Up, eventually, freeze, up

MARK = """
    with open(marks, "a") as file:
        file.write(f"{name} {os.getpid()}\\n")
"""
SYNC = f"import os, time\ndef main(marks, name, seconds):{MARK}    time.sleep(seconds)\n    return name\n"
ASYNC = (
    "import asyncio, os\n"
    f"async def main(marks, name, seconds):{MARK}    await asyncio.sleep(seconds)\n    return name\n"
)
FINAL_STATES = {state.value for state in FINAL}


class Bench:
    """Jobs that leave a mark whenever they start."""

    def __init__(self, client: SyncAdminClient, folder: Path) -> None:
        self.client = client
        self.marks = folder / "marks"
        eventually(lambda: client.namespaces.list().items, what="namespaces")
        client.namespaces.add("test")
        client.functions.add("test/sync", SYNC)
        client.functions.add("test/async", ASYNC)

    def submit(self, kind: str, seconds: float, count: int = 1) -> dict[str, str]:
        """id -> name of new jobs."""
        names = [f"{kind}-{seconds:g}-{number}" for number in range(count)]
        jobs = [submission(f"test/{kind}", args=[str(self.marks), name, seconds]) for name in names]
        return dict(zip(self.client.submit_many(jobs).ids, names, strict=True))

    def starts(self, name: str) -> int:
        """How often a job has started."""
        return len(self.pids(name))

    def pids(self, name: str) -> list[int]:
        """The processes that it started in."""
        lines = self.marks.read_text().splitlines() if self.marks.exists() else []
        return [int(pid) for found, pid in map(str.split, lines) if found == name]

    def until_started(self, jobs: dict[str, str]) -> None:
        """Wait until each of them has started."""
        eventually(lambda: all(self.starts(name) for name in jobs.values()), what="all started")

    def ended(
        self, jobs: dict[str, str], *, client: SyncAdminClient | None = None
    ) -> list[JobView]:
        """The jobs, once each has ended."""
        asked = client or self.client
        return [asked.wait_for(job, timeout_seconds=60) for job in jobs]


def _assert_undisturbed(bench: Bench, jobs: dict[str, str], ended: list[JobView]) -> None:
    """Ran once, under its first claim, charged nothing, with its own result."""
    for view in ended:
        told = (view.state, view.result, view.epoch, view.losses, bench.starts(jobs[view.id]))
        assert told == ("done", jobs[view.id], 1, 0, 1), (view, jobs[view.id])


def _assert_whole(data: Path) -> None:
    """Nothing is left in the queues of a stopped stack, and its figures are those of its rows."""
    connection = apsw.Connection(str(data / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT queue, count(*) FROM messages GROUP BY 1").fetchall() == []
    assert connection.execute("SELECT count(*) FROM dead_letters").fetchall() == [(0,)]
    rows = dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
    counted = connection.execute("SELECT state, sum(jobs) FROM counters WHERE jobs!=0 GROUP BY 1")
    assert dict(counted) == rows
    leases = "SELECT count(*) FROM jobs WHERE (lease IS NULL) != (state NOT IN ('running', 'cancelling'))"
    assert connection.execute(leases).fetchall() == [(0,)]
    connection.close()


@contextlib.contextmanager
def _frozen(process: psutil.Process, seconds: float) -> Iterator[None]:
    freeze(process.pid)
    try:
        time.sleep(seconds)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_frozen_owner_charges_nobody_when_it_wakes(tmp_path: Path) -> None:
    """SIGSTOP of the owner past leases and silence: its worker comes back once, its jobs count."""
    with up(tmp_path) as stack, stack.client() as client:
        bench = Bench(client, tmp_path)
        jobs = bench.submit("sync", 13) | bench.submit("async", 5, 3) | bench.submit("async", 14)
        bench.until_started(jobs)
        before = len(stack.said())
        with _frozen(psutil.Process(stack.process.pid), 12):
            pass
        _assert_undisturbed(bench, jobs, bench.ended(jobs))
        assert stack.said()[before:].count("a link began") <= 1
        assert stack.stop() == 0
    _assert_whole(stack.data)


@pytest.mark.alone
@pytest.mark.slow
def test_a_worker_that_was_frozen_is_up_again_at_once(tmp_path: Path) -> None:
    """Its host is up within a beat after its link is back, not after a while of silence more."""
    with (
        up(tmp_path, env={"DTS_CONSUMER_STETHOSCOPE_LOST_SECONDS": "14"}) as stack,
        stack.client() as client,
    ):
        with _frozen(stack.worker(), 16):
            eventually(lambda: client.hosts().items[0].state == "lost", what="it is lost")
        eventually(lambda: client.hosts().items[0].state == "up", seconds=11, what="it is up")


def test_kill_of_a_worker_with_jobs_of_both_kinds(tmp_path: Path) -> None:
    """What ran is charged once and runs again, what waited is not charged, nothing is lost or recorded twice."""
    with up(tmp_path) as stack, stack.client() as client:
        bench = Bench(client, tmp_path)
        running = bench.submit("async", 2, 20) | bench.submit("sync", 2, 2)
        bench.until_started(running)
        waiting = bench.submit("sync", 0.01, 30) | bench.submit("async", 0.01, 30)
        stack.worker().kill()
        names = running | waiting
        for view in bench.ended(names):
            assert (view.state, view.result) == ("done", names[view.id])
            assert view.losses <= 1
            assert bench.starts(names[view.id]) <= view.epoch
        assert all(client.job(job).losses == 1 for job in running)
        assert stack.stop() == 0
    _assert_whole(stack.data)


def test_kill_of_a_child_hurts_only_what_it_ran(tmp_path: Path) -> None:
    """The job of a killed child fails and says so; nobody else is disturbed."""
    with up(tmp_path) as stack, stack.client() as client:
        bench = Bench(client, tmp_path)
        others = bench.submit("async", 2, 10)
        victim = bench.submit("sync", 60)
        bench.until_started(others | victim)
        [name] = victim.values()
        psutil.Process(bench.pids(name)[0]).kill()
        [failed] = bench.ended(victim)
        assert failed.state == "failed"
        assert failed.error is not None
        assert failed.error.type == "ChildDied"
        _assert_undisturbed(bench, others, bench.ended(others))
        shared = bench.submit("async", 3, 10)
        bench.until_started(shared)
        psutil.Process(bench.pids(next(iter(shared.values())))[0]).kill()
        for view in bench.ended(shared):
            died = view.error is not None and view.error.type == "ChildDied"
            assert (view.state == "done" and view.result == shared[view.id]) or died
            assert view.losses == 0


@contextlib.contextmanager
def _worker_of_its_own(stack: Up, folder: Path) -> Iterator[Running]:
    folder.mkdir()
    url = f"link+unix://{stack.data / 'link.sock'}"
    options = ["--url", url, "--host", "far", "--data", str(folder / "data"), "--slots", "2"]
    eventually((stack.data / "link.sock").exists, what="the socket")
    worker = Running(["-m", "dts_worker.cli", *options], folder)
    try:
        yield worker
    finally:
        worker.end()


def test_jobs_survive_the_kill_of_the_owner_at_a_worker_of_its_own(tmp_path: Path) -> None:
    """kill -9 of the owner and a new one: the worker's jobs go on, also those that ended in between, and count once."""
    with (
        up(tmp_path, "--no-worker") as stack,
        _worker_of_its_own(stack, tmp_path / "far") as worker,
    ):
        with stack.client() as client:
            bench = Bench(client, tmp_path)
            jobs = bench.submit("sync", 5) | bench.submit("sync", 1)
            jobs |= bench.submit("async", 1, 5) | bench.submit("async", 5, 5)
            bench.until_started(jobs)
            stack.kill()
        time.sleep(2)  # the short ones end while nobody is there
        with up(tmp_path, "--no-worker") as again, again.client() as client:
            _assert_undisturbed(bench, jobs, bench.ended(jobs, client=client))
            assert client.counts().states["done"] == len(jobs)
            assert worker.stop() == 0
            assert again.stop() == 0
    _assert_whole(stack.data)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data folder on a file system of 48 MiB."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", str(data)]
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("a small file system takes root on Linux")
    if (told := subprocess.run(mount, capture_output=True, check=False)).returncode:
        pytest.skip(f"no tmpfs here: {told.stderr.decode(errors='replace').strip()[:100]}")
    yield data
    subprocess.run(["umount", "-l", str(data)], check=True)


def _fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return ballast


@pytest.mark.slow
def test_a_full_disk_refuses_and_goes_on(tmp_path: Path, small_disk: Path) -> None:
    """503 with advice while the disk is full; all or nothing of a submission is kept; with room again it goes on."""
    with up(tmp_path) as stack, stack.client() as client:
        bench = Bench(client, tmp_path)
        before = bench.submit("async", 0.01, 10)
        bench.ended(before)
        running = bench.submit("sync", 3) | bench.submit("async", 16)
        bench.until_started(running)
        worker = stack.worker()
        ballast = _fill(small_disk)
        accepted, refusal = _submit_until_refused(client, 100_000)
        smaller, _ = _submit_until_refused(client, 100)
        accepted += smaller
        assert refusal.status_code == 503
        assert "full" in refusal.text
        assert refusal.json()["advice"]
        assert client.session().user == "admin"  # reading goes on
        time.sleep(12)  # longer than a lease: one result waits, and no renewal can be written
        ballast.unlink()
        _assert_undisturbed(bench, running, bench.ended(running))
        assert stack.worker() == worker
        before |= running
        after = eventually(
            lambda: bench.submit("async", 0.01, 10), seconds=15, what="it takes jobs"
        )
        for job in [*accepted, *after]:
            assert client.wait_for(job, timeout_seconds=60).state == "done"
        assert sum(client.counts().states.values()) == len(before) + len(accepted) + len(after)
        assert stack.stop() == 0
    with up(tmp_path, "--no-worker") as again, again.client(with_worker=False) as client:
        assert sum(client.counts().states.values()) == len(before) + len(accepted) + len(after)
        assert again.stop() == 0


def _submit_until_refused(client: SyncAdminClient, size: int) -> tuple[list[str], httpx.Response]:
    accepted: list[str] = []
    job = {"function": "sample/echo", "args": ["x" * size]}
    headers = {"Authorization": f"Bearer {client.token}"}
    for _ in range(2000):
        answer = httpx.post(
            f"{client.url}/jobs", json={"jobs": [job] * 10}, headers=headers, timeout=60
        )
        if answer.status_code != 201:
            return accepted, answer
        accepted += answer.json()["ids"]
    raise AssertionError("the disk was never full")


@pytest.mark.slow
def test_sigterm_under_load_charges_nobody(tmp_path: Path) -> None:
    """`dts up` ends with 0 in time; every accepted job ends after the next start, uncharged."""
    accepted: list[str] = []
    with up(tmp_path) as stack, stack.client() as client:
        bench = Bench(client, tmp_path)
        jobs = bench.submit("sync", 1, 10) | bench.submit("async", 1, 50)
        stop = threading.Event()
        sender = threading.Thread(target=_send, args=(stack, accepted, stop))
        sender.start()
        eventually(lambda: len(accepted) > 1000, what="load")
        started = time.monotonic()
        assert stack.stop() == 0
        print(f"stopped in {time.monotonic() - started:.1f} s")
        stop.set()
        sender.join(60)
    with up(tmp_path) as again, again.client() as client:
        _until(
            lambda: all(state in FINAL_STATES for state, n in client.counts().states.items() if n)
        )
        for view in bench.ended(jobs, client=client):
            assert (view.state, view.result, view.losses) == ("done", jobs[view.id], 0)
            assert view.attempt == 1
        assert again.stop() == 0
    connection = apsw.Connection(str(stack.data / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = {
        row[0]: row[1:] for row in connection.execute("SELECT id, state, losses, attempt FROM jobs")
    }
    connection.close()
    assert [rows[job] for job in accepted if rows[job] != ("done", 0, 1)] == []
    _assert_whole(stack.data)


def _send(stack: Up, accepted: list[str], stop: threading.Event) -> None:
    found = local_endpoint(stack.data)
    with SyncAdminClient(found.url, found.token) as client:
        while not stop.is_set():
            try:
                accepted.extend(client.submit_many([submission("sample/noop")] * 50).ids)
            except DtsError:
                return


def _until(look: Callable[[], bool]) -> None:
    eventually(look, seconds=60, what="everything has ended")
