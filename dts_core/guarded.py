"""Files that hold secrets: read only where nobody else can have read them."""

import os
import stat
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.text import clean

__all__ = ["read_guarded"]

FILE_MAX: Final = 1 << 16
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read_guarded(path: Path, *, what: str, missing: str, exposed: str) -> bytes:
    """The content of a plain file of mode 0600, of this user or root; at most FILE_MAX bytes.

    Args:
        path: Of the file; a link is not followed.
        what: What it is called in errors.
        missing: What to do when it is not there.
        exposed: What to do, beside changing its mode or owner, when others may have read it.

    Raises:
        ConfigError: It is not there, no plain file, another user's, or others may read it.
    """
    shown = clean(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ConfigError(f"{what} is not there.", file=shown, advice=missing) from error
    except OSError as error:
        raise ConfigError(
            f"{what} cannot be read: {error.strerror}.",
            file=shown,
            advice="Give a plain file, no link, that the server's user owns.",
        ) from error
    try:
        _check(os.fstat(descriptor), shown, what, exposed)
        return os.read(descriptor, FILE_MAX)
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, shown: str, what: str, exposed: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{what} is no plain file.", file=shown)
    if status.st_uid not in (os.getuid(), 0):
        raise ConfigError(
            f"{what} belongs to user {status.st_uid}.",
            file=shown,
            advice=f"Give it to the server's user, then {exposed}",
        )
    if status.st_mode & _OTHERS:
        raise ConfigError(
            f"others may read {what} (mode {stat.S_IMODE(status.st_mode):04o}).",
            file=shown,
            advice=f"chmod 600 {shown}, then {exposed}",
        )
