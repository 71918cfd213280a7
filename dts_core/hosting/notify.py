"""What a service manager is told: sd_notify(3) over the Unix datagram socket that it names in the environment.

Nothing here fails: a manager that is not there, or does not read, is no reason to stop working.
"""

import logging
import os
import socket
from collections.abc import MutableMapping
from typing import Final

from dts_core.text import one_line

__all__ = ["Notifier"]

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"
STATUS_MAX: Final = 200
"""Longest line of status, in characters."""
_log = logging.getLogger(__name__)


class Notifier:
    """Tells the manager how this process is. Without one, every call does nothing.

    Args:
        address: Of its socket: a path, or `@name` for an abstract one; empty: there is no manager.
        watchdog_seconds: The manager ends this process when it hears no ping for so long; 0: it does not wait for any.
    """

    def __init__(self, address: str = "", *, watchdog_seconds: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds
        self._status = ""
        self._owed = ""
        """What did not pass and has to: that this process is ready."""
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> "Notifier":
        """The one that the environment names. Its variables are taken out: they are not for what we start."""
        address = environ.pop(SOCKET, "")
        microseconds = environ.pop(WATCHDOG, "")
        pid = environ.pop(WATCHDOG_PID, "")
        if not address.startswith(("/", "@")):
            return cls()
        is_ours = pid in ("", str(os.getpid()))
        seconds = int(microseconds) / 1e6 if microseconds.isdecimal() and is_ours else 0.0
        return cls(address, watchdog_seconds=seconds)

    @property
    def is_heard(self) -> bool:
        """Whether there is a manager at all."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Everything that others wait for is there."""
        self._status = self._line(status)
        self._owed = f"READY=1\nSTATUS={self._status}"
        self._pay()

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def status(self, text: str) -> None:
        """One line for people (`systemctl status`); a line that has passed is not sent again."""
        self._pay()
        line = self._line(text)
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def ping(self) -> None:
        """Keep the watchdog quiet for another while."""
        self._pay()
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Say nothing any more. A second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def _line(text: str) -> str:
        return one_line(text, STATUS_MAX)

    def _pay(self) -> None:
        if self._owed and self._send(self._owed):
            self._owed = ""

    def _send(self, text: str) -> bool:
        """Whether the manager has it."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:  # it does not read, or is gone; the next message may pass
            _log.debug("the service manager was not told: %s", error)
            return False
        return True
