"""Logs lines and reports progress."""

import logging
import time
from typing import Literal

from dts_core import job

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def main(
    count: int = 10,
    delay_seconds: float = 0.5,
    level: Literal["debug", "info", "warning", "error"] = "info",
) -> dict[str, object]:
    """Take some steps, with a log line and a progress report for each.

    Args:
        count: Number of steps, 1 to 10000.
        delay_seconds: Pause before each step, 0 to 60.
        level: Level of the log lines.

    Returns:
        `steps` taken and `complete`, which is false when the job was cancelled on the way.
    """
    if not 1 <= count <= 10_000:
        raise ValueError(f"count is {count}; it must be 1 to 10000")
    if not 0 <= delay_seconds <= 60:
        raise ValueError(f"delay_seconds is {delay_seconds}; it must be 0 to 60")
    taken = 0
    while taken < count and _wait(delay_seconds):
        taken += 1
        job.logger.log(_LEVELS[level], "step %d of %d", taken, count)
        job.progress(taken / count, f"step {taken} of {count}")
    return {"steps": taken, "complete": taken == count}


def _wait(seconds: float) -> bool:
    """Sleep in short naps; false as soon as the job is cancelled."""
    end = time.monotonic() + seconds
    while not job.cancelled:
        left = end - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, 0.1))
    return False
