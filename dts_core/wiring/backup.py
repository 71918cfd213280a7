"""Backup and restore of the embedded store: its whole file, taken while it is used, put into a folder without one."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dts_core import __version__
from dts_core.errors import ConfigError, Conflict
from dts_core.hosting.archive import Manifest, pack, unpack
from dts_core.hosting.folder import prepare_folder
from dts_core.places import DATA_FILE
from dts_core.sqlite import OwnerLock
from dts_core.stores.embedded.backup import check_copy, copy_file, schema_of
from dts_core.text import clean

__all__ = ["back_up", "restore"]

_DRAFT: Final = ".restored.db"


def back_up(folder: Path, file: Path) -> Manifest:
    """Write the store of a data folder, as it is at this moment, into a new file of mode 0600.

    Args:
        folder: Its server may run, or not.
        file: Made; beside it there must be room for the store twice until this is done.

    Raises:
        ConfigError: The folder holds no store, or the file exists or cannot be written.
        StoreError: The store cannot be read, or the disk is full.
    """
    store = folder / DATA_FILE
    if not store.is_file():
        raise ConfigError(
            f"holds no store ({DATA_FILE}).",
            file=clean(str(folder), 400),
            advice="Name the data folder with --data. A store in MongoDB is backed up with mongodump.",
        )
    if file.exists():
        raise ConfigError(
            "exists already.", file=clean(str(file), 400), advice="Give the backup a new name."
        )
    copy = file.with_name(f".{file.name}.{os.getpid()}.db")
    taken_at = datetime.now(UTC)
    copy_file(store, copy)
    try:
        manifest = Manifest.of(copy, dts=__version__, schema=schema_of(copy), taken_at=taken_at)
        pack(file, copy, manifest)
    finally:
        copy.unlink(missing_ok=True)
    return manifest


def restore(file: Path, folder: Path) -> Manifest:
    """Put the store of a backup into a folder that holds none; whole or not at all.

    Args:
        file: A backup.
        folder: Made where it is not there; keys and plugins may lie in it.

    Raises:
        Conflict: The folder holds a store.
        AlreadyOwned: A process uses the folder.
        ConfigError: The file is no backup, or damaged; the folder cannot be used.
        SchemaMismatch: A newer version took it.
        StoreUnavailable: The store in it is damaged.
    """
    folder = folder.expanduser().absolute()
    _check_free(folder)
    folder = prepare_folder(folder)
    lock = OwnerLock(folder)
    draft = folder / _DRAFT
    try:
        _check_free(folder)
        draft.unlink(missing_ok=True)
        manifest = unpack(file, draft)
        check_copy(draft)
        draft.rename(folder / DATA_FILE)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        for left in folder.glob(f"{_DRAFT}*"):
            left.unlink(missing_ok=True)
        lock.release()
    return manifest


def _check_free(folder: Path) -> None:
    held = sorted(folder.glob(f"{DATA_FILE}*"))
    if held:
        raise Conflict(
            f"{clean(str(held[0]), 400)}: this folder holds a store, which is left as it is.",
            advice="Give another folder with --data, or move that store's files away first.",
        )
