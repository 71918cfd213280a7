"""The end of the terminal: a console without one ends, also where SIGHUP is ignored (nohup, some supervisors).

Textual would stay: its writing thread has died by then, so the loop blocks on its full queue, and its reading thread
spins on a descriptor that is always readable.
"""

import os
import select
import signal
import threading
from typing import Final

__all__ = ["end_with_terminal"]

STATUS: Final = 128 + signal.SIGHUP if hasattr(signal, "SIGHUP") else 1


def end_with_terminal(descriptor: int = 0) -> None:
    """End this process as soon as its terminal is gone: there is nobody to say good-bye to, and nothing unsaved."""
    if hasattr(select, "poll"):
        threading.Thread(target=_wait, args=(descriptor,), name="hangup", daemon=True).start()


def _wait(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # a hangup is always told, asked or not
    poll.poll()
    os._exit(STATUS)
