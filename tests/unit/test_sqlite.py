"""The owner of the file: group commit, failures that stay with their cause, a clean end."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from dts_core.errors import AlreadyOwned, StoreUnavailable
from dts_core.sqlite import Connection, Database, OwnerLock, all_rows, connect
from dts_core.testing import wait_until


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "t.db", asyncio.get_running_loop())
    await opened.write(lambda connection: connection.execute("CREATE TABLE t(x UNIQUE)"))
    yield opened
    await opened.close()


def put(value: Any) -> Callable[[Connection], Any]:
    def work(connection: Connection) -> Any:
        connection.execute("INSERT INTO t VALUES(?)", (value,))
        return value

    return work


async def values(database: Database) -> list[object]:
    rows = await database.read(
        lambda connection: all_rows(connection, "SELECT x FROM t ORDER BY x")
    )
    return [value for (value,) in rows]


async def test_writes_that_wait_together_are_one_transaction(database: Database) -> None:
    """While the writer is busy, everything else gathers for one commit."""
    hold = threading.Event()
    first = database.write(lambda connection: hold.wait(60))
    await wait_until(lambda: database.waiting == 0)
    commits = database.commits
    rest = [database.write(put(at), durable=at % 7 == 0) for at in range(100)]
    hold.set()
    await first
    assert await asyncio.gather(*rest) == list(range(100))
    assert database.commits == commits + 2
    assert await values(database) == list(range(100))


async def test_a_failing_write_does_not_hurt_its_neighbours(database: Database) -> None:
    """Each failure goes to whoever asked; what it wrote is undone, the others of its group are kept."""
    hold = threading.Event()
    first = database.write(lambda connection: hold.wait(60))

    def half(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES('half')")
        raise KeyError("mine")

    works = [put(1), half, put(2), put(1), put(3)]
    futures = [database.write(work) for work in works]
    hold.set()
    await first
    results: Any = await asyncio.gather(*futures, return_exceptions=True)
    assert results[0::2] == [1, 2, 3]
    assert isinstance(results[1], KeyError)
    assert isinstance(results[3], StoreUnavailable)
    assert await values(database) == [1, 2, 3]


async def test_writes_keep_their_order(database: Database) -> None:
    """What was handed in first is written first, waited for or not."""
    for at in range(50):
        database.write_soon(put(at))
    last = await database.write(lambda connection: all_rows(connection, "SELECT max(x) FROM t"))
    assert last == [(49,)]


async def test_a_read_sees_what_was_answered(database: Database) -> None:
    """A write is visible to every read that begins after its answer."""
    for at in range(20):
        await database.write(put(at))
        assert len(await values(database)) == at + 1


async def test_a_read_cannot_write(database: Database) -> None:
    """Reading connections are read-only for good."""
    with pytest.raises(StoreUnavailable):
        await database.read(lambda connection: connection.execute("INSERT INTO t VALUES(1)"))


async def test_a_reader_sees_one_moment(database: Database) -> None:
    """Two looks within one read agree, whatever is written between them."""
    between, go_on = threading.Event(), threading.Event()

    def two_looks(connection: Connection) -> tuple[int, int]:
        first = len(all_rows(connection, "SELECT x FROM t"))
        between.set()
        go_on.wait(60)
        return first, len(all_rows(connection, "SELECT x FROM t"))

    reading = asyncio.ensure_future(database.read(two_looks))
    await wait_until(between.is_set)
    await database.write(put(1))
    go_on.set()
    assert await reading == (0, 0)


async def test_a_caller_that_left_changes_nothing_for_the_others(database: Database) -> None:
    """A cancelled wait is not an undone write."""
    hold = threading.Event()
    first = database.write(lambda connection: hold.wait(60))
    left, stays = database.write(put(1)), database.write(put(2))
    left.cancel()
    hold.set()
    await asyncio.gather(first, stays)
    assert await values(database) == [1, 2]


async def test_a_full_disk_fails_the_group_and_goes_on_when_there_is_room(
    database: Database,
) -> None:
    """Whoever waits is told that the disk is full; later writes work again by themselves."""
    await database.write(lambda connection: connection.pragma("max_page_count", 20))
    results: Any = await asyncio.gather(
        database.write(put(1), durable=True),
        database.write(put("x" * 400_000)),
        return_exceptions=True,
    )
    assert any(isinstance(result, StoreUnavailable) for result in results)
    assert "full" in str(results[1])
    kept = await values(database)
    assert kept == ([1] if results[0] == 1 else [])
    await database.write(lambda connection: connection.pragma("max_page_count", 1_000_000))
    await database.write(put("x" * 400_000))
    assert len(await values(database)) == len(kept) + 1


async def test_an_unexpected_failure_does_not_end_the_writer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a fault of our own is told to whoever waits, and the next write is served."""

    def broken(level: str) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(database, "_set_sync", broken)
        with pytest.raises(StoreUnavailable):
            await database.write(put(1))
    assert await database.write(put(2)) == 2
    assert await values(database) == [2]


async def test_a_failure_nobody_waits_for_is_reported(database: Database) -> None:
    """Writes without a waiter have one place where their failures go."""
    failures: list[BaseException] = []
    database.on_background_error = failures.append
    database.write_soon(put(1))
    database.write_soon(put(1))
    await wait_until(lambda: bool(failures))
    assert [type(failure) for failure in failures] == [StoreUnavailable]


async def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    """Everything handed in before `close` is kept; afterwards nothing is taken; closing twice is closing once."""
    path = tmp_path / "t.db"
    database = Database(path, asyncio.get_running_loop())
    database.write_soon(lambda connection: connection.execute("CREATE TABLE t(x)"))
    for at in range(300):
        database.write_soon(put(at))
    await asyncio.gather(database.close(), database.close())
    await database.close()
    for refused in (lambda: database.write(put(1)), lambda: database.write_soon(put(1))):
        with pytest.raises(StoreUnavailable):
            refused()
    with pytest.raises(StoreUnavailable):
        await values(database)
    connection = connect(path)
    assert all_rows(connection, "SELECT count(*) FROM t") == [(300,)]
    connection.close()
    assert not (tmp_path / "t.db-wal").exists()


def test_a_file_that_cannot_be_opened_is_named_with_advice(tmp_path: Path) -> None:
    """A missing folder or a folder in its place: one line that names the path and says what to do."""
    for path in (tmp_path / "missing" / "t.db", tmp_path):
        with pytest.raises(StoreUnavailable) as caught:
            connect(path)
        assert str(path) in str(caught.value)
        assert caught.value.advice


def test_the_bundled_sqlite_is_new_enough() -> None:
    """Versions up to 3.51.2 can corrupt a write-ahead log that two connections checkpoint at once."""
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


HOLD = """
import sys
from pathlib import Path
from typing import Any
from dts_core.sqlite import OwnerLock
lock = OwnerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    """One owner a folder; the refusal names its process; even a killed owner frees the folder."""
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stdin is not None
    try:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyOwned) as caught:
            OwnerLock(tmp_path)
        assert str(first.pid) in str(caught.value)
    finally:
        first.kill()
        first.wait(60)
        first.stdout.close()
        first.stdin.close()
    lock = OwnerLock(tmp_path)
    with pytest.raises(AlreadyOwned):
        OwnerLock(tmp_path)
    lock.release()
    lock.release()
    OwnerLock(tmp_path).release()
