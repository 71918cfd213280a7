"""Functions and guarded commands on hosts that have sh and Python alone, through a real OpenSSH."""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import psutil
import pytest

from dts_core.errors import SessionLost
from dts_core.runner import bundle
from dts_core.ssh.calls import Calls, CallSettings
from dts_core.ssh.fanout import FanOut, FanOutPlan
from dts_core.ssh.interpreter import Interpreter, Pending
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.ssh.pool import Sessions
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Target
from dts_core.testing import wait_until
from tests.support.sshcalls import far_call, until_gone
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshliar import lying, run_here

pytestmark = pytest.mark.external("sshd")
MINUTE = 60.0


def interpreter(name: str) -> str:
    """Its own path, not that of what looks for it in somebody's home; empty: there is none that works."""
    found = shutil.which(name)
    code = [found or "", "-c", "import sys; print(sys.executable)"]
    return (
        subprocess.run(code, capture_output=True, text=True, check=False).stdout.strip()
        if found
        else ""
    )


NAMES = ("python3.9", "python3.10", "python3.11", "python3.12", "python3.13")
INTERPRETERS = [found for name in NAMES if (found := interpreter(name))] or [sys.executable]

DETACHING = """
import os, time

def main(way):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.environ.clear()
            os.write(writer, str(os.getpid()).encode())
            time.sleep(1000)
        os._exit(0)
    print(os.getpid(), os.read(reader, 20).decode(), flush=True)
    if way == "leave":
        return None
    while True:
        time.sleep(1)
"""


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[SshServer]:
    with ssh_server() as server:
        yield server


@pytest.fixture(name="sessions")
async def sessions_fixture() -> AsyncIterator[Sessions]:
    async with Sessions() as sessions:
        yield sessions


@pytest.fixture(name="calls")
async def calls_fixture(sessions: Sessions) -> AsyncIterator[Calls]:
    async with Calls(sessions) as calls:
        yield calls


class Heard:
    """What a call prints, as it comes."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, stream: int, data: bytes) -> None:
        self.data += data

    async def numbers(self, count: int) -> list[int]:
        await wait_until(lambda: len(self.data.split()) >= count and self.data.endswith(b"\n"))
        return [int(word) for word in self.data.split()[:count]]


@pytest.mark.parametrize("python", INTERPRETERS)
async def test_a_function_runs_in_any_python(server: SshServer, calls: Calls, python: str) -> None:
    """Result, print, logging and `job`, the interpreter being nothing but itself."""
    source = """
import logging, sys
from dts_core import job

def main(a, *, b=1):
    print("printed", a)
    logging.getLogger("x").warning("logged")
    job.log.info("told")
    return [a + b, sys.version_info[:2], job.id, job.host, "dts_core.ssh" in sys.modules]
"""
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, check=True
    )
    call = far_call(source, 41)
    outcome = await calls.call(server.target(python=python, version=python), call)
    assert outcome.state is HostState.OK, outcome
    version = [int(word) for word in asked.stdout.split()]
    assert json.loads(outcome.result) == [42, version, call.id, "host", False]
    assert outcome.stdout == b"printed 41\nx: logged\ntold\n"


async def test_a_function_of_several_modules(server: SshServer, calls: Calls) -> None:
    """It travels and runs there as it does here."""
    files = {"main.py": b"from .part import add\ndef main(a): return add(a)\n"}
    files["part.py"] = b"def add(a): return a + 1\n"
    source = bundle.join(files).decode()
    outcome = await calls.call(server.target(), far_call(source, 41))
    assert (outcome.state, outcome.result) == (HostState.OK, b"42"), outcome


async def test_an_interpreter_is_kept(server: SshServer, calls: Calls) -> None:
    """The second call finds the first one's process; a failure in between does not end it."""
    target = server.target()
    pid = far_call("import os\ndef main():\n    return os.getpid()\n")
    first = await calls.call(target, pid)
    failed = await calls.call(
        target, far_call("def main():\n    raise ValueError('no \\x1b[31m')\n")
    )
    again = await calls.call(target, pid)
    assert first.result == again.result
    assert calls.count == 1
    assert failed.state is HostState.FAILED
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == ("ValueError", "no \x1b[31m")
    assert "raise ValueError" in failed.error.traceback
    assert "<dts>" not in failed.error.traceback


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def main():\n    return object()\n", "NotJson"),
        ("def main():\n    return 'x' * 2000\n", "ResultTooLarge"),
        ("def other(): pass\n", "LoadFailed"),
        ("def main(:\n", "LoadFailed"),
        ("def main():\n    raise SystemExit(3)\n", "SystemExit"),
        ("import os\ndef main():\n    os._exit(3)\n", "session_lost"),
        ("import os\ndef main():\n    os.kill(os.getpid(), 9)\n", "session_lost"),
    ],
)
async def test_what_fails_says_why(server: SshServer, calls: Calls, source: str, kind: str) -> None:
    """Whatever a function does, it is a failure of this host, and the next call works."""
    target = server.target()
    outcome = await calls.call(target, far_call(source, result_max=1000))
    assert outcome.state is HostState.FAILED
    assert outcome.error is not None
    assert outcome.error.type == kind
    assert (await calls.call(target, far_call("def main():\n    return 1\n"))).result == b"1"


