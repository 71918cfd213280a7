"""A lock among processes of one machine, held by a file that stays."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.text import clean

__all__ = ["only_one"]

WAIT_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.02


@contextmanager
def only_one(file: Path, *, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Let one holder at a time inside, among all processes; whoever dies lets go of it.

    Args:
        file: Made where it is not there; empty, of mode 0600. Its folder must be there.
        seconds: How long to wait for the others.

    Raises:
        ConfigError: The file cannot be made, or another process holds it all the time.
    """
    shown = clean(str(file))
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise ConfigError(
            f"the lock cannot be made: {error.strerror}.",
            file=shown,
            advice="Check the folder's owner and mode.",
        ) from error
    try:
        _wait(descriptor, shown, seconds)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, shown: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            _take(descriptor)
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"another process has held this lock for {seconds:g} s.",
                    file=shown,
                    advice="Look for a dts command that hangs, end it, and try again.",
                ) from error
            time.sleep(LOOK_SECONDS)
        else:
            return


def _take(descriptor: int) -> None:
    """Lock it, or raise OSError at once; closing the file unlocks it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
