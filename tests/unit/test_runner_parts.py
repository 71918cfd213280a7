"""The pieces of the runner by themselves, and the runner in other interpreters."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dts_core
from dts_core.children import Children, ChildrenSettings, ChildSettings, EndKind
from dts_core.runner import frames, outcome
from dts_core.runner.jobapi import Cancelled, Job, job
from dts_core.runner.loading import _may_suspend
from tests.support.calls import Heard, call_of

INTERPRETERS = [
    found
    for name in ("python3.9", "python3.10", "python3.12", "python3.13")
    for found in [shutil.which(name)]
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
]


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=50)),
        max_size=8,
    ),
    st.integers(0, 60),
)
def test_frames_come_out_as_they_went_in(sent: list[frames.Frame], cut: int) -> None:
    """However the stream is cut, the frames are the same and in order; a torn one waits for its rest."""
    data = b"".join(frames.pack(*frame) for frame in sent)
    first, rest = frames.split(data[:cut], 1000)
    second, left = frames.split(rest + data[cut:], 1000)
    assert first + second == sent
    assert left == b""


@pytest.mark.parametrize("size", [0, 4, 1001, 2**32 - 1])
def test_a_frame_of_a_wrong_length_is_refused(size: int) -> None:
    """A length below the head's own, or above the limit, breaks the stream instead of filling memory."""
    with pytest.raises(ValueError, match=f"a frame of {size} bytes"):
        frames.split(size.to_bytes(4, "big") + b"\0" * 5, 1000)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_value_error(data: bytes) -> None:
    """Random bytes never do anything else than frames, a rest, or ValueError."""
    try:
        found, rest = frames.split(data, 100)
    except ValueError:
        return
    assert sum(len(body) + 9 for _, _, body in found) + len(rest) == len(data)


def test_a_budget_counts_what_it_refuses() -> None:
    """In one second so many lines pass, the others are counted; the next second starts anew."""
    budget = frames.LineBudget(3)
    assert [budget.allows(10.0 + n / 10) for n in range(5)] == [True] * 3 + [False] * 2
    assert budget.allows(11.0)
    assert (budget.take_dropped(), budget.take_dropped()) == (2, 0)


def test_outside_a_job_everything_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """A function that is imported and called by hand may use `job`."""
    assert (job.id, job.function, job.attempt, job.deadline, job.cancelled) == (
        "",
        "",
        1,
        None,
        False,
    )
    job.check_cancelled()
    job.progress(0.5, "half")
    job.progress(float("nan"))
    assert "50% half" in capsys.readouterr().err
    assert job.logger.name == "job"
    assert job.log is job.logger
    assert repr(job) == "<job none>"


def test_there_is_one_job_object() -> None:
    """`from dts_core import job` is the runner's own."""
    assert dts_core.job is job
    assert isinstance(job, Job)


def test_being_told_to_stop_is_no_error() -> None:
    """`except Exception` in a function does not swallow it, as with asyncio."""
    assert not issubclass(Cancelled, Exception)


async def _plain() -> int:
    return 1


async def _waits() -> None:
    await asyncio.sleep(0)


async def _enters() -> None:
    async with asyncio.Lock():
        pass


async def _gathers() -> list[int]:
    return [each async for each in _numbers()]


async def _numbers() -> AsyncIterator[int]:
    yield 1


def test_only_coroutines_without_await_skip_the_task() -> None:
    """One that never waits is run in one step; anything that could wait gets a task."""
    assert not _may_suspend(_plain)
    assert _may_suspend(_waits)
    assert _may_suspend(_enters)
    assert _may_suspend(_gathers)
    assert _may_suspend(len)


@pytest.mark.parametrize("python", INTERPRETERS or [sys.executable])
async def test_other_interpreters_run_functions(python: str) -> None:
    """From Python 3.9 on, without dts_core: results, failures, logs, progress and `job` work the same."""
    source = """
        import sys
        from dts_core import job
        {} main(a):
            print("hello")
            job.progress(0.5)
            job.logger.warning("careful")
            if a == 0:
                raise ValueError("zero")
            return [a, job.id, list(sys.version_info[:2])]
        """
    settings = ChildrenSettings(slots=1, child=ChildSettings(python=python))
    async with Children(settings) as pool:
        for kind in ("def", "async def"):
            heard = Heard()
            call = call_of(source.format(kind), 7)
            ended = await pool.run(call, on_log=heard.on_log, on_progress=heard.on_progress)
            assert ended.kind is EndKind.RETURNED, ended.error
            assert heard.lines == [(20, "hello"), (30, "careful")]
            assert heard.progress == [(0.5, "")]
            failed = await pool.run(call_of(source.format(kind), 0))
            assert failed.error is not None
            assert (failed.error.type, failed.error.message) == ("ValueError", "zero")


def test_without_dts_core_there_is_only_job(tmp_path: Path) -> None:
    """Where the package is missing, `dts_core` is a stand-in with what functions import."""
    runner = tmp_path / "elsewhere" / "runner"
    shutil.copytree(Path(frames.__file__).parent, runner)
    code = f"""
import runpy, sys
sys.path[:] = [each for each in sys.path if "site-packages" not in each]
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in repr(each)]
sys.path.insert(0, {str(tmp_path / "elsewhere")!r})
import types
package = types.ModuleType("dts_core.runner"); package.__path__ = [{str(runner)!r}]
sys.modules["dts_core.runner"] = package
from importlib import import_module
for name in ("frames", "jobapi", "hardening", "child"):
    module = import_module("dts_core.runner." + name)
sys.meta_path.append(module._StandIn())
import dts_core
from dts_core import Secret, job
own = sys.modules["dts_core.runner.jobapi"]
assert dts_core.__all__ == ["job", "Secret"] and job is own.job and Secret is own.Secret
try:
    import dts_core.model
except ImportError:
    print("only job")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "only job\n", done.stderr


def test_a_child_loads_little() -> None:
    """From start to ready a child loads only small modules of the library: a replacement is there at once."""
    reading, writing = os.pipe()
    options = (
        f'{{"in": 0, "out": {writing}, "mode": "sync", "host": "h", "lines": 10, "memory": 0,'
        f' "parent": {os.getpid()}}}'
    )
    main = Path(frames.__file__).parent / "__main__.py"
    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", str(main), options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(writing,),
        start_new_session=True,
        check=False,
    )
    os.close(writing)
    found, _ = frames.split(os.read(reading, 1000), 1000)
    os.close(reading)
    assert found[0][0] == frames.READY
    lines = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert "dts_core.runner.sync_child" in lines
    ours = {name for name in lines if name.startswith("dts_core") and "runner" not in name}
    heavy = {"asyncio", "concurrent", "dataclasses", "inspect", "multiprocessing", "socket", "ssl"}
    assert ours | (heavy & {name.partition(".")[0] for name in lines}) == set()


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class _Nameless(Exception, metaclass=_Meta):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("lone \ud800"), "ValueError"),
        (type("Odd\x1b", (Exception,), {})(), "Odd\x1b"),
        (_Nameless("x"), "Exception"),
    ],
)
def test_a_failure_is_told_whatever_it_says(error: Exception, kind: str) -> None:
    """Text that is no Unicode, and names that raise, still end the attempt with their own error."""
    _, _, body = frames.split(outcome.failure_frame(1, error), 1 << 20)[0][0]
    told = msgspec.json.decode(body)
    assert told["type"] == kind
    assert "lone" not in told["message"] or told["message"] == "lone \\ud800"
