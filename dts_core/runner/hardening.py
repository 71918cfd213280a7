"""What a child gives up before it touches user code. Each step is skipped where the system does not know it."""

from __future__ import annotations

import os
import sys
import time

from dts_core.runner.plain import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
PARENT_POLL_SECONDS = 1.0


def harden(parent: int, memory: int) -> None:
    """Die with the parent, gain no privileges, leave no core file, adopt the orphans of user code.

    Args:
        parent: Process id of the worker; when it is gone already, this process ends at once.
        memory: Address space in bytes; 0: no limit.
    """
    libc = _libc()
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    else:
        import threading

        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(0)
    _limit(memory)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none is lost from sight."""
    libc = _libc()
    if libc is not None:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def flush_c_streams() -> None:
    """Push out what C code has printed but libc still buffers."""
    libc = _libc()
    if libc is not None:
        libc.fflush(None)


class _Libc:
    """libc, looked up once."""

    looked = False
    found: Any = None


def _libc() -> Any | None:
    if not _Libc.looked:
        _Libc.looked = True
        if sys.platform == "linux":
            try:
                _Libc.found = _bare_libc()
            except (ImportError, AttributeError, TypeError):
                _Libc.found = _libc_by_ctypes()
    return _Libc.found


def _bare_libc() -> Any:
    """The two functions without `ctypes`, whose comfort takes half as long to load as Python itself."""
    import _ctypes

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # what ctypes makes its own types of
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL
        _restype_ = Int

    class Libc:
        handle = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None: this process itself
        prctl = Function(_ctypes.dlsym(handle, "prctl"))
        fflush = Function(_ctypes.dlsym(handle, "fflush"))

    return Libc


def _libc_by_ctypes() -> Any | None:
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None


def _limit(memory: int) -> None:
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _watch_parent(parent: int) -> None:
    """For systems that do not signal the death of a parent."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)
