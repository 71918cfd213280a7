"""What became of a function's jobs, by the version that they run."""

from collections.abc import Sequence
from typing import Final

from dts_core.model import Job
from dts_core.states import FINAL, JobState
from dts_core.views import FunctionOutcomes, VersionOutcomes

__all__ = ["OUTCOMES_MAX", "outcomes"]

OUTCOMES_MAX: Final = 500
"""Newest jobs that are looked at: one page of the store."""
_FAILED: Final = frozenset({JobState.FAILED, JobState.DEAD})


def outcomes(function: str, jobs: Sequence[Job], *, is_all: bool) -> FunctionOutcomes:
    """Count some jobs of a function, newest first.

    Args:
        function: namespace/name.
        jobs: Of this function alone.
        is_all: Whether it has no others.
    """
    counts: dict[str, dict[str, int]] = {}
    for job in jobs:
        kinds = counts.setdefault(job.running_version, {})
        kind = _kind(job.state)
        kinds[kind] = kinds.get(kind, 0) + 1
    return FunctionOutcomes(
        function=function,
        looked_at=len(jobs),
        is_all=is_all,
        versions=[VersionOutcomes(version=each, **kinds) for each, kinds in counts.items()],
    )


def _kind(state: JobState) -> str:
    if state not in FINAL:
        return "open"
    if state is JobState.DONE:
        return "done"
    return "failed" if state in _FAILED else "ended"
