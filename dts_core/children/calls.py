"""What is run, how it ended, and the record of one that runs."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from dts_core.model import RESULT_MAX, JobError
from dts_core.runner.frames import LineBudget

if TYPE_CHECKING:
    from dts_core.children.process import ChildProcess


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a function."""

    id: str
    """Unique among the calls that have not ended."""
    function: str
    """namespace/name"""
    hash: str
    """sha256 of `source`, in hex."""
    source: bytes
    is_async: bool = False
    python: str = ""
    """Interpreter that runs it; empty: the pool's own."""
    args: bytes = b"[]"
    """JSON array."""
    kwargs: bytes = b"{}"
    """JSON object."""
    attempt: int = 1
    submitter: str = ""
    timeout_seconds: float = 0.0
    """0: no limit."""
    grace_seconds: float = 5.0
    """From the flag to SIGTERM, and again to SIGKILL."""
    result_max: int = RESULT_MAX
    check_only: bool = False
    """Only load the source; ends like a call that returned null."""


class EndKind(StrEnum):
    """How a call ended; the process or coroutine that ran it is gone by then."""

    RETURNED = "returned"
    FAILED = "failed"  # raised, timed out, or took its process down
    CANCELLED = "cancelled"  # told to stop, and stopped
    GIVEN_BACK = "given_back"  # not its fault: run it again, charge nothing


class StopKind(StrEnum):
    """Why a call is told to stop."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    ABANDON = "abandon"  # nobody wants its result any more


class Ended(msgspec.Struct, frozen=True):
    """The end of a call."""

    kind: EndKind
    result: bytes | None = None
    """JSON, checked."""
    error: JobError | None = None
    retry: bool = True
    """Whether a failure may be tried again."""
    started_at: datetime | None = None
    """None: it never started."""
    finished_at: datetime | None = None


OnEnd = Callable[[Call, Ended], None]
OnLog = Callable[[Call, int, str], None]
"""Call, level as in logging, text (untrusted, one record)."""
OnProgress = Callable[[Call, float, str], None]
"""Call, fraction 0..1, text (untrusted)."""


class Running:
    """A call from its start to its end."""

    __slots__ = (
        "blocked_loop",
        "budget",
        "call",
        "child",
        "number",
        "on_end",
        "on_log",
        "on_progress",
        "refused",
        "started_at",
        "stop",
        "timer",
    )

    def __init__(
        self, call: Call, on_end: OnEnd, on_log: OnLog | None, on_progress: OnProgress | None
    ) -> None:
        self.call = call
        self.on_end = on_end
        self.on_log = on_log
        self.on_progress = on_progress
        self.number = 0
        self.child: ChildProcess | None = None
        self.started_at: datetime | None = None
        self.stop: StopKind | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.budget: LineBudget | None = None
        """Made with its first report: most calls have none."""
        self.refused = False
        """Its interpreter could not be started: its end is about to be told."""
        self.blocked_loop = False
        """It was found to keep its child's event loop from running."""

    def set_timer(self, timer: asyncio.TimerHandle | None) -> None:
        """Replace the timer that stands."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer
