"""Calls of well-behaved functions: results, failures, versions, the job's own view of itself."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from dts_core.children import Children, ChildrenSettings, ChildSettings, Ended, EndKind
from dts_core.testing import wait_until
from tests.support.calls import Heard, call_of
from tests.support.loops import on_both_loops

KINDS = pytest.mark.parametrize("kind", ["def", "async def"])


@KINDS
@on_both_loops
async def test_arguments_come_in_and_the_result_goes_out(children: Children, kind: str) -> None:
    """A function gets args and kwargs as JSON says them, and what it returns comes back as JSON."""
    call = call_of(
        f"{kind} main(a, *, b): return [a, b]", {"x": [1, None]}, kwargs=b'{"b": "\xc3\xa9"}'
    )
    ended = await children.run(call)
    assert ended.kind is EndKind.RETURNED
    assert ended.result is not None
    assert json.loads(ended.result) == [{"x": [1, None]}, "é"]
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert ended.started_at <= ended.finished_at


@KINDS
@on_both_loops
async def test_nothing_returned_is_null(children: Children, kind: str) -> None:
    """A function without a result ends with JSON null, not without a result."""
    assert (await children.run(call_of(f"{kind} main(): pass"))).result == b"null"


@KINDS
@on_both_loops
async def test_an_exception_is_told_with_its_own_frames_only(children: Children, kind: str) -> None:
    """Type, message and traceback of user code come through; frames of dts do not."""
    source = f"""
        {kind} main():
            return inner()

        def inner():
            raise KeyError("gone")
        """
    ended = await children.run(call_of(source))
    assert ended.kind is EndKind.FAILED
    assert ended.retry
    assert ended.error is not None
    assert (ended.error.type, ended.error.message) == ("KeyError", "'gone'")
    assert 'raise KeyError("gone")' in ended.error.traceback
    assert "runner" not in ended.error.traceback


@KINDS
@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "BaseException('x')"])
@on_both_loops
async def test_leaving_exceptions_are_failed_attempts(
    children: Children, kind: str, error: str
) -> None:
    """SystemExit and its kind fail the attempt; the child goes on."""
    ended = await children.run(call_of(f"{kind} main(): raise {error}"))
    assert ended.kind is EndKind.FAILED
    assert ended.error is not None
    assert ended.error.type == error.split("(", maxsplit=1)[0]
    pids = set(children.processes())
    assert (await children.run(call_of(f"{kind} main(): return 1"))).result == b"1"
    assert set(children.processes()) == pids


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("{'a': [1, float('nan')]}", "result['a'][1] is nan"),
        ("[float('inf')]", "result[0] is inf"),
        ("{'a': {1, 2}}", "result['a'] is of type set"),
        ("{(1, 2): 3}", "key of type tuple"),
        ("'\\ud800'", "not Unicode"),
        ("loop", "contains itself"),
        ("deep", "too deep"),
    ],
)
@on_both_loops
async def test_a_result_that_is_not_json_is_refused_with_its_place(
    children: Children, value: str, why: str
) -> None:
    """The failure names the type and where it stands, and is not tried again."""
    source = f"""
        loop = []
        loop.append(loop)
        deep = 0
        for _ in range(100_000):
            deep = [deep]

        def main(): return {value}
        """
    ended = await children.run(call_of(source))
    assert ended.error is not None
    assert ended.error.type == "NotJson"
    assert why in ended.error.message
    assert not ended.retry


@on_both_loops
async def test_a_result_over_the_limit_is_refused(children: Children) -> None:
    """A result of the largest size passes; one byte more fails the attempt with its size, for good."""
    fits = call_of("def main(n): return 'x' * n", 998, result_max=1000)
    assert (await children.run(fits)).kind is EndKind.RETURNED
    ended = await children.run(call_of("def main(n): return 'x' * n", 999, result_max=1000))
    assert ended.error is not None
    assert ended.error.type == "ResultTooLarge"
    assert "1001 bytes" in ended.error.message
    assert not ended.retry


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def main(:", "SyntaxError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("x = 1", "no function `main`"),
        ("main = 3", "no function `main`"),
    ],
)
@on_both_loops
async def test_source_that_does_not_load_is_told(children: Children, source: str, why: str) -> None:
    """A version that does not import, or has no main, fails as LoadFailed with the reason, each time."""
    for _ in range(2):
        ended = await children.run(call_of(source, check_only=True))
        assert ended.error is not None
        assert ended.error.type == "LoadFailed"
        assert why in ended.error.message
    assert (await children.run(call_of("def main(): pass", check_only=True))).result == b"null"


@on_both_loops
async def test_versions_live_side_by_side(children: Children) -> None:
    """A running job keeps its version while a newer one runs beside it in the same child."""
    old = """
        import asyncio
        VERSION = 1
        async def main():
            await asyncio.sleep(0.2)
            return VERSION
        """
    first = asyncio.ensure_future(children.run(call_of(old)))
    newer = await children.run(
        call_of(old.replace("VERSION = 1", "VERSION = 2").replace("0.2", "0"))
    )
    assert newer.result == b"2"
    assert (await first).result == b"1"


@KINDS
@on_both_loops
async def test_a_job_knows_itself(children: Children, kind: str) -> None:
    """`from dts_core import job` gives this job's id, function, attempt, host, submitter and time left."""
    source = f"""
        from dts_core import job
        from dts_core.runner.jobapi import job as same

        {kind} main():
            assert same is job
            return [job.id, job.function, job.attempt, job.host, job.submitter,
                    0 < job.deadline <= 60, job.cancelled]
        """
    call = call_of(source, attempt=2, submitter="ann", timeout_seconds=60.0)
    ended = await children.run(call)
    assert ended.result is not None, ended.error
    found = json.loads(ended.result)
    assert found == [call.id, "test/function", 2, "h", "ann", True, False]


@KINDS
@on_both_loops
async def test_everything_a_job_says_is_its_log(children: Children, kind: str) -> None:
    """print, standard error, logging and C-level writes become lines of the job with a level."""
    source = f"""
        import logging, os, sys
        from dts_core import job

        {kind} main():
            print("out")
            print("err", file=sys.stderr)
            sys.stdout.buffer.write(b"bytes\\xff\\n")
            job.logger.debug("quiet %d", 1)
            logging.getLogger("lib").error("broken")
            print("unfinished", end="")
        """
    heard = Heard()
    await children.run(call_of(source), on_log=heard.on_log)
    assert heard.lines == [
        (20, "out"),
        (30, "err"),
        (20, "bytes\\xff"),
        (10, "quiet 1"),
        (40, "lib: broken"),
        (20, "unfinished"),
    ]


@on_both_loops
async def test_writes_below_python_are_the_jobs_too(children: Children) -> None:
    """What C code or a subprocess writes to descriptors 1 and 2 is heard before the job's end."""
    source = """
        import os, subprocess
        def main():
            os.write(1, b"one\\n")
            os.write(2, b"two\\n")
            subprocess.run(["echo", "three"], check=True)
        """
    heard = Heard()
    await children.run(call_of(source), on_log=heard.on_log)
    assert sorted(heard.lines) == [(20, "one"), (20, "three"), (30, "two")]


@on_both_loops
async def test_lines_of_jobs_that_share_a_child_do_not_mix(children: Children) -> None:
    """Tasks, threads and pool threads of each job speak for that job, whoever made the threads."""
    source = """
        import asyncio, threading
        async def main(name):
            await asyncio.sleep(0.01)
            print("task", name)
            await asyncio.get_running_loop().run_in_executor(None, print, "pool", name)
            thread = threading.Thread(target=print, args=("thread", name))
            thread.start()
            while thread.is_alive():
                await asyncio.sleep(0.001)
        """
    heard = [Heard() for _ in range(5)]
    await asyncio.gather(
        *(children.run(call_of(source, n), on_log=heard[n].on_log) for n in range(5))
    )
    for number, each in enumerate(heard):
        assert each.texts == [f"task {number}", f"pool {number}", f"thread {number}"]


