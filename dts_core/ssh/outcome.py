"""How a call or a command ended on one host."""

from datetime import datetime
from enum import StrEnum

import msgspec

from dts_core.errors import CommandTimedOut, DtsError, RemoteError, SessionLost, SetupFailed
from dts_core.model import JobError

__all__ = ["HostState", "Outcome", "failure"]


class HostState(StrEnum):
    """The six ways."""

    OK = "ok"  # returned; of a command, with exit status 0
    FAILED = "failed"  # raised, or ended otherwise, or was lost while it ran
    UNREACHABLE = "unreachable"  # nothing was run: no way there, no proof who it is, or no login
    TIMED_OUT = "timed_out"  # ended there when its time was over
    CANCELLED = "cancelled"  # ended there because it was told to
    NEVER_STARTED = "never_started"  # its turn did not come


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of one host. Text and bytes are the host's: untrusted."""

    host: str
    """The target's id."""
    state: HostState
    result: bytes = b""
    """What a function returned: JSON, checked."""
    error: JobError | None = None
    """Of a function that raised; else `type` is the code of our own error."""
    stdout: bytes = b""
    """Of a function: everything that it printed and logged, standard error too."""
    stderr: bytes = b""
    output_total: int = 0
    """Bytes of both; when more than were kept, the text says where some are missing."""
    stderr_total: int = 0
    """Bytes of standard error alone."""
    exit_status: int | None = None
    """Of a command; None: a signal ended it, or it did not end by itself."""
    exit_signal: str = ""
    fingerprint: str = ""
    """Of the key that a host showed which is not known or has changed."""
    started_at: datetime | None = None
    finished_at: datetime | None = None


def failure(host: str, error: DtsError, *, started_at: datetime | None = None) -> Outcome:
    """What one of our errors makes of a host."""
    state = HostState.UNREACHABLE
    if isinstance(error, CommandTimedOut):
        state = HostState.TIMED_OUT
    elif isinstance(error, SessionLost | SetupFailed) or not isinstance(error, RemoteError):
        state = HostState.FAILED
    return Outcome(
        host=host,
        state=state,
        error=JobError(type=error.code, message=str(error)),
        fingerprint=getattr(error, "fingerprint", ""),
        started_at=started_at,
    )
