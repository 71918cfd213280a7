"""Backups of the embedded store: one moment of it while it is written, and refused when it is not as it was."""

import asyncio
import errno
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from dts_core.errors import AlreadyOwned, ConfigError, Conflict, SchemaMismatch, StoreUnavailable
from dts_core.hosting.archive import KEPT_OUT
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sqlite import SCHEMA_VERSION, Database, OwnerLock, connect, one_row, prepare
from dts_core.stores.embedded.backup import copy_file
from dts_core.testing import ManualClock
from dts_core.wiring.backup import back_up, restore
from tests.contract.store_backends import open_file
from tests.support.audit import audit, create, writer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a store, and keys beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    prepare(folder / "dts.db", SCHEMA, MIGRATIONS)
    for name in KEPT_OUT:
        (folder / name).write_text("canary of a key")
    return folder


@pytest.fixture
def backup(data: Path, tmp_path: Path) -> Path:
    file = tmp_path / "store.backup"
    back_up(data, file)
    return file


async def test_a_copy_is_one_moment_of_a_store_that_is_written_meanwhile(
    data: Path, tmp_path: Path
) -> None:
    """Two rows of one commit are both there or both not; the owner's writes go on."""
    database = Database(data / "dts.db", asyncio.get_running_loop())
    await database.write(lambda on: on.execute("CREATE TABLE pairs(a, filler)").fetchall())
    stopped = False

    async def write() -> int:
        count = 0
        while not stopped:
            await database.write(_pair)
            count += 1
        return count

    writing = asyncio.create_task(write())
    try:
        for number in range(5):
            copy = tmp_path / f"copy-{number}"
            await asyncio.to_thread(copy_file, data / "dts.db", copy)
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
            found = connect(copy, readonly=True)
            assert one_row(found, "SELECT count(*) % 2 FROM pairs") == (0,)
            assert found.pragma("integrity_check") == "ok"
            found.close()
    finally:
        stopped = True
        assert await writing > 0
        await database.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"data", *(f"copy-{number}" for number in range(5))}


def _pair(connection: apsw.Connection) -> None:
    for _ in range(2):
        connection.execute("INSERT INTO pairs VALUES(1, randomblob(20000))")


async def test_the_audit_verifies_after_a_restore(data: Path, tmp_path: Path) -> None:
    """Taken from a store that is open, without keys; a new folder holds every record, as it was written."""
    clock = ManualClock()
    _, store = open_file(data, clock)
    writing = writer(store, clock)
    for name in ("one", "two", "three"):
        await create(writing, name)
    file = tmp_path / "store.backup"
    taken = await asyncio.to_thread(back_up, data, file)
    await create(writing, "later")
    await store.close()
    assert (taken.schema, taken.size > 0) == (SCHEMA_VERSION, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"canary of a key" not in file.read_bytes()
    new = tmp_path / "new"
    assert await asyncio.to_thread(restore, file, new) == taken
    assert stat.S_IMODE((new / "dts.db").stat().st_mode) == 0o600
    assert stat.S_IMODE(new.stat().st_mode) == 0o700
    _, restored = open_file(new, clock)
    verified = await audit(restored, clock).verify()
    assert (verified.total, verified.records) == (0, 3)
    assert [doc_id for doc_id, _ in await restored.find_documents("namespaces")] == [
        "one", "three", "two",
    ]  # fmt: skip
    await restored.close()


def test_neither_a_backup_nor_a_store_is_ever_replaced(
    data: Path, backup: Path, tmp_path: Path
) -> None:
    """An existing file, a folder with a store (or what is left of one), a folder in use: all stay as they are."""
    before = backup.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        back_up(data, backup)
    assert backup.read_bytes() == before
    kept = (data / "dts.db").read_bytes()
    with pytest.raises(Conflict, match="holds a store"):
        restore(backup, data)
    assert (data / "dts.db").read_bytes() == kept
    rest = tmp_path / "rest"
    rest.mkdir()
    (rest / "dts.db-wal").write_text("x")
    with pytest.raises(Conflict, match="holds a store"):
        restore(backup, rest)
    used = tmp_path / "used"
    used.mkdir()
    lock = OwnerLock(used)
    with pytest.raises(AlreadyOwned):
        restore(backup, used)
    lock.release()
    with pytest.raises(ConfigError, match="mongodump"):
        back_up(used, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_disk_without_hard_links_takes_a_backup_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As memory sticks are; a full disk is told, and leaves nothing behind."""

    def refuse(number: int) -> None:
        def link(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "link", link)

    refuse(errno.EPERM)
    back_up(data, tmp_path / "stick")
    refuse(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        back_up(data, tmp_path / "full")
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"data", "stick"}
    restore(tmp_path / "stick", tmp_path / "new")


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    at = content.index(b"SQLite format 3") + 5000
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _nothing(content: bytes) -> bytes:
    del content
    return b""


def _escaping(content: bytes) -> bytes:
    return content.replace(b"store.db", b"../../ab")


@pytest.mark.parametrize("change", [_cut, _flipped, _nothing, _escaping])
def test_a_file_that_is_not_as_it_was_written_is_refused(
    change: Callable[[bytes], bytes], backup: Path, tmp_path: Path
) -> None:
    """Cut, altered, empty, or an archive of something else: nothing of it is left in the folder."""
    backup.write_bytes(change(backup.read_bytes()))
    new = tmp_path / "new"
    with pytest.raises(ConfigError):
        restore(backup, new)
    assert {path.name for path in new.iterdir()} == {"logs", "plugins", "owner.lock"}


def test_a_backup_of_a_newer_version_is_refused(data: Path, backup: Path, tmp_path: Path) -> None:
    """By its form, or by the schema of the store in it; what a newer one says beside that is no matter."""
    new = tmp_path / "new"
    with pytest.raises(SchemaMismatch):
        restore(_told(backup, tmp_path / "form", format=2), new)
    restore(_told(backup, tmp_path / "more", colour="red"), tmp_path / "more-data")
    with connect(data / "dts.db") as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    newer = tmp_path / "newer.backup"
    back_up(data, newer)
    with pytest.raises(SchemaMismatch):
        restore(newer, new)
    assert not (new / "dts.db").exists()


def test_a_store_that_cannot_be_read_gives_no_backup(data: Path, tmp_path: Path) -> None:
    """No half of a file is left."""
    (data / "dts.db").write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(StoreUnavailable):
        back_up(data, tmp_path / "store.backup")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def _told(backup: Path, file: Path, **more: object) -> Path:
    """The backup with something else in its manifest."""
    with tarfile.open(backup) as old, tarfile.open(file, "w") as new:
        for entry in old:
            stream = old.extractfile(entry)
            assert stream is not None
            content = stream.read()
            if entry.name == "manifest.json":
                content = json.dumps(json.loads(content) | more).encode()
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return file
