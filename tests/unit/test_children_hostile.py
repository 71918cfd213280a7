"""Functions that misbehave: none harms the pool, other calls, or what lies beside it; none leaves anything running."""

import asyncio
import contextlib
import json
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from dts_core.children import (
    Children,
    ChildrenSettings,
    ChildSettings,
    Ended,
    EndKind,
    StopKind,
    watch,
)
from dts_core.children.process import ChildProcess
from dts_core.testing import wait_until
from tests.support.calls import Heard, call_of
from tests.support.loops import on_both_loops

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux has the means")
KINDS = pytest.mark.parametrize("kind", ["def", "async def"])
AFTER = "def main(): return 'after'"


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def is_gone(folder: str) -> bool:
    return not Path(folder).exists()


async def timed_out(children: Children, source: str) -> tuple[Ended, int]:
    """The end of a call that prints a pid and then has no end, and the pid; a slow machine is given longer for it."""
    heard, pids = Heard(), list[int]()
    for seconds in (0.2, 1.0, 5.0, 60.0):
        call = call_of(source, timeout_seconds=seconds, grace_seconds=0.1)
        ended = await children.run(call, on_log=heard.on_log)
        pids = [int(text) for text in heard.texts if text.isdigit()]
        if pids:
            break
    return ended, pids[0]


async def works(children: Children) -> None:
    """The pool still runs calls of both kinds."""
    assert (await children.run(call_of(AFTER))).result == b'"after"'
    assert (await children.run(call_of("async " + AFTER))).result == b'"after"'


