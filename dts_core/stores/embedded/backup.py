"""Copies of the embedded store's file: taken at one moment while its owner writes, looked at before they are used."""

import os
from pathlib import Path
from typing import Final

import apsw

from dts_core.errors import SchemaMismatch, StoreUnavailable
from dts_core.sqlite import SCHEMA_VERSION, connect, unavailable

__all__ = ["check_copy", "copy_file", "schema_of"]

PAGES: Final = 4096
"""Pages of 4 KiB copied at once: between two steps the copying can be interrupted."""


def copy_file(path: Path, to: Path) -> None:
    """Copy the store's file as it is at this moment, whoever writes to it meanwhile; the writers do not wait.

    Args:
        path: The file; it is left as it is.
        to: A new file, made with mode 0600, whole and synced when this returns.

    Raises:
        StoreUnavailable: One of the two cannot be opened, or the disk is full. Nothing is left at `to`.
    """
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        source = connect(path, readonly=True)
        try:
            _copy(source, to)
        finally:
            source.close()
        descriptor = os.open(to, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException as error:
        to.unlink(missing_ok=True)
        if isinstance(error, apsw.Error):
            raise unavailable(error, path) from error
        raise


def _copy(source: apsw.Connection, to: Path) -> None:
    copy = apsw.Connection(str(to))
    try:
        # What is read first fixes the moment: all steps see it, and none begins anew because of a write.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
        # One file alone, without a log beside it.
        copy.pragma("journal_mode", "delete")
    finally:
        copy.close()


def schema_of(path: Path) -> int:
    """The schema that a copy says it has; 0 when dts has not written it. Raises StoreUnavailable: it is no database."""
    connection = connect(path, readonly=True)
    try:
        return int(connection.pragma("user_version"))
    except apsw.Error as error:
        raise unavailable(error, path) from error
    finally:
        connection.close()


def check_copy(path: Path) -> None:
    """Let pass a copy that this version can go on with: sound, and not newer.

    Raises:
        StoreUnavailable: It is damaged.
        SchemaMismatch: A newer version wrote it, or another program.
    """
    found = schema_of(path)
    if not 0 < found <= SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the store in the backup has schema {found}, this version reads up to {SCHEMA_VERSION}.",
            advice="Restore it with the dts that wrote it, or a newer one.",
        )
    connection = connect(path, readonly=True)
    try:
        said = str(connection.pragma("quick_check"))
    except apsw.Error as error:
        raise unavailable(error, path) from error
    finally:
        connection.close()
    if said != "ok":
        raise StoreUnavailable(
            f"the store in the backup is damaged: {said[:200]}", advice="Take an older backup."
        )
