"""Calls for other interpreters than the pool's own share its slots, and are no danger to it."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from dts_core.children import Call, Children, ChildrenSettings, Ended, EndKind
from dts_core.children.apart import APART_MAX
from dts_core.testing import wait_until
from tests.support.calls import call_of
from tests.support.loops import on_both_loops

KINDS = pytest.mark.parametrize("kind", ["def", "async def"])
WHICH = "import sys\n{kind} main(): return sys.executable"
HOLD = "import asyncio\nasync def main(): await asyncio.sleep(60)"


def pythons(folder: Path, count: int) -> list[str]:
    """Interpreters that are told apart by their path."""
    found = [folder / f"python{number}" for number in range(count)]
    for each in found:
        each.symlink_to(Path(sys.executable).resolve())
    return [str(each) for each in found]


async def all_of(pool: Children, *calls: Call) -> list[Ended]:
    return await asyncio.gather(*(pool.run(call) for call in calls))


def text(ended: Ended) -> str:
    assert ended.result is not None, ended.error
    found: str = json.loads(ended.result)
    return found


@KINDS
@on_both_loops
async def test_each_call_gets_its_interpreter(kind: str, tmp_path: Path) -> None:
    """More interpreters than slots or places take turns, and the pool's own is among them."""
    source = WHICH.format(kind=kind)
    wanted = [*pythons(tmp_path, APART_MAX + 2), ""] * 3
    async with Children(ChildrenSettings(slots=1)) as pool:
        ended = await all_of(pool, *(call_of(source, python=each) for each in wanted))
        assert [text(each) for each in ended] == [each or sys.executable for each in wanted]
        assert len(pool.processes()) <= 1 + 1 + APART_MAX + len(wanted)


@KINDS
@on_both_loops
async def test_its_child_stays_warm_for_the_next_call(kind: str, tmp_path: Path) -> None:
    """A second call of the same interpreter runs in the same process."""
    (python,) = pythons(tmp_path, 1)
    source = f"import os\n{kind} main(): return os.getpid()"
    async with Children(ChildrenSettings(slots=2)) as pool:
        first = await pool.run(call_of(source, python=python))
        assert (await pool.run(call_of(source, python=python))).result == first.result
        assert pool.pythons() == {python}


@KINDS
@pytest.mark.parametrize("broken", ["missing", "dies"])
@on_both_loops
async def test_an_interpreter_that_does_not_start_fails_only_its_call(
    kind: str, broken: str, tmp_path: Path
) -> None:
    """The pool goes on; only its own interpreter may break it."""
    python = tmp_path / "python"
    if broken == "dies":
        python.write_text("#!/bin/sh\nexit 3\n")
        python.chmod(0o700)
    source = WHICH.format(kind=kind)
    async with Children(ChildrenSettings(slots=1)) as pool:
        bad = [call_of(source, python=str(python)) for _ in range(4)]
        for ended in await all_of(pool, *bad):
            assert ended.kind is EndKind.FAILED
            assert ended.error is not None
            assert ended.error.type == "EnvironmentFailed"
            assert "cannot be started" in ended.error.message
        assert text(await pool.run(call_of(source))) == sys.executable
        assert pool.broken == ""


@on_both_loops
async def test_children_without_calls_end(tmp_path: Path) -> None:
    """Those of other interpreters, of both kinds; the pool's own warm ones stay."""
    (python,) = pythons(tmp_path, 1)
    async with Children(ChildrenSettings(slots=2, idle_seconds=0.2)) as pool:
        both = [call_of(WHICH.format(kind=kind), python=python) for kind in ("def", "async def")]
        assert {text(each) for each in await all_of(pool, *both)} == {python}
        await wait_until(lambda: pool.pythons() == set())
        await wait_until(lambda: len(pool.processes()) == 2)
        assert text(await pool.run(call_of(WHICH.format(kind="def")))) == sys.executable


@on_both_loops
async def test_a_child_that_runs_something_is_not_idle(tmp_path: Path) -> None:
    """However long its call says nothing."""
    (python,) = pythons(tmp_path, 1)
    source = "import time\ndef main(): time.sleep(0.5); return 'slept'"
    async with Children(ChildrenSettings(slots=1, idle_seconds=0.05)) as pool:
        assert text(await pool.run(call_of(source, python=python))) == "slept"


@on_both_loops
async def test_who_kills_a_shared_child_is_found_among_its_interpreters_calls(
    tmp_path: Path,
) -> None:
    """The innocent run again, with the interpreter that they asked for."""
    (python,) = pythons(tmp_path, 1)
    crash = "import asyncio, os\nasync def main():\n    await asyncio.sleep(0.3)\n    os._exit(3)"
    slow = "import asyncio, sys\nasync def main():\n    await asyncio.sleep(0.5)\n    return sys.executable"
    async with Children(ChildrenSettings(slots=1)) as pool:
        calls = [call_of(source, python=python) for source in (slow, crash, slow)]
        first, killer, last = await all_of(pool, *calls)
        assert (text(first), text(last)) == (python, python)
        assert killer.error is not None
        assert killer.error.type == "ChildDied"


@on_both_loops
async def test_calls_that_wait_for_a_place_are_given_back(tmp_path: Path) -> None:
    """When asked to, and at the end; those that run are stopped."""
    wanted = pythons(tmp_path, APART_MAX + 2)
    pool = Children(ChildrenSettings(slots=1))
    pool.open()
    waits = [asyncio.ensure_future(pool.run(call_of(HOLD, python=each))) for each in wanted]
    await wait_until(lambda: pool.running == APART_MAX)
    assert pool.async_waiting == 2
    assert pool.give_back_waiting(1, is_async=True) == 1
    assert (await waits[-1]).kind is EndKind.GIVEN_BACK
    await pool.close()
    assert {(await each).kind for each in waits} == {EndKind.GIVEN_BACK}