async def test_calls_at_once_have_processes_of_their_own(
    server: SshServer, sessions: Sessions
) -> None:
    """Up to the bound; the others wait, and then find a warm one."""
    source = "import os, time\ndef main():\n    time.sleep(0.2)\n    return os.getpid()\n"
    async with Calls(sessions, CallSettings(per_host=3)) as calls:
        outcomes = await asyncio.gather(
            *(calls.call(server.target(), far_call(source)) for _ in range(9))
        )
        assert {outcome.state for outcome in outcomes} == {HostState.OK}
        assert len({outcome.result for outcome in outcomes}) == 3
        assert calls.count == 3
    assert sessions.count == 1


async def test_warm_interpreters_give_way(server: SshServer) -> None:
    """When all connections are in use by interpreters that idle, the one idle for longest is ended."""
    call = far_call("def main():\n    return 1\n")
    async with Sessions(SshSettings(kept_max=2)) as sessions, Calls(sessions) as calls:
        for name in "abcab":
            outcome = await calls.call(server.target(id=name), call)
            assert outcome.result == b"1", outcome
        assert sessions.count <= 2


@pytest.mark.parametrize("way", ["timeout", "cancel", "cut", "end"])
async def test_nothing_lives_on(server: SshServer, sessions: Sessions, way: str) -> None:
    """Time over, cancelled, connection cut, program ended: what was started there ends, detached or not."""
    heard = Heard()
    seconds = 3.0 if way == "timeout" else 0.0
    call = far_call(DETACHING, "stay", timeout_seconds=seconds, grace_seconds=0.1)
    target = server.target(id=way)
    async with Calls(sessions) as calls:
        running = asyncio.create_task(calls.call(target, call, receive=heard))
        pids = await heard.numbers(2)
        assert all(psutil.pid_exists(pid) for pid in pids)
        if way == "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        elif way == "cut":
            guard = psutil.Process(pids[0]).parent()
            assert guard is not None
            sshd = guard.parent()
            assert sshd is not None
            sshd.kill()
            assert (await running).state is HostState.FAILED
        elif way == "timeout":
            outcome = await running
            assert outcome.state is HostState.TIMED_OUT
            assert outcome.stdout == heard.data
        else:
            running.cancel()
    await until_gone(*pids)


async def test_a_function_that_leaves_processes_is_cleaned_up_after(
    server: SshServer, calls: Calls
) -> None:
    """It may return; its interpreter gets no further call, and ends with what was left."""
    heard = Heard()
    outcome = await calls.call(server.target(), far_call(DETACHING, "leave"), receive=heard)
    assert outcome.state is HostState.OK
    await until_gone(*await heard.numbers(2))
    assert (await calls.call(server.target(), far_call("def main(): return 1\n"))).result == b"1"


async def test_no_file_is_left(server: SshServer, sessions: Sessions) -> None:
    """The working folder is private, empty at each call, and gone at the end; it is nobody's home."""
    source = """
import os, stat

def main():
    found = [os.getcwd(), stat.S_IMODE(os.stat(".").st_mode), os.listdir(".")]
    os.makedirs("some/folder")
    return found
"""
    folders = set()
    async with Calls(sessions) as calls:
        for _ in range(2):
            outcome = await calls.call(server.target(), far_call(source))
            folder, mode, names = json.loads(outcome.result)
            assert (mode, names) == (0o700, [])
            folders.add(folder)
    (folder,) = folders
    assert Path(folder).parent == Path(tempfile.gettempdir())
    await wait_until(lambda: not Path(folder).exists())