@on_both_loops
async def test_progress_keeps_the_last_report(children: Children) -> None:
    """Reports in a tight loop are thinned out, but the last one always comes, within bounds."""
    source = """
        from dts_core import job
        def main():
            for n in range(10_000):
                job.progress(n / 10_000, f"{n}")
            job.progress(7, "x" * 1000)
        """
    heard = Heard()
    await children.run(call_of(source), on_progress=heard.on_progress)
    assert heard.progress[-1] == (1.0, "x" * 200)
    assert len(heard.progress) < 1000


@on_both_loops
async def test_a_sync_main_may_return_an_awaitable(children: Children) -> None:
    """A plain function that gives back a coroutine is waited for, in either kind of child."""
    source = "import asyncio\nasync def inner(): return 5\ndef main(): return inner()"
    for is_async in (False, True):
        assert (await children.run(call_of(source, is_async=is_async))).result == b"5"


@on_both_loops
async def test_calls_beyond_the_slots_wait_in_order(children: Children) -> None:
    """No more synchronous calls run than there are slots; the others run in order of start."""
    source = "import time\ndef main(n): time.sleep(0.02); return n"
    ends: dict[str, Ended] = {}
    calls = [call_of(source, n) for n in range(8)]
    for call in calls:
        children.start(call, lambda call, ended: ends.update({call.id: ended}))
    assert children.running <= 2
    assert children.sync_waiting == 6
    await wait_until(lambda: len(ends) == 8)
    starts = [ends[call.id].started_at for call in calls]
    assert None not in starts
    assert starts == sorted(each for each in starts if each)


@on_both_loops
async def test_a_child_is_replaced_after_its_share() -> None:
    """After `child_jobs` calls a fresh process takes over, and none is lost on the way."""
    source = "import os\n{} main(): return os.getpid()"
    for kind in ("def", "async def"):
        async with Children(ChildrenSettings(slots=1, child_jobs=3)) as pool:
            ends = await asyncio.gather(
                *(pool.run(call_of(source.format(kind))) for _ in range(10))
            )
        pids = [ended.result for ended in ends]
        assert len(set(pids)) == 4
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3, 1]


@on_both_loops
async def test_nothing_is_kept_of_calls_that_ended(children: Children) -> None:
    """The pool's tables are empty once everything has ended."""
    await asyncio.gather(*(children.run(call_of("async def main(): pass")) for _ in range(50)))
    await asyncio.gather(*(children.run(call_of("def main(): 1 / 0")) for _ in range(10)))
    assert children.calls == {}
    assert (children.running, children.sync_waiting, children.async_waiting) == (0, 0, 0)


@on_both_loops
async def test_a_waiting_caller_that_is_cancelled_ends_its_call(children: Children) -> None:
    """Cancelling the task that waits in `run` stops the call too."""
    source = "import asyncio\nasync def main(): await asyncio.sleep(60)"
    waiting = asyncio.ensure_future(children.run(call_of(source)))
    await wait_until(lambda: children.running == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await wait_until(lambda: children.calls == {})


@on_both_loops
async def test_an_interpreter_that_does_not_start_breaks_the_pool() -> None:
    """After a few tries the calls are given back and the pool says why it is broken."""
    settings = ChildrenSettings(slots=1, child=ChildSettings(python="/nowhere/python"))
    async with Children(settings) as pool:
        ended = await pool.run(call_of("def main(): pass"))
        assert ended.kind is EndKind.GIVEN_BACK
        assert "cannot be started" in pool.broken


@on_both_loops
async def test_an_interpreter_that_ends_late_breaks_the_pool_as_well(tmp_path: Path) -> None:
    """Its pipe ends before the process does, each time: it is not started for ever."""
    interpreter = tmp_path / "python"
    interpreter.write_text(
        f"#!{sys.executable}\nimport os, time\nos.closerange(3, 256)\ntime.sleep(0.2)\nos._exit(3)\n"
    )
    interpreter.chmod(0o700)
    settings = ChildrenSettings(slots=1, child=ChildSettings(python=str(interpreter)))
    async with Children(settings) as pool:
        ended = await pool.run(call_of("def main(): pass"))
        assert ended.kind is EndKind.GIVEN_BACK
        assert "ended with code 3" in pool.broken
