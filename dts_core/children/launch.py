"""Starting a child: its pipes, its folder, its environment."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

import dts_core.runner
from dts_core.children.settings import ChildSettings

PIPE_SIZE = 1 << 18
ENVIRONMENT = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR")
"""What user code sees of our environment, and everything that starts with LC_."""
MAIN = Path(dts_core.runner.__file__).parent / "__main__.py"


class Launched(msgspec.Struct, frozen=True):
    """A process that was started, and our ends of its pipes, none of which blocks."""

    process: "subprocess.Popen[bytes]"
    folder: str
    orders: int
    """Frames to it."""
    answers: int
    """Frames from it."""
    out: int
    err: int


def launch(settings: ChildSettings, *, shared: bool, python: str = "") -> Launched:
    """Start a child: leader of its own session, nothing on standard input, no descriptor but its pipes.

    Args:
        settings: Of the pool's children.
        shared: Whether asynchronous calls share it.
        python: Its interpreter, in place of the settings' own.

    Raises:
        OSError: The interpreter cannot be started; nothing is left behind.
    """
    folder = tempfile.mkdtemp(prefix="dts-child-", dir=settings.folder or None)
    their_in, orders = os.pipe()
    answers, their_out = os.pipe()
    out, their_stdout = os.pipe()
    err, their_stderr = os.pipe()
    options = _options(settings, their_in, their_out, shared=shared)
    try:
        process = subprocess.Popen(
            [python or settings.python, "-I", "-X", "utf8", str(MAIN), options],
            stdin=subprocess.DEVNULL,
            stdout=their_stdout,
            stderr=their_stderr,
            pass_fds=(their_in, their_out),
            cwd=folder,
            env=_environment() | settings.variables,
            start_new_session=True,
        )
    except OSError:
        for fd in (orders, answers, out, err):
            os.close(fd)
        remove_folder(folder)
        raise
    finally:
        for fd in (their_in, their_out, their_stdout, their_stderr):
            os.close(fd)
    for fd in (orders, answers, out, err):
        os.set_blocking(fd, False)
    if shared:
        _widen(orders, answers)
    return Launched(process, folder, orders, answers, out, err)


def _options(settings: ChildSettings, fd_in: int, fd_out: int, *, shared: bool) -> str:
    return json.dumps(
        {
            "in": fd_in,
            "out": fd_out,
            "mode": "async" if shared else "sync",
            "host": settings.host,
            "lines": settings.lines_per_second,
            "memory": settings.memory,
            "parent": os.getpid(),
        }
    )


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name.startswith("LC_")
    }


def _widen(*fds: int) -> None:
    """Larger pipes where the system lets us: fewer turns for many small frames."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        for fd in fds:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


def remove_folder(folder: str) -> None:
    """Remove a child's folder with all that is in it; what cannot be removed stays."""
    shutil.rmtree(folder, ignore_errors=True)
