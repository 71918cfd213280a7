"""What a far host runs for us: a child of the runner, or a plain command, with a guard beside it.

Its sources come through the channel (`dts_core/ssh/bootstrap.py`); nothing of it is ever written to a file there.
"""

from __future__ import annotations

import os
import sys

from dts_core.runner import guard, hardening
from dts_core.runner.plain import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

NO_COMMAND = 127
NO_PERMISSION = 126
MARKED = b":"


def main(options: dict[str, Any]) -> NoReturn:
    """Serve calls, or run `argv`, until that ends or the channel closes."""
    mark = options["mark"].encode("ascii") + MARKED
    folder = _make_folder()
    hardening.adopt_orphans()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        os.setsid()
        (_command if "argv" in options else _serve)(options, mark, folder)
    _let_go()
    status = guard.watch(child, spare_orphans="argv" in options)
    _remove(folder)
    _exit_like(status)


def _make_folder() -> str:
    """A working folder of our own: what runs here empties it, so it must never be anybody's home."""
    base = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - made with a name that nobody can guess, for the owner alone
    folder = os.path.join(base, "dts-far-" + os.urandom(12).hex())
    os.mkdir(folder, 0o700)
    return folder


def _serve(options: dict[str, Any], mark: bytes, folder: str) -> NoReturn:
    """Be a child of the runner: frames over what were standard input and output, all else to standard error."""
    from dts_core.runner import child

    if "packages" in options:
        _use_packages(options["packages"])
    # The empty one that these imports needed: `dts_core` is now the interpreter's own, or a stand-in with `job`.
    del sys.modules["dts_core"]
    os.chdir(folder)
    fd_in, fd_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    served = {"in": fd_in, "out": fd_out, "mode": "sync", "parent": os.getppid()}
    served.update(options["child"])
    child.serve(served, mark)
    os._exit(0)


def _use_packages(folder: str) -> None:
    """Put a folder of packages onto the path; it is held, so that nobody takes it away meanwhile."""
    import fcntl

    from dts_core.runner import frames

    try:
        held = os.open(os.path.join(folder, frames.PACKAGES_LOCK), os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_SH)
    except OSError:
        os.write(2, frames.NO_PACKAGES)
        os._exit(NO_COMMAND)
    sys.path.append(folder)


def _command(options: dict[str, Any], mark: bytes, folder: str) -> NoReturn:
    """Become the command; both streams begin with the mark, behind whatever a login shell has printed."""
    os.write(1, mark)
    os.write(2, mark)
    file = os.open(os.path.join(folder, "stdin"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    data = memoryview(options["stdin"])
    while data:
        data = data[os.write(file, data) :]
    os.lseek(file, 0, os.SEEK_SET)
    os.unlink(os.path.join(folder, "stdin"))
    os.dup2(file, 0)
    argv = options["argv"]
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode("utf-8", "backslashreplace"))
        os._exit(NO_PERMISSION if isinstance(error, PermissionError) else NO_COMMAND)


def _let_go() -> None:
    """Standard output and error belong to the child alone, so that their end is its end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)


def _remove(folder: str) -> None:
    """Most are empty by now; what removes a full one takes longer to load than all of this to run."""
    try:
        os.rmdir(folder)
    except OSError:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _exit_like(status: int) -> NoReturn:
    """End as the child did, so that sshd tells it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
