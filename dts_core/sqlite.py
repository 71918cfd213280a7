"""One process's SQLite file: an owner lock, one writing thread with group commit, reading threads beside it.

All writes of all tasks that wait at the same moment become one transaction. A write that asks to be `durable` is
answered only after the write-ahead log was synced to the disk; the others ride along and are synced with the next
durable one.
Since the log is a sequence, what a later write survives, every earlier one survives too.
"""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from dts_core.errors import AlreadyOwned, SchemaMismatch, StoreError, StoreUnavailable

T = TypeVar("T")
Connection = apsw.Connection
GROUP_MAX: Final = 256
"""Most writes in one transaction: bounds how long the first of them waits."""
BUSY_SECONDS: Final = 5.0


class _Write:
    __slots__ = ("durable", "error", "future", "result", "work")

    def __init__(
        self, work: Callable[[Connection], Any], durable: bool, future: asyncio.Future[Any] | None
    ) -> None:
        self.work = work
        self.durable = durable
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Database:
    """The file and its threads. Open with `open_database`, close once with `close`.

    Methods are called from the loop's thread; `work` runs in another one and must touch nothing but its arguments and
    the connection.
    """

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, *, vfs: str | None = None
    ) -> None:
        self.path = path
        self._loop = loop
        self._vfs = vfs
        self._writer = connect(path, vfs=vfs)
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="dts-read")
        self._open_readers: list[Connection] = []
        self._closed = False
        self._synced = ""
        self.commits = 0
        self.on_background_error: Callable[[BaseException], None] = lambda error: None
        self._thread = threading.Thread(target=self._write_loop, name="dts-write", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Writes that wait for their group's turn."""
        return self._writes.qsize()

    def write_soon(self, work: Callable[[Connection], Any]) -> None:
        """Have `work` run in order, without waiting for it and without asking for a sync."""
        self._put(_Write(work, False, None))

    def write(self, work: Callable[[Connection], T], *, durable: bool = False) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future's result comes after the commit.

        Either everything that `work` wrote is kept or, when it raises, nothing; other writes of the same group are
        not touched by its failure.

        Args:
            work: Called with the writing connection, in the writing thread.
            durable: Answer only after the log is synced: survives loss of power.

        Raises:
            StoreUnavailable: The disk refuses, or the database is closed. Nothing of `work` is kept.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Write(work, durable, future))
        return future

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reading connection that sees the last commit.

        Raises:
            StoreUnavailable: The file cannot be read, or the database is closed.
        """
        if self._closed:
            raise StoreUnavailable("the data folder is closed.")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish what was accepted, sync it, close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for reader in self._open_readers:
            reader.close()
        self._writer.close()

    def _put(self, write: _Write) -> None:
        if self._closed:
            raise StoreUnavailable("the data folder is closed.")
        self._writes.put(write)

    def _read(self, work: Callable[[Connection], T]) -> T:
        reader: Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = connect(self.path, vfs=self._vfs, readonly=True)
            self._local.reader = reader
            self._open_readers.append(reader)
        try:
            reader.execute("BEGIN")
            try:
                return work(reader)
            finally:
                reader.execute("ROLLBACK")
        except apsw.Error as error:
            raise unavailable(error) from error

    def _write_loop(self) -> None:
        while True:
            group, stop = self._next_group()
            if group:
                self._commit(group)
                waiting = [write for write in group if write.future is not None or write.error]
                if waiting:
                    with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
                        self._loop.call_soon_threadsafe(self._settle, waiting)
            if stop:
                with contextlib.suppress(apsw.Error):
                    self._writer.pragma("wal_checkpoint(TRUNCATE)")
                return

    def _next_group(self) -> tuple[list[_Write], bool]:
        first = self._writes.get()
        if first is None:
            return [], True
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                more = self._writes.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return group, True
            group.append(more)
        return group, False

    def _commit(self, group: list[_Write]) -> None:
        connection = self._writer
        try:
            self._set_sync("FULL" if any(write.durable for write in group) else "NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for write in group:
                self._run(write)
            connection.execute("COMMIT")
            self.commits += 1
        except Exception as error:  # noqa: BLE001 - this thread goes on, and whoever waits is told
            if connection.in_transaction:
                with contextlib.suppress(apsw.Error):
                    connection.execute("ROLLBACK")
            failure = unavailable(error)
            for write in group:
                write.error = write.error or failure

    def _run(self, write: _Write) -> None:
        connection = self._writer
        connection.execute("SAVEPOINT one")
        try:
            write.result = write.work(connection)
        except apsw.FullError:
            raise
        except Exception as error:  # noqa: BLE001 - belongs to whoever asked, goes there by the future
            connection.execute("ROLLBACK TO one")
            write.error = unavailable(error) if isinstance(error, apsw.Error) else error
        connection.execute("RELEASE one")

    def _set_sync(self, level: str) -> None:
        if level != self._synced:
            self._writer.execute(f"PRAGMA synchronous={level}")
            self._synced = level

    def _settle(self, writes: list[_Write]) -> None:
        for write in writes:
            if write.future is None:
                if write.error is not None:
                    self.on_background_error(write.error)
            elif write.future.done():
                continue
            elif write.error is not None:
                write.future.set_exception(write.error)
            else:
                write.future.set_result(write.result)


def one_row(connection: Connection, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row that a statement answers with, None when there is none."""
    row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
    return row


