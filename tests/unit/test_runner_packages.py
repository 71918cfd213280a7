"""Functions of several modules in a worker: imported by either way, apart from each other, with their own lines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.runner.bundle import join
from dts_core.runner.loading import Modules
from dts_core.runner.outcome import LoadFailed
from tests.support.worker_process import in_process
from tests.support.worker_road import Road

MAIN = """
import util
import json
from . import deep
from .deep.er import level, up
from deep import er
import deep.er as again
import deep.plain

def main(fail=False):
    import late
    if fail:
        util.fail()
    return [util.NAME, level, up(), er is again, deep.plain.SELF, late.NAME, json.dumps(1)]
"""
OTHERS = {
    "util.py": "NAME = '{name}'\n\ndef fail():\n    raise ValueError('here')  # line four\n",
    "late.py": "from util import NAME\n",
    "deep/__init__.py": "",
    "deep/er.py": "from ..util import NAME\nlevel = 2\ndef up():\n    from .. import util\n    return util.NAME\n",
    "deep/plain.py": "import deep.er\nSELF = deep.er.level\n",
}


def source_of(name: str, main: str = MAIN, entry: str = "main.py") -> bytes:
    files = {path: text.replace("{name}", name).encode() for path, text in OTHERS.items()}
    return join({entry: main.encode(), **files})


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


@pytest.mark.parametrize("entry", ["main.py", "__init__.py"])
async def test_two_functions_with_the_same_modules_do_not_meet(road: Road, entry: str) -> None:
    """In one child, one after another and again: each has its own `util`, however it imports it, also late."""
    one, two = source_of("one", entry=entry).decode(), source_of("two", entry=entry).decode()
    async with in_process(road, slots=1):
        names = []
        for source in (one, two, one):
            job = await road.submit(source)
            names.append((await road.result(job)).result)
    assert names == [
        b'["one",2,"one",true,2,"one","1"]',
        b'["two",2,"two",true,2,"two","1"]',
        b'["one",2,"one",true,2,"one","1"]',
    ]


async def test_a_traceback_shows_the_right_file_and_line(road: Road) -> None:
    """The module's own path below the function and its version, with the text of the line."""
    async with in_process(road):
        job = road.message(source_of("one").decode(), True)
        await road.send(job)
        error = (await road.result(job.id)).error
    assert error is not None
    label = f"test/function@{job.version[:8]}"
    assert f'File "{label}/util.py", line 4, in fail' in error.traceback
    assert "raise ValueError('here')  # line four" in error.traceback
    assert f'File "{label}/main.py", line 13, in main' in error.traceback


async def test_an_asynchronous_one_runs_too(road: Road) -> None:
    """Its event loop is shared; its modules are its own all the same."""
    main = "import util\nimport asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return util.NAME\n"
    async with in_process(road):
        jobs = [await road.submit(source_of(name, main).decode()) for name in ("one", "two")]
        assert [(await road.result(job)).result for job in jobs] == [b'"one"', b'"two"']


def test_what_was_forgotten_is_loaded_anew() -> None:
    """Nothing of a version stays behind: another one of the same modules comes as it is."""
    import sys

    finders = list(sys.meta_path)
    modules = Modules()
    for digest, name in (("a" * 64, "one"), ("b" * 64, "two")):
        modules.take(digest, "test/function", source_of(name))
        assert modules.load(digest).main()[0] == name
    assert modules.load("a" * 64).main()[2] == "one"
    assert "util" not in sys.modules
    modules.forget("a" * 64)
    modules.forget("b" * 64)
    assert not [each for each in sys.modules if each.startswith("dts_functions.test.function.")]
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("main", "words"),
    [
        ("import util, nothing_of_this_name\ndef main(): pass", "nothing_of_this_name"),
        ("from util import nothing\ndef main(): pass", "cannot import name 'nothing'"),
        ("import util\n", "has no function `main`"),
    ],
)
def test_what_does_not_import_leaves_nothing_behind(main: str, words: str) -> None:
    """The same answer each time, and no half of it that another could find."""
    import sys

    finders = list(sys.meta_path)
    modules = Modules()
    modules.take("c" * 64, "test/function", source_of("one", main))
    for _ in range(2):
        with pytest.raises(LoadFailed, match=words):
            modules.load("c" * 64)
    assert not [each for each in sys.modules if each.startswith("dts_functions.test.function.")]
    assert sys.meta_path == finders
