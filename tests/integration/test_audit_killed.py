"""A process that writes is killed with -9 at every point between a write and its record; others go on after it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from dts_core.clock import SystemClock
from dts_core.services.directory import NAMESPACES
from dts_core.settings import StoreSettings
from dts_core.stores.base import Store
from dts_core.stores.mongodb import open_store
from tests.contract.store_backends import open_file
from tests.support.audit import audit

MANY = 10_000
"""More points than there are."""


class Writers:
    """Starts one writer after the other."""

    def __init__(self, into: IO[str], out: IO[str]) -> None:
        self._into, self._out = into, out

    def write(self, point: int) -> tuple[int, int]:
        """(exit status, the newest revision of its document that it was told is stored)."""
        self._into.write(f"{point}\n")
        self._into.flush()
        revision = 0
        while True:
            words = self._out.readline().split()
            assert words, "the writers' process ended"
            if words[0] == "ended":
                return int(words[1]), revision
            revision = int(words[2])


@contextmanager
def writers(place: str) -> Iterator[Writers]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.dying_writer", place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with closing(process.stdin):
            yield Writers(process.stdin, process.stdout)


async def check(store: Store, point: int, told: int) -> None:
    """No write without its record, no record without its write, none lost that was answered, the chains whole."""
    name = f"n{point}"
    found = await NAMESPACES.find(store, name)
    done = [
        each
        for _, each in await store.operations(collection="namespaces", doc_id=name)
        if not each.refused
    ]
    newest = done[0].revision if done else 0
    assert newest >= told, point
    assert [each.revision for each in done] == list(range(newest, 0, -1)), point
    if newest in (0, 3):
        assert found is None, point
    else:
        assert found is not None, point
        assert found.revision == newest, point
    assert (await store.get_blob(name) is not None) == (newest > 0), point
    verified = await audit(store, SystemClock()).verify()
    assert verified.findings == [], point


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["embedded", "mongodb"])
async def test_no_write_is_without_its_record_wherever_its_process_is_killed(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    """From before the first statement to after the last one; each next process names what the dead one left."""
    async with AsyncExitStack() as stack:
        store: Store
        if engine == "mongodb":
            place = request.getfixturevalue("mongodb").fresh()
            settings = StoreSettings(url=place, deadline_seconds=30)
            remote = await open_store(settings, SystemClock())
            stack.push_async_callback(remote.close)
            store = remote
        else:
            place = str(tmp_path)
            _, local = open_file(tmp_path, SystemClock())
            stack.push_async_callback(local.close)
            store = local
        with writers(place) as started:
            for point in range(1, MANY):
                status, told = started.write(point)
                await check(store, point, told)
                if status == 0:
                    break
                assert status == -9
            assert status == 0
            assert point > 20
        records = await store.recorded(limit=1000)
        assert len(records) > point
        assert (await store.operations(limit=1))[0][1].chain
