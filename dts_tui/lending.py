"""The terminal lent to another program while the console steps aside; it comes back as it was."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

__all__ = ["Suspend", "lend"]

Suspend = Callable[[], AbstractContextManager[None]]


def lend(
    arguments: Sequence[str],
    suspend: Suspend,
    *,
    env: Mapping[str, str] | None = None,
    hears: bool = False,
) -> tuple[int, str]:
    """Run a program on this terminal until it ends.

    Args:
        arguments: Its words.
        suspend: Makes the console step aside.
        env: For its environment, beside our own.
        hears: Whether what it says on standard error is kept from the screen and returned.

    Returns:
        Its exit status, and what it said.

    Raises:
        OSError: It did not start.
        SuspendNotSupported: This terminal cannot be lent.
    """
    error = subprocess.PIPE if hears else None
    with suspend(), _interrupts_are_its_own(), _kept_as_it_was():
        done = subprocess.run(
            list(arguments), check=False, env={**os.environ, **(env or {})}, stderr=error
        )
    return done.returncode, (done.stderr or b"").decode("utf-8", "replace")


@contextmanager
def _interrupts_are_its_own() -> Iterator[None]:
    """ctrl+c reaches every process of the terminal, and would end the console behind the program.

    A handler that does nothing, and not SIG_IGN, which the program would inherit.
    """

    def nothing(number: int, frame: FrameType | None) -> None:
        del number, frame

    before = signal.signal(signal.SIGINT, nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _kept_as_it_was() -> Iterator[None]:
    """A program that was killed leaves the terminal in its own mode."""
    if sys.platform == "win32":
        yield
        return
    import termios

    before: list[Any] | None = None
    with contextlib.suppress(OSError, ValueError, termios.error):
        before = termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ else None
    try:
        yield
    finally:
        if before is not None and sys.__stdin__:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSADRAIN, before)
