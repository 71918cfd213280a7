"""Workers launched over a real SSH session: their link is the session's standard input and output."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from dts_core.brokers.link_policy import Pass
from dts_core.ssh.launch import launch
from dts_core.ssh.pool import Sessions
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.agents import launched_on
from tests.support.sshd import SshServer, ssh_server
from tests.support.worker_road import Road

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow, pytest.mark.serial]
OWN = Pass("a", "a-launched")
LOUD = """
import os, subprocess, sys
def main(x):
    os.write(1, b"\\0" * 4096 + b"\\n")
    print("printed", flush=True)
    sys.stdout.write("written\\n")
    subprocess.run(["sh", "-c", "echo from a shell; cat"], check=True)
    return x + 1
"""
SLOW = """
import os, subprocess, time
def main():
    left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(os.getpid(), left.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[SshServer]:
    with ssh_server() as server:
        yield server


@pytest.fixture(name="sessions")
async def sessions_fixture() -> AsyncIterator[Sessions]:
    async with Sessions() as sessions:
        yield sessions


@pytest.fixture(name="road")
async def road_fixture(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as road:
        yield road


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def pids_of(road: Road, job: str) -> list[int]:
    await wait_until(lambda: bool(road.texts(job)), what="the job says its pids")
    return [int(word) for word in road.texts(job)[0].split()]


async def test_jobs_run_whatever_they_print(
    road: Road, server: SshServer, sessions: Sessions
) -> None:
    """Frames alone go over the stream: what a job and its children write lands in its log, and stdin is empty."""
    async with launched_on(road, sessions, server.target(), OWN) as agent:
        await road.until_linked()
        jobs = [road.message(LOUD, number) for number in range(5)]
        await road.send(*jobs)
        for number, job in enumerate(jobs):
            result = await road.result(job.id)
            assert (result.event, result.result) == (JobEvent.FINISH, str(number + 1).encode())
        await road.until_logged(jobs[0].id, "printed")
        await road.until_logged(jobs[0].id, "from a shell")
        assert road.beats[0].host == "a"
        assert road.beats[0].worker == "a-launched"
        assert not agent.forbidden
    assert agent.launched.ended.done()


async def test_nothing_is_left_when_the_stream_ends(
    road: Road, server: SshServer, sessions: Sessions
) -> None:
    """The session is cut in the midst of a job: worker, job and what the job left in a session of its own end."""
    async with launched_on(road, sessions, server.target(), OWN) as agent:
        await road.until_linked()
        job = road.message(SLOW)
        await road.send(job)
        pids = await pids_of(road, job.id)
        async with sessions.session(server.target()) as session:
            await session.close()
        await asyncio.wait((agent.serving,), timeout=60)
        assert agent.serving.done()
    await wait_until(lambda: not any(map(is_alive, pids)), what="the job and its child are gone")


async def test_a_killed_worker_costs_a_loss_and_leaves_nothing(
    road: Road, server: SshServer, sessions: Sessions
) -> None:
    """kill -9: the link ends at once, the job is charged a loss and handed out again; its processes are gone."""
    async with launched_on(road, sessions, server.target(), OWN) as agent:
        await road.until_linked()
        job = road.message(SLOW)
        await road.send(job)
        pids = await pids_of(road, job.id)
        os.kill(worker_of(pids[0]), signal.SIGKILL)
        await asyncio.wait((agent.serving,), timeout=60)
        assert agent.serving.done()
        await wait_until(lambda: (job.id, 1) in road.desk.lost, what="the loss is charged")
    await wait_until(lambda: not any(map(is_alive, pids)), what="the job and its child are gone")


def worker_of(pid: int) -> int:
    """The worker that a child belongs to."""
    process = psutil.Process(pid)
    while "dts_worker.cli" not in process.cmdline():
        parent = process.parent()
        assert parent is not None
        process = parent
    return process.pid


async def test_who_does_not_read_is_not_kept_in_memory(
    server: SshServer, sessions: Sessions
) -> None:
    """A far end that writes without end is told to wait while nobody reads here."""
    async with sessions.session(server.target()) as session:
        async with launch(session, ["sh", "-c", "exec cat /dev/zero"]) as launched:
            first = await launched.reader.readexactly(1 << 20)
            assert first == bytes(1 << 20)
            buffered: list[int] = []

            def is_still() -> bool:
                buffered.append(len(launched.reader._buffer))  # type: ignore[attr-defined]
                return len(buffered) > 20 and len(set(buffered[-20:])) == 1

            await wait_until(is_still, what="nothing more comes")
            assert buffered[-1] < 8 << 20
            launched.patience = 0.1
        assert launched.ended.done()


async def test_it_says_why_it_did_not_start(server: SshServer, sessions: Sessions) -> None:
    """A command that is not there: its last words say so."""
    async with (
        sessions.session(server.target()) as session,
        launch(session, ["no-such-command-here"]) as launched,
    ):
        assert await launched.reader.read() == b""
        await launched.ended
    assert "127" in launched.last_words
    assert "no-such-command-here" in launched.last_words


async def test_what_a_shell_prints_at_its_start_is_no_frame(
    server: SshServer, sessions: Sessions
) -> None:
    """Only what comes behind the mark counts: here a greeting comes before it on standard output."""
    async with (
        sessions.session(server.target()) as session,
        launch(session, ["sh", "-c", "echo hello; cat"]) as launched,
    ):
        launched.writer.write(b"and back")
        launched.writer.close()
        assert await launched.reader.read() == b"hello\nand back"