@KINDS
@pytest.mark.parametrize(
    ("death", "why"),
    [
        ("os.kill(os.getpid(), 11)", "signal 11 (SIGSEGV)"),
        ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
        ("os._exit(3)", "code 3"),
        ("os._exit(0)", "code 0"),
        ("ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
        ("os.abort()", "signal 6 (SIGABRT)"),
    ],
)
@on_both_loops
async def test_a_call_that_kills_its_process_fails(
    children: Children, kind: str, death: str, why: str
) -> None:
    """Segfault, abort, os._exit: a failed attempt that says how the process ended; the pool goes on."""
    ended = await children.run(call_of(f"import ctypes, os\n{kind} main(): {death}"))
    assert ended.kind is EndKind.FAILED
    assert ended.error is not None
    assert ended.error.type == "ChildDied"
    assert why in ended.error.message
    await works(children)


@on_both_loops
async def test_only_the_guilty_of_a_shared_child_is_charged(children: Children) -> None:
    """When one of many takes the shared child down, it alone fails; the others run again and end well."""
    good = "import asyncio\nasync def main(n): await asyncio.sleep(0.1); return n"
    bad = "import asyncio, os\nasync def main(): await asyncio.sleep(0.02); os._exit(1)"
    calls = [call_of(good, n) for n in range(5)] + [call_of(bad)]
    ends = await asyncio.gather(*(children.run(call) for call in calls))
    assert [ended.result for ended in ends[:5]] == [b"0", b"1", b"2", b"3", b"4"]
    assert ends[5].error is not None
    assert ends[5].error.type == "ChildDied"


LOOPS = {
    "sleep": "time.sleep(60)",
    "busy": "while True: pass",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: time.sleep(1)",
}


@KINDS
@pytest.mark.parametrize("way", list(LOOPS))
@on_both_loops
async def test_a_timeout_ends_a_call_for_good(children: Children, kind: str, way: str) -> None:
    """Asleep, busy or deaf to SIGTERM: the call is over, with its process, when the timeout is told."""
    source = f"import os, signal, time\n{kind} main():\n    print(os.getpid())\n    {LOOPS[way]}"
    ended, pid = await timed_out(children, source)
    assert ended.kind is EndKind.FAILED
    assert ended.error is not None
    assert ended.error.type == "Timeout"
    assert not alive(pid)
    await works(children)


@KINDS
@on_both_loops
async def test_a_cancel_is_told_only_when_the_call_is_over(children: Children, kind: str) -> None:
    """A call that ignores its flag is killed; `cancelled` comes after its process has gone."""
    source = f"import os, time\n{kind} main():\n    print(os.getpid())\n    time.sleep(60)"
    heard = Heard()
    call = call_of(source, grace_seconds=0.1)
    waiting = asyncio.ensure_future(children.run(call, on_log=heard.on_log))
    await wait_until(lambda: bool(heard.texts))
    assert children.stop(call.id, StopKind.CANCEL)
    assert (await waiting).kind is EndKind.CANCELLED
    assert not alive(int(heard.texts[0]))
    assert not children.stop(call.id, StopKind.CANCEL)


@pytest.mark.parametrize(
    "source",
    [
        """
        import time
        from dts_core import job
        def main():
            print("ready")
            while not job.cancelled:
                time.sleep(0.01)
            return "stopped"
        """,
        """
        import time
        from dts_core import job
        def main():
            print("ready")
            while True:
                job.check_cancelled()
                time.sleep(0.01)
        """,
        """
        import asyncio
        async def main():
            print("ready")
            await asyncio.sleep(60)
        """,
    ],
    ids=["flag", "check", "await"],
)
@on_both_loops
async def test_a_call_that_listens_is_cancelled_without_a_kill(
    children: Children, source: str
) -> None:
    """`job.cancelled`, `check_cancelled` and CancelledError end a call at once; its child stays."""
    heard = Heard()
    call = call_of(source, grace_seconds=30.0)
    waiting = asyncio.ensure_future(children.run(call, on_log=heard.on_log))
    await wait_until(lambda: bool(heard.texts))
    pids = set(children.processes())
    children.stop(call.id, StopKind.CANCEL)
    assert (await waiting).kind is EndKind.CANCELLED
    assert set(children.processes()) == pids


@on_both_loops
async def test_a_waiting_call_is_cancelled_at_once(children: Children) -> None:
    """A call that has no slot yet never starts."""
    slow = [call_of("import time\ndef main(): time.sleep(60)") for _ in range(2)]
    waits = [asyncio.ensure_future(children.run(call)) for call in slow]
    call = call_of(AFTER)
    waiting = asyncio.ensure_future(children.run(call))
    await wait_until(lambda: children.sync_waiting == 1)
    children.stop(call.id, StopKind.CANCEL)
    ended = await waiting
    assert (ended.kind, ended.started_at) == (EndKind.CANCELLED, None)
    for each in slow:
        children.stop(each.id, StopKind.CANCEL)
    await asyncio.gather(*waits)


@on_both_loops
async def test_killing_a_shared_child_gives_the_others_back(children: Children) -> None:
    """A coroutine that swallows its cancel costs the shared child; the others go back uncharged."""
    deaf = """
        import asyncio
        async def main():
            print("ready")
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        """
    heard = Heard()
    call = call_of(deaf, grace_seconds=0.1)
    others = [
        call_of("import asyncio\nasync def main(): await asyncio.sleep(60)") for _ in range(3)
    ]
    waits = [asyncio.ensure_future(children.run(each)) for each in others]
    guilty = asyncio.ensure_future(children.run(call, on_log=heard.on_log))
    await wait_until(lambda: bool(heard.texts))
    children.stop(call.id, StopKind.CANCEL)
    assert (await guilty).kind is EndKind.CANCELLED
    assert {(await each).kind for each in waits} == {EndKind.GIVEN_BACK}
    await works(children)


@on_both_loops
async def test_who_blocks_the_loop_is_found(children: Children, tmp_path: Path) -> None:
    """When a timed-out call cannot be reached because another blocks the loop, that one is charged too."""
    block = """
        import asyncio, os, time
        async def main(signal):
            while not os.path.exists(signal):
                await asyncio.sleep(0.01)
            time.sleep(60)
        """
    sleep = "import asyncio\nasync def main():\n    print('asleep')\n    await asyncio.sleep(60)"
    signal, heard = tmp_path / "signal", Heard()
    blocking = asyncio.ensure_future(children.run(call_of(block, str(signal))))
    bystander = asyncio.ensure_future(children.run(call_of(sleep)))
    call = call_of(sleep, timeout_seconds=2.0, grace_seconds=0.1)
    timing = asyncio.ensure_future(children.run(call, on_log=heard.on_log))
    await wait_until(lambda: bool(heard.texts))
    signal.touch()
    timed = await timing
    assert timed.error is not None
    assert timed.error.type == "Timeout"
    blocker = await blocking
    assert blocker.error is not None
    assert blocker.error.type == "Blocked"
    assert (await bystander).kind is EndKind.GIVEN_BACK


BOMBS = {
    "python": "while True: print('x' * 100)",
    "raw": "while True: os.write(1, b'x' * 99 + b'\\n')",
    "line": "while True: os.write(2, b'x' * 65536)",
    "process": "subprocess.run(['yes'])",
    "frames": "while True: os.write(out, b'\\0\\0\\0\\x0f\\x13' + number + b'\\x14' + b'x' * 9)",
}


@pytest.mark.parametrize("way", list(BOMBS))
@on_both_loops
async def test_a_print_bomb_is_bounded(children: Children, way: str) -> None:
    """A flood is cut to lines a second with a count of what was dropped; other calls go on meanwhile."""
    source = f"""
        import os, subprocess, sys
        from dts_core.runner.jobapi import this_run

        def main():
            run = this_run()
            out, number = run.sink.fd_out, run.number.to_bytes(4, "big")
            {BOMBS[way]}
        """
    heard = Heard()
    bomb = asyncio.ensure_future(
        children.run(call_of(source, timeout_seconds=1.5, grace_seconds=0.1), on_log=heard.on_log)
    )
    while not bomb.done():
        await asyncio.wait_for(children.run(call_of("async def main(): pass")), 30)
        await asyncio.sleep(0.02)
    ended = await bomb
    assert ended.error is not None
    assert ended.error.type == "Timeout"
    assert len(heard.lines) < 1000
    assert max(len(text) for text in heard.texts) <= 4096
    if way != "line":
        assert any(text.startswith("dropped ") for text in heard.texts)


@on_both_loops
async def test_a_huge_result_does_not_hurt(children: Children) -> None:
    """64 MiB of result are refused by their size; what comes forged past the child's check ends the child."""
    ended = await children.run(call_of("def main(): return 'x' * (64 << 20)"))
    assert ended.error is not None
    assert ended.error.type == "ResultTooLarge"
    forge = """
        import os
        from dts_core.runner.jobapi import this_run
        def main():
            run = this_run()
            os.write(run.sink.fd_out, (64 << 20).to_bytes(4, "big") + b"\\x11" + b"\\0" * 65536)
        """
    ended = await children.run(call_of(forge))
    assert ended.error is not None
    assert ended.error.type == "ChildDied"
    await works(children)


@pytest.mark.parametrize("body", ["{", "nul", "\\xff", "[1,", "{'a':1}", ""])
@on_both_loops
async def test_a_forged_result_must_be_json(children: Children, body: str) -> None:
    """A function that writes its own frame cannot get bytes into the result that are not JSON."""
    source = f"""
        import os
        from dts_core.runner import frames
        from dts_core.runner.jobapi import this_run
        def main():
            run = this_run()
            os.write(run.sink.fd_out, frames.pack(frames.RESULT, run.number, b"{body}"))
        """
    ended = await children.run(call_of(source))
    assert ended.error is not None
    assert ended.error.type == "NotJson"


@linux_only
@on_both_loops
async def test_a_child_sees_no_secret(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function finds no DTS_* variable, no foreign descriptor, nothing on standard input."""
    monkeypatch.setenv("DTS_BROKER_URL", "canary-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    source = """
        import os, sys
        def main():
            fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in map(int, os.listdir("/proc/self/fd"))
                   if os.path.lexists(f"/proc/self/fd/{fd}")}
            return {"env": dict(os.environ), "fds": {str(k): v for k, v in fds.items()},
                    "argv": sys.argv, "stdin": sys.stdin.read(), "umask": os.getcwd()}
        """
    async with Children(ChildrenSettings(slots=1)) as pool:
        ended = await pool.run(call_of(source))
    assert ended.result is not None, ended.error
    found = json.loads(ended.result)
    assert "canary" not in ended.result.decode()
    assert found["env"]["LC_ALL"] == "C.UTF-8"
    assert set(found["env"]) <= {
        "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "LC_ALL", "LC_CTYPE",
    }  # fmt: skip
    kinds = {name.split(":")[0] for name in found["fds"].values()}
    assert kinds <= {"pipe", "/dev/null"} | {k for k in kinds if k.startswith("/proc/")}
    assert found["stdin"] == ""
    assert len(found["argv"]) == 1


@on_both_loops
async def test_a_job_finds_no_file_of_the_one_before(children: Children) -> None:
    """The working folder is empty at each start, and gone with the child."""
    source = """
        import os
        def main():
            found = os.listdir(".")
            os.makedirs("a/b")
            open("a/b/secret", "w").close()
            os.symlink("/etc", "link")
            os.chdir("a")
            return [found, os.path.dirname(os.getcwd())]
        """
    async with Children(ChildrenSettings(slots=1)) as pool:
        ends = [await pool.run(call_of(source)) for _ in range(2)]
    for ended in ends:
        assert ended.result is not None, ended.error
        found, folder = json.loads(ended.result)
        assert found == []
        await wait_until(partial(is_gone, folder))


LEFT_BEHIND = {
    "child": "p = subprocess.Popen(['sleep', '300'])",
    "group": "p = subprocess.Popen(['sleep', '300'], start_new_session=True)",
    "daemon": """
    p = subprocess.run([sys.executable, '-c', '''
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
sys.stdout.write(str(os.getpid())); sys.stdout.flush(); os.close(1); os.close(2)
os.environ.clear()
os.execv("/bin/sleep", ["sleep", "300"])
'''], stdout=subprocess.PIPE)
    p.pid = int(p.stdout)""",
}


@linux_only
@KINDS
@pytest.mark.parametrize("way", list(LEFT_BEHIND))
@pytest.mark.parametrize("end", ["return p.pid", "print(p.pid, flush=True); time.sleep(60)"])
@on_both_loops
async def test_nothing_is_left_running(children: Children, kind: str, way: str, end: str) -> None:
    """Processes that a call leaves behind, however detached, end with it, whether it returns or is killed."""
    source = (
        f"import subprocess, sys, time\n{kind} main():\n    {LEFT_BEHIND[way].strip()}\n    {end}"
    )
    if "return" in end:
        ended = await children.run(call_of(source))
        assert ended.result is not None, ended.error
        pid = int(ended.result)
    else:
        _, pid = await timed_out(children, source)
    await wait_until(lambda: not alive(pid), what="the process left behind has ended")
    await works(children)


@linux_only
@on_both_loops
async def test_a_fork_bomb_ends_with_its_call(children: Children) -> None:
    """A function that forks on and on is ended with all of its processes."""
    source = """
        import os, time
        def main():
            for n in range(200):
                pid = os.fork()
                if pid == 0:
                    if n % 3 == 0:
                        os.setsid()
                    time.sleep(60)
                    os._exit(0)
            print("full", flush=True)
            time.sleep(60)
        """
    heard = Heard()
    call = call_of(source, grace_seconds=0.1)
    waiting = asyncio.ensure_future(children.run(call, on_log=heard.on_log))
    await wait_until(lambda: "full" in heard.texts)
    family = [
        each.pid
        for pid in children.processes()
        for each in psutil.Process(pid).children(recursive=True)
    ]
    assert len(family) == 200
    children.stop(call.id, StopKind.CANCEL)
    assert (await waiting).kind is EndKind.CANCELLED
    await wait_until(lambda: not any(alive(pid) for pid in family))


@on_both_loops
async def test_a_copy_that_comes_back_changes_nothing(children: Children) -> None:
    """A function that forks and returns in both copies has one result: the original's."""
    source = (
        "import os\n{} main():\n    pid = os.fork()\n    return 'copy' if pid == 0 else 'original'"
    )
    for kind in ("def", "async def"):
        ended = await children.run(call_of(source.format(kind)))
        assert ended.result == b'"original"'
        await works(children)


@on_both_loops
async def test_closed_descriptors_do_no_harm(children: Children) -> None:
    """A function that closes 1 and 2 is followed by one whose lines are heard again."""
    heard = Heard()
    ended = await children.run(call_of("import os\ndef main(): os.close(1); os.close(2); return 1"))
    assert ended.result == b"1"
    again = call_of("import os\ndef main(): print('a'); os.write(1, b'b\\n')")
    await children.run(again, on_log=heard.on_log)
    assert sorted(heard.texts) == ["a", "b"]


@on_both_loops
async def test_closing_everything_is_a_death(children: Children) -> None:
    """A function that closes the pipes of its child fails like one that kills it."""
    ended = await children.run(call_of("import os\ndef main(): os.closerange(0, 256); return 1"))
    assert ended.error is not None
    assert ended.error.type == "ChildDied"
    await works(children)


@on_both_loops
async def test_replaced_streams_are_put_back(children: Children) -> None:
    """A function that replaces sys.stdout, or closes it, does not silence the next one."""
    heard = Heard()
    for line in ("sys.stdout = None", "sys.stdout.close()", "sys.stderr = sys.stdout = object()"):
        await children.run(call_of(f"import sys\ndef main(): {line}"))
        await children.run(call_of("def main(): print('heard')"), on_log=heard.on_log)
    assert heard.texts == ["heard"] * 3


@on_both_loops
async def test_threads_left_behind_cost_the_child(children: Children) -> None:
    """A thread that outlives its call would run beside the next one: the child is replaced."""
    source = """
        import os, threading, time
        def main():
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            return os.getpid()
        """
    first = await children.run(call_of(source))
    assert first.result is not None
    await wait_until(lambda: not alive(int(first.result or b"0")))


@linux_only
@on_both_loops
async def test_memory_is_limited() -> None:
    """With a limit on the address space a hungry function fails; the host keeps its memory."""
    settings = ChildrenSettings(slots=1, child=ChildSettings(memory=400 << 20))
    async with Children(settings) as pool:
        ended = await pool.run(call_of("def main(): return len(bytearray(1 << 30))"))
        assert ended.error is not None
        assert ended.error.type == "MemoryError"
        assert (await pool.run(call_of(AFTER))).result == b'"after"'


@linux_only
@on_both_loops
async def test_a_child_gains_no_privilege_and_leaves_no_core(children: Children) -> None:
    """no_new_privs is set, core files are off, and the child leads its own session."""
    source = """
        import os, resource
        def main():
            status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines()
                          if ":\\t" in line)
            return [status["NoNewPrivs"], resource.getrlimit(resource.RLIMIT_CORE),
                    os.getsid(0) == os.getpid()]
        """
    ended = await children.run(call_of(source))
    assert ended.result is not None, ended.error
    assert json.loads(ended.result) == ["1", [0, 0], True]


@on_both_loops
async def test_closing_the_pool_leaves_nothing() -> None:
    """`close` gives back what runs and what waits, and every process is gone when it returns."""
    pool = Children(ChildrenSettings(slots=1))
    pool.open()
    sources = ["import time\ndef main(): time.sleep(60)"] * 3
    sources += ["import asyncio\nasync def main(): await asyncio.sleep(60)"] * 3
    waits = [asyncio.ensure_future(pool.run(call_of(source))) for source in sources]
    await wait_until(lambda: pool.running == 4)
    pids = pool.processes()
    await pool.close()
    assert {(await each).kind for each in waits} == {EndKind.GIVEN_BACK}
    assert [pid for pid in pids if alive(pid)] == []
    await pool.close()


@on_both_loops
async def test_hostile_text_of_an_exception_does_not_stop_its_report(children: Children) -> None:
    """An exception whose own __str__ raises or never ends in size is still told."""
    source = """
        class Nasty(Exception):
            def __str__(self): raise SystemExit(1)
        class Huge(Exception):
            def __str__(self): return "x" * 10_000_000
        def main(name): raise globals()[name]()
        """
    ended = await children.run(call_of(source, "Nasty"))
    assert ended.error is not None
    assert ended.error.type == "Nasty"
    ended = await children.run(call_of(source, "Huge"))
    assert ended.error is not None
    assert ended.error.type == "Huge"
    assert len(ended.error.message) + len(ended.error.traceback) < 40_000


@on_both_loops
async def test_a_blocked_loop_does_not_stop_those_to_come(
    children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A call that blocks the shared loop is told so in its log; new calls run in another child meanwhile."""
    monkeypatch.setattr(watch, "PING_SECONDS", 0.05)
    monkeypatch.setattr(watch, "BLOCKED_SECONDS", 0.3)
    heard, gate = Heard(), tmp_path / "gate"
    block = call_of(
        "import os, time\nasync def main():\n    print('ready')\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n    return 'late'"
    )
    blocking = asyncio.ensure_future(children.run(block, on_log=heard.on_log))
    await wait_until(lambda: any("keeps the event loop" in text for text in heard.texts))
    ended = await children.run(call_of("async def main(): return 1"))
    assert ended.result == b"1"
    assert not blocking.done()
    gate.touch()
    assert (await blocking).result == b'"late"'


@on_both_loops
async def test_a_child_that_cannot_say_at_once_what_blocks_it_is_asked_again(
    children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A crowded machine lets a child miss its pings before it runs anything: the blame comes with a later question."""
    monkeypatch.setattr(watch, "PING_SECONDS", 0.05)
    monkeypatch.setattr(watch, "BLOCKED_SECONDS", 0.3)
    ask, asked = ChildProcess.ask_who_blocks, list[int]()

    def deaf_at_first(child: ChildProcess) -> None:
        asked.append(child.pid)
        if len(asked) > 1:
            ask(child)

    monkeypatch.setattr(ChildProcess, "ask_who_blocks", deaf_at_first)
    heard, gate = Heard(), tmp_path / "gate"
    block = call_of(
        "import os, time\nasync def main():\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n    return 'late'"
    )
    blocking = asyncio.ensure_future(children.run(block, on_log=heard.on_log))
    await wait_until(lambda: any("keeps the event loop" in text for text in heard.texts))
    assert len(asked) > 1
    gate.touch()
    assert (await blocking).result == b'"late"'


@on_both_loops
async def test_a_child_that_starts_slowly_is_not_taken_for_blocked(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot answer yet, and would not survive the question."""
    monkeypatch.setattr(watch, "PING_SECONDS", 0.001)
    monkeypatch.setattr(watch, "BLOCKED_SECONDS", 0.0)
    ended = await children.run(call_of("async def main(): return 1"))
    assert (ended.error, ended.result) == (None, b"1")


@on_both_loops
async def test_output_of_nobody_in_particular_is_not_lost(children: Children) -> None:
    """C-level output while several calls share a child is told to the pool's owner."""
    lines: list[tuple[int, str]] = []
    children.on_stray_line = lambda level, text: lines.append((level, text))
    source = (
        "import asyncio, os\nasync def main(): os.write(2, b'whose\\n'); await asyncio.sleep(0.2)"
    )
    await asyncio.gather(*(children.run(call_of(source)) for _ in range(2)))
    assert (30, "whose") in lines


@on_both_loops
async def test_a_signal_handler_may_print(children: Children) -> None:
    """A handler that prints in the middle of a print neither blocks its process nor garbles a frame."""
    source = """
        import signal, sys
        count = 0
        def handler(*_):
            global count
            count += 1
            print("handler", count)
        def main():
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            while count < 200:
                print("main " + "x" * 3000)
            return count
        """
    ended = await children.run(call_of(source, timeout_seconds=20.0))
    assert ended.result is not None, ended.error
    assert int(ended.result) >= 200


@on_both_loops
async def test_many_suspects_do_not_wait_for_each_other(children: Children) -> None:
    """After a crash with many calls the guilty one is found in few steps; the long innocent ones run together."""
    good = "import asyncio\nasync def main(n): await asyncio.sleep(0.5); return n"
    bad = "import asyncio, os\nasync def main(): await asyncio.sleep(0.1); os._exit(1)"
    calls = [call_of(good, n) for n in range(60)] + [call_of(bad) for _ in range(2)]
    ends = await asyncio.gather(*(children.run(call) for call in calls))
    runs = [(end.started_at, end.finished_at) for end in ends[:60] if end.finished_at]
    first, last = min(start for start, _ in runs if start), max(end for _, end in runs)
    alone = sum((end - start).total_seconds() for start, end in runs if start)
    assert alone > 3 * (last - first).total_seconds(), "the last runs of the good ones overlap"
    assert [ended.result for ended in ends[:60]] == [b"%d" % n for n in range(60)]
    assert [ended.error.type for ended in ends[60:] if ended.error] == ["ChildDied"] * 2
    assert children.running == 0
