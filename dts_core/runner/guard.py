"""Stands between sshd and what runs for us on a far host: when the channel closes, everything below ends.

sshd itself ends nothing: without a terminal a command lives on when its connection is gone. The guard reads no input,
so it sees the end of the channel even while the one that should read it is busy.
"""

from __future__ import annotations

import os
import select
import time

from dts_core.runner.plain import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HANG_UP = getattr(select, "POLLRDHUP", 0)
"""Linux: the other side of a socket writes no more, unread bytes or not; of a pipe POLLHUP tells it unasked."""
REAP_ROUNDS = 200
REAP_SECONDS = 0.01


def watch(child: int, *, spare_orphans: bool) -> int:
    """Wait until the child has ended or the channel is closed; then end what is left.

    Args:
        child: A session leader that this process has forked.
        spare_orphans: Whether what the child left running lives on when the child ends by itself.

    Returns:
        The child's wait status.
    """
    woken = _wake_at_end_of_child()
    poll = select.poll()
    poll.register(0, HANG_UP)
    poll.register(woken, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd != woken:
                from dts_core.runner.family import kill_tree

                kill_tree(child)
                return _end(child)
            os.read(woken, 512)
        status = _reap(child)
        if status is not None:
            if not spare_orphans:
                _end(child)
            return status


def _wake_at_end_of_child() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, _nothing)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.kill(os.getpid(), signal.SIGCHLD)  # the child may have ended before anybody listened
    return reader


def _nothing(_number: int, _frame: Any) -> None:
    return None


def _reap(child: int) -> int | None:
    """Bury who has ended; the child's status when it is among them, else None."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        if pid == child:
            found = status


def _end(child: int) -> int:
    """End what is below this process, and wait until it is gone; the child's status if it comes up."""
    from dts_core.runner.family import kill_below

    found = int(signal.SIGKILL)
    for _ in range(REAP_ROUNDS):
        kill_below(os.getpid())
        status = _reap(child)
        found = found if status is None else status
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            break
        time.sleep(REAP_SECONDS)
    return found
