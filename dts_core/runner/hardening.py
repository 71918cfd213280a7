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
                import ctypes

                _Libc.found = ctypes.CDLL(None)
            except (ImportError, OSError):
                _Libc.found = None
    return _Libc.found


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
