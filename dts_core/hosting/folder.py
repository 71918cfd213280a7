"""The data folder: made private, and refused where it could not stay so."""

import fnmatch
import os
import stat
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.text import clean

__all__ = ["prepare_folder"]

OURS: Final = (
    "dts.db*",
    "owner.lock",
    "link.sock",
    "*.json",
    "*.key",
    "*.pub",
    ".*",
    "plugins",
    "worker*",
    "logs",
    "server",
    "server-dev",
)
"""What may lie in a data folder; a folder that holds anything else is left with its mode."""
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def prepare_folder(folder: Path) -> Path:
    """Make the folder, or check the one there is; returns it absolute, with `logs` and `plugins` in it.

    A new one, an empty one and one that holds only our files get mode 0700.

    Raises:
        ConfigError: It cannot be made, read or written; it is another user's; or others may write into it.
    """
    shown = clean(str(folder))
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(folder, folder.stat())
        for name in ("logs", "plugins"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise ConfigError("is no folder.", file=shown, advice="Give a folder.") from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"the data folder cannot be used: {clean(reason)}.",
            file=shown,
            advice="Check its owner and mode, or give another with --data.",
        ) from error
    return folder


def _check(folder: Path, status: os.stat_result) -> None:
    shown = clean(str(folder))
    others_write = bool(status.st_mode & _WRITABLE_BY_OTHERS)
    is_mine = status.st_uid == os.getuid()
    if not is_mine and (others_write or os.getuid() != 0):
        raise ConfigError(
            f"the data folder belongs to user {status.st_uid}.",
            file=shown,
            advice="Give a folder of your own with --data.",
        )
    names = [entry.name for entry in os.scandir(folder)]
    if all(any(fnmatch.fnmatch(name, ours) for ours in OURS) for name in names):
        if is_mine and stat.S_IMODE(status.st_mode) != 0o700:
            folder.chmod(0o700)
    elif others_write:
        raise ConfigError(
            "others may write into this folder, and it holds more than dts data.",
            file=shown,
            advice="Give a folder of its own with --data.",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(
            "the data folder cannot be read and written.",
            file=shown,
            advice="Check its owner and mode, or give another with --data.",
        )
