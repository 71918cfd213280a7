"""Child workers: alive, alive again, gone with their parent."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from dts_core.hosting import fleet as fleet_module
from dts_core.hosting.fleet import Fleet
from dts_core.testing import wait_until

# Ends when its pipe does; on SIGTERM says so and ends with 0.
CHILD = """
import os, signal, sys
pipe, trace = int(sys.argv[1]), sys.argv[2]
def ended(*_):
    print("drained", file=sys.stderr, flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, ended)
print("started", os.getpid(), file=sys.stderr, flush=True)
while os.read(pipe, 1):
    pass
print("parent is gone", file=open(trace, "a"), flush=True)
"""


def make(tmp_path: Path, code: str, count: int = 1) -> Fleet:
    def command(number: int, pipe: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-c", code, str(pipe), str(tmp_path / "trace")], dict(os.environ)

    return Fleet(command, count=count, logs=tmp_path)


@contextlib.asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[None]:
    task = asyncio.create_task(fleet.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def said(tmp_path: Path, number: int = 1) -> str:
    path = tmp_path / f"worker-{number}.log"
    return path.read_text() if path.exists() else ""


async def test_dead_child_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed has a successor; both wrote to the same log."""
    monkeypatch.setattr(fleet_module, "BACKOFF_FIRST_SECONDS", 0.01)
    fleet = make(tmp_path, CHILD)
    async with running(fleet):
        await wait_until(lambda: "started" in said(tmp_path))
        first = fleet.pids[0]
        os.kill(first, signal.SIGKILL)
        await wait_until(lambda: said(tmp_path).count("started") == 2)
        assert fleet.pids != [first]
        assert fleet.restarts == 1


async def test_stop_drains(tmp_path: Path) -> None:
    """Stopping asks every worker to finish, waits, and starts none again."""
    fleet = make(tmp_path, CHILD, count=2)
    async with running(fleet):
        await wait_until(lambda: "started" in said(tmp_path, 1) and "started" in said(tmp_path, 2))
        await fleet.stop(5)
        await wait_until(lambda: not fleet.pids)
        assert "drained" in said(tmp_path, 1)
        assert "drained" in said(tmp_path, 2)


async def test_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """The grace is a limit."""
    stubborn = CHILD.replace("os._exit(0)", "pass")
    fleet = make(tmp_path, stubborn)
    async with running(fleet):
        await wait_until(lambda: "started" in said(tmp_path))
        pid = fleet.pids[0]
        await fleet.stop(0.2)
        await wait_until(lambda: not psutil.pid_exists(pid))


async def test_cancelled_fleet_leaves_nobody(tmp_path: Path) -> None:
    """Without a stop, the children end with the task."""
    fleet = make(tmp_path, CHILD)
    async with running(fleet):
        await wait_until(lambda: "started" in said(tmp_path))
        pid = fleet.pids[0]
    await wait_until(lambda: not psutil.pid_exists(pid) or _is_zombie(pid))


async def test_command_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    """A worker that cannot be started now does not take the stack down."""

    def command(number: int, pipe: int) -> tuple[list[str], dict[str, str]]:
        return [str(tmp_path / "no-such-program")], {}

    fleet = Fleet(command, count=1, logs=tmp_path)
    async with running(fleet):
        await wait_until(lambda: fleet.restarts == 1)
        assert fleet.pids == []


def test_children_see_the_end_of_a_killed_parent(tmp_path: Path) -> None:
    """kill -9 of the parent closes the pipe: the child ends by itself."""
    parent = f"""
import asyncio, os, sys
from pathlib import Path
from dts_core.hosting.fleet import Fleet
def command(number, pipe):
    argv = [sys.executable, "-c", {CHILD!r}, str(pipe), {str(tmp_path / "trace")!r}]
    return argv, dict(os.environ)
asyncio.run(Fleet(command, count=1, logs=Path({str(tmp_path)!r})).run())
"""
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        _until(lambda: "started" in said(tmp_path))
        process.kill()
        process.wait(60)
        _until((tmp_path / "trace").exists)
    finally:
        process.kill()
        process.wait(60)


def _until(predicate: object) -> None:
    assert callable(predicate)
    deadline = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
