"""How far the hosts of a fan-out are: one record a host of the job, the truth of what ran there."""

from datetime import datetime
from typing import Final

from dts_core.model.base import Document
from dts_core.model.jobs import JobError

__all__ = ["RUNNING", "HostOutput", "HostRun"]

RUNNING: Final = "running"
"""The state of a host whose end is not known."""


class HostOutput(Document, frozen=True, kw_only=True):
    """What a host printed and returned, within bounds. Untrusted bytes."""

    stdout: bytes = b""
    """Of a function: all that it printed and logged."""
    stderr: bytes = b""
    result: bytes = b""
    """What a function returned, as JSON."""
    stdout_total: int = 0
    """Bytes that came of it. Of a host that runs the newest are held; of one that has ended begin and end."""
    stderr_total: int = 0


class HostRun(Document, frozen=True, kw_only=True):
    """One host of one job. Hosts that have none were not begun, or nothing could be run there so far."""

    job: str
    host: str
    """Id of the virtual host."""
    epoch: int
    """Of the job's claim that wrote it."""
    seq: int
    """Grows with each record of the job: whoever read up to one asks for those above it."""
    state: str
    """running, or one of the ends: ok | failed | unreachable | timed_out | cancelled"""
    exit_status: int | None = None
    exit_signal: str = ""
    error: JobError | None = None
    """Why it did not end ok; of what no host raised, `type` is a code of ours."""
    digest: str = ""
    """Of how it ended and all that it printed: the same for hosts with the same answer."""
    output_total: int = 0
    """Bytes that it printed; more than are kept when the output says that some are left out."""
    fingerprint: str = ""
    """Of a host key that is not pinned, or not the pinned one."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: HostOutput | None = None
    """Only where it is asked for."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.state != RUNNING