def all_rows(connection: Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Every row that a statement answers with."""
    rows: list[tuple[Any, ...]] = connection.execute(sql, values).fetchall()
    return rows


def connect(path: Path, *, vfs: str | None = None, readonly: bool = False) -> Connection:
    """A connection with this project's settings: write-ahead log, foreign keys off, memory for sorting.

    Raises:
        StoreUnavailable: The file cannot be opened.
    """
    flags = (
        apsw.SQLITE_OPEN_READONLY
        if readonly
        else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    )
    try:
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=400)
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        if vfs is not None:
            # Another file system layer brings no shared memory: the log's index then lives in this process.
            connection.pragma("locking_mode", "exclusive")
        if not readonly:
            connection.pragma("journal_mode", "wal")
            connection.pragma("wal_autocheckpoint", 4000)
            connection.pragma("journal_size_limit", 64 << 20)
            connection.pragma("fullfsync", True)  # macOS: a plain sync stops at the drive's cache
        connection.pragma("temp_store", 2)
        connection.pragma("cache_size", -65536)
        # Not mapped: the file's pages would count as memory of this process, up to its whole size, and an error of the
        # disk would end it (SIGBUS) where it now is an error that can be told.
        connection.pragma("mmap_size", 0)
    except apsw.Error as error:
        raise unavailable(error, path) from error
    return connection


def unavailable(error: BaseException, path: Path | None = None) -> StoreError:
    """Map what SQLite raises to an error of ours, for people."""
    where = f" {path}" if path else ""
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(
            f"the disk of the data folder{where} is full.",
            advice="Make room; it goes on by itself.",
        )
    if isinstance(error, apsw.CantOpenError | apsw.PermissionsError | apsw.ReadOnlyError):
        return StoreUnavailable(
            f"the data file{where} cannot be opened for writing.",
            advice="Check its owner and mode.",
        )
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return StoreUnavailable(
            f"the data file{where} is damaged: {error}", advice="Restore it from a copy."
        )
    return StoreUnavailable(f"the data file{where} does not answer: {error}")


class OwnerLock:
    """Holds a data folder for this process, until released or the process ends.

    Raises:
        AlreadyOwned: Another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        self._file = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise AlreadyOwned(
                f"the data folder {folder} is in use by process {owner}.",
                advice="Stop that one first, or give another --data folder.",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the folder free. A second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


SCHEMA_VERSION: Final = 5
Migrations = Mapping[int, Callable[[Connection], None]]


def prepare(
    path: Path, schema: str, migrations: Migrations, *, version: int = SCHEMA_VERSION
) -> None:
    """Make the file's schema this version's: create it, leave it, or migrate it in one transaction after a copy.

    The copy stays beside the file as NAME.schemaN.bak. Called by the owner, before the file is opened.

    Args:
        path: The file; created, mode 0600, when it is not there.
        schema: The whole schema of `version`, for a new file.
        migrations: version -> what brings a file of that version to the next.
        version: This program's schema.

    Raises:
        SchemaMismatch: Written by a newer version, too old to migrate, or by another program. The file is untouched.
        StoreUnavailable: It cannot be opened, or the disk is full. The file is as it was.
    """
    found = _found_version(path)
    if found == version:
        return
    if found is not None:
        _check_migratable(path, found, version, migrations)
        _copy(path, path.with_name(f"{path.name}.schema{found}.bak"))
    else:
        path.touch(mode=0o600)
    connection = connect(path)
    try:
        with connection:
            if found is None:
                connection.execute(schema)
            for old in range(version if found is None else found, version):
                migrations[old](connection)
            connection.execute(f"PRAGMA user_version={version}")
    except apsw.Error as error:
        raise unavailable(error, path) from error
    finally:
        connection.close()


def _found_version(path: Path) -> int | None:
    """The file's schema, None when it holds nothing yet; looks through a connection that cannot write."""
    if not path.exists() or not path.stat().st_size:
        return None
    connection = connect(path, readonly=True)
    try:
        found = int(connection.pragma("user_version"))
        holds_nothing = not connection.execute("SELECT count(*) FROM sqlite_master").get
    except apsw.Error as error:
        raise unavailable(error, path) from error
    finally:
        connection.close()
    return None if found == 0 and holds_nothing else found


def _check_migratable(path: Path, found: int, version: int, migrations: Migrations) -> None:
    if found == 0:
        raise SchemaMismatch(
            f"the file {path} was not written by dts.", advice="Give another --data folder."
        )
    if found > version:
        raise SchemaMismatch(
            f"the data file {path} has schema {found}, this version reads {version}.",
            advice="Use the dts that wrote it, or another --data folder.",
        )
    if any(old not in migrations for old in range(found, version)):
        raise SchemaMismatch(
            f"the data file {path} has schema {found}, too old for this version ({version}).",
            advice="Upgrade through a version in between.",
        )


def _copy(path: Path, copy: Path) -> None:
    """Copy a file, whole and synced; a copy that an earlier try left behind is replaced."""
    copy.unlink(missing_ok=True)
    connection = connect(path)
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
    except apsw.Error as error:
        copy.unlink(missing_ok=True)
        raise unavailable(error, path) from error
    finally:
        connection.close()
    copy.chmod(0o600)
    for name in (copy, copy.parent):
        handle = os.open(name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
