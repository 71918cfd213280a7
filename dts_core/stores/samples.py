"""How a host's fine samples become minute means."""

from statistics import fmean
from typing import Final

from dts_core.model import HostSample
from dts_core.stores.fields import instant

FINE: Final = 0
MINUTE: Final = 1
MINUTE_MICROS: Final = 60_000_000


def start_of_minute(at: int) -> int:
    """The start of the minute of an instant, both in microseconds."""
    return at // MINUTE_MICROS * MINUTE_MICROS


def mean(at: int, points: list[HostSample]) -> HostSample:
    """One sample that stands for several, at microsecond `at`."""
    return HostSample(
        at=instant(at),
        cpu=fmean(point.cpu for point in points),
        memory=fmean(point.memory for point in points),
        disk=fmean(point.disk for point in points),
        running=round(fmean(point.running for point in points)),
        load1=fmean(point.load1 for point in points),
        received=fmean(point.received for point in points),
        sent=fmean(point.sent for point in points),
    )