async def test_a_loud_function_stays_within_bounds(server: SshServer, calls: Calls) -> None:
    """Lines beyond what is taken in a second, and bytes past logging, are bounded and counted; the result comes."""
    source = """
import os

def main():
    for n in range(20000):
        print("line", n)
    for n in range(200):
        os.write(1, b"x" * 50000)
    return "done"
"""
    outcome = await calls.call(server.target(), far_call(source))
    assert outcome.result == b'"done"'
    assert len(outcome.stdout) < 300_000
    assert b"dropped" in outcome.stdout or outcome.output_total > len(outcome.stdout)


# --- commands


async def test_a_command_is_exact(server: SshServer, calls: Calls) -> None:
    """Both streams to the byte, apart; standard input; exit status; every word as it is; the folder is the login's."""
    words = ["it's", '"', "$HOME `id` \\ \n;", "", "\x1b[31m"]
    script = 'printf "%s\\0" "$@"; cat; pwd >&2; exit 7'
    outcome = await calls.run(
        server.target(), ["sh", "-c", script, "-", *words], timeout=MINUTE, stdin=b"\0in\xff"
    )
    assert outcome.stdout == "".join(f"{word}\0" for word in words).encode() + b"\0in\xff"
    assert outcome.stderr == f"{pwd.getpwuid(os.getuid()).pw_dir}\n".encode()
    assert (outcome.state, outcome.exit_status) == (HostState.FAILED, 7)


async def test_commands_end_as_they_do(server: SshServer, calls: Calls) -> None:
    """Well, by a signal, or never begun."""
    run = calls.run
    target = server.target()
    fine = await run(target, ["true"], timeout=MINUTE)
    assert (fine.state, fine.exit_status) == (HostState.OK, 0)
    killed = await run(target, ["sh", "-c", "kill -TERM $$"], timeout=MINUTE)
    assert (killed.state, killed.exit_status, killed.exit_signal) == (
        HostState.FAILED,
        None,
        "TERM",
    )
    absent = await run(target, ["no-such-command"], timeout=MINUTE)
    assert (absent.exit_status, absent.stderr) == (
        127,
        b"no-such-command: No such file or directory\n",
    )


@pytest.mark.parametrize("way", ["timeout", "cancel"])
async def test_a_command_given_up_leaves_nothing(server: SshServer, calls: Calls, way: str) -> None:
    """What has left its group and its session ends too."""
    heard = Heard()
    script = "setsid sh -c 'echo $$; exec sleep 1000' & echo $$; trap '' TERM HUP INT; wait; wait"
    running = asyncio.create_task(
        calls.run(
            server.target(),
            ["sh", "-c", script],
            timeout=3.0 if way == "timeout" else MINUTE,
            receive=heard,
        )
    )
    pids = await heard.numbers(2)
    if way == "cancel":
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        assert (await running).state is HostState.TIMED_OUT
    await until_gone(*pids)


async def test_nothing_of_a_call_is_in_an_argv(server: SshServer, calls: Calls) -> None:
    """Arguments, words of commands and standard input travel inside the channel; /proc shows the loader alone."""
    source = "import time\ndef main(word):\n    print('up')\n    time.sleep(1000)\n"
    heard = Heard()
    call = asyncio.create_task(
        calls.call(server.target(), far_call(source, "Canary-1", grace_seconds=0), receive=heard)
    )
    await wait_until(lambda: heard.data == b"up\n")
    family = psutil.Process(server.pid).children(recursive=True)
    lines = [" ".join(each.cmdline()) for each in family if each.is_running()]
    assert any("-I -S -c" in line for line in lines)
    assert not any("Canary" in line for line in lines)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


# --- what is no Python, and what prints before it


