"""When a figure counts as flat: what its trend over the second half of a run adds up to, against a stated bound."""

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from benchmarks.figures import slope

MIB: Final = 1 << 20
MEMORY_SHARE: Final = 0.05
MEMORY_MIB: Final = 4.0
DESCRIPTORS: Final = 4.0
"""Connections of clients come and go."""
ENDS: Final = 5
"""Samples that are averaged at each end."""


class Sample(msgspec.Struct, frozen=True):
    """One look at one part: bytes and a count."""

    part: str
    minutes: float
    rss: int
    anonymous: int
    descriptors: int


class Verdict(msgspec.Struct, frozen=True):
    """Of one figure of one part; memory in MiB."""

    part: str
    what: str
    """rss | anonymous | files"""
    first: float
    middle: float
    last: float
    growth: float
    """By the trend, from the middle of the run to its end."""
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Whether it grows no more than allowed."""
        return self.growth <= self.allowed


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    """One verdict for each figure of each part.

    Memory may grow by 5 % or 4 MiB, whichever is more, over the second half; open files by 4.
    """
    verdicts = []
    for part in dict.fromkeys(sample.part for sample in samples):
        own = [sample for sample in samples if sample.part == part]
        for what, points in (
            ("rss", [(each.minutes, each.rss / MIB) for each in own]),
            ("anonymous", [(each.minutes, each.anonymous / MIB) for each in own]),
            ("files", [(each.minutes, float(each.descriptors)) for each in own]),
        ):
            verdicts.append(_verdict(part, what, points))
    return verdicts


def _verdict(part: str, what: str, points: Sequence[tuple[float, float]]) -> Verdict:
    half = points[len(points) // 2 :]
    growth = slope(half) * (half[-1][0] - half[0][0])
    level = statistics.fmean(value for _, value in half)
    allowed = DESCRIPTORS if what == "files" else max(MEMORY_SHARE * level, MEMORY_MIB)
    return Verdict(
        part=part,
        what=what,
        first=_mean(points[:ENDS]),
        middle=_mean(half[:ENDS]),
        last=_mean(half[-ENDS:]),
        growth=growth,
        allowed=allowed,
    )


def _mean(points: Sequence[tuple[float, float]]) -> float:
    return statistics.fmean(value for _, value in points)