async def test_without_python_it_says_what_to_do(server: SshServer, calls: Calls) -> None:
    """A path that is none: nothing was run, and the advice names the setting."""
    target = server.target(python="/no/such/python")
    for outcome in (
        await calls.call(target, far_call("def main(): pass\n")),
        await calls.run(target, ["true"], timeout=MINUTE),
    ):
        assert outcome.state is HostState.UNREACHABLE
        assert outcome.error is not None
        assert outcome.error.type == "interpreter_unfit"
        assert "Python 3.9" in outcome.error.message


async def test_noise_of_a_login_shell() -> None:
    """What the login shell's files print first is passed over; when it never ends, that is said."""
    noise = b"Welcome!\x1b[2J\n" * 100
    endless = False

    async def serve(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        process.stdout.write(noise)
        process.stderr.write(noise)
        while endless:
            process.stdout.write(noise)
            await process.stdout.drain()
        await run_here(process)

    async with lying(serve) as liar, Sessions() as sessions:
        async with Calls(sessions) as calls:
            outcome = await calls.call(liar.target(), far_call("def main():\n    return 1\n"))
            assert (outcome.state, outcome.result) == (HostState.OK, b"1"), outcome
            ran = await calls.run(liar.target(), ["echo", "hi"], timeout=MINUTE)
            assert (ran.stdout, ran.stderr, ran.exit_status) == (b"hi\n", b"", 0)
        async with Calls(sessions) as calls:
            endless = True
            lost = await calls.call(liar.target(id="loud"), far_call("def main(): pass\n"))
            assert lost.state is not HostState.OK
            assert lost.error is not None
            assert "prints without end" in lost.error.message


async def test_a_python_that_never_begins() -> None:
    """A host that takes the line and says nothing is given up by its deadline, without one of the call's own."""

    async def serve(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        await process.stdin.read()

    settings = CallSettings(start_seconds=0.3)
    async with lying(serve) as liar, Sessions() as own, Calls(own, settings) as calls:
        outcome = await calls.call(liar.target(), far_call("def main(): pass\n"))
        assert outcome.state is HostState.UNREACHABLE
        assert outcome.error is not None
        assert "says nothing for 0.3 s" in outcome.error.message


async def test_an_interpreter_that_has_ended_takes_no_call() -> None:
    """The call fails at once instead of waiting for an answer that nobody will give."""
    pending = Pending(far_call("def main(): pass\n"), None)
    Interpreter("gone").start(pending)
    with pytest.raises(SessionLost):
        await asyncio.wait_for(pending.ended, MINUTE)


async def test_who_waits_for_a_login_when_the_pool_closes_is_told() -> None:
    """Not cancelled: it is an error like any other."""
    async with lying() as liar:
        server = await asyncio.start_server(lambda _r, w: stalled.append(w), "127.0.0.1", 0)
        stalled: list[asyncio.StreamWriter] = []
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Sessions() as sessions, Calls(sessions) as calls:
                call = far_call("def main(): pass\n")
                task = asyncio.create_task(calls.call(liar.target(port=port), call))
                await wait_until(lambda: bool(stalled))
            outcome = await task
            for writer in stalled:
                writer.close()
        assert outcome.state is HostState.UNREACHABLE


# --- many hosts


async def test_six_ways_to_end(server: SshServer, calls: Calls) -> None:
    """One run in which each of the six happens, told apart, every host once."""
    nobody = server.target(id="unreachable", port=1)
    scripts = {
        "ok": "exit 0",
        "failed": "exit 3",
        "timed_out": "sleep 1000",
        "cancelled": "sleep 1000",
        "never_started": "exit 0",
    }
    targets = [server.target(id=name) for name in ("ok", "failed", "timed_out")]
    targets += [nobody, server.target(id="cancelled"), server.target(id="never_started")]

    async def work(target: Target) -> Outcome:
        script = scripts.get(target.id, "exit 0")
        timeout = 1.0 if target.id == "timed_out" else MINUTE
        return await calls.run(target, ["sh", "-c", script], timeout=timeout)

    run = FanOut(targets, work, FanOutPlan(at_once=1))
    ends: dict[str, HostState] = {}
    async for outcome in run:
        ends[outcome.host] = outcome.state
        if outcome.host == "unreachable":
            run.cancel()
    assert {host: state.value for host, state in ends.items()} == {name: name for name in ends}
    assert len(ends) == 6
