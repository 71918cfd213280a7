"""Figures and times in the reader's words: short, with a unit, in the reader's own zone."""

from datetime import UTC, datetime

_AGE_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "m"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
ABSENT = "–"
MAIL_OFF = "mail is off: alarms are shown here alone"


def age(seconds: float | None) -> str:
    """An age in four characters or so: `0.4s`, `12s`, `3m`, `2h`, `5d`; a whole number stays whole."""
    if seconds is None:
        return ABSENT
    seconds = max(seconds, 0)
    for size, unit in _AGE_UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.1f}s" if seconds < 9.95 and isinstance(seconds, float) else f"{seconds:.0f}s"


def since(at: datetime | None, now: datetime) -> str:
    """How long ago `at` was, in whole seconds at least: nothing flickers."""
    return ABSENT if at is None else age(int((now - at).total_seconds()))


def duration(seconds: float | None) -> str:
    """How long something took: `12 ms`, `3.42 s`, `4m 05s`, `2h 07m`, `3d 04h`."""
    if seconds is None:
        return ABSENT
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02}m"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours:02}h"


def count(number: float) -> str:
    """A whole number with thousands apart."""
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """A number in at most five characters: `999`, `12.4k`, `3.1M`."""
    if number < 10_000:
        return f"{number:.0f}"
    if number < 1_000_000:
        return f"{number / 1000:.1f}k" if number < 100_000 else f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def size(octets: float) -> str:
    """Bytes with a binary unit."""
    value = float(octets)
    for unit in _SIZES:
        if value < 1024 or unit == _SIZES[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def share(fraction: float) -> str:
    """A share of the whole as a percentage, three characters wide up to 99 %."""
    return f"{min(max(fraction, 0.0), 9.99) * 100:.0f}%"


def clock(at: datetime | None, *, utc: bool = False) -> str:
    """Time of day, to the second."""
    return ABSENT if at is None else _zoned(at, utc).strftime("%H:%M:%S")


def moment(at: datetime | None, now: datetime, *, utc: bool = False) -> str:
    """Relative up to an hour, then absolute."""
    if at is None:
        return ABSENT
    ago = (now - at).total_seconds()
    if 0 <= ago < 3600:
        return f"{age(ago)} ago"
    if -3600 < ago < 0:
        return f"in {age(-ago)}"
    zoned = _zoned(at, utc)
    if zoned.date() == _zoned(now, utc).date():
        return zoned.strftime("%H:%M:%S")
    same_year = zoned.year == _zoned(now, utc).year
    return zoned.strftime("%d %b %H:%M" if same_year else "%d %b %Y")


def instant(at: datetime | None, *, utc: bool = False) -> str:
    """Date and time to the second."""
    return ABSENT if at is None else _zoned(at, utc).strftime("%Y-%m-%d %H:%M:%S")


def _zoned(at: datetime, utc: bool) -> datetime:
    return at.astimezone(UTC) if utc else at.astimezone()


def plural(number: int, noun: str) -> str:
    """`1 job`, `3 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short_id(identity: str) -> str:
    """An id shortened to its start and end; ids of one second share their start."""
    return identity if len(identity) <= 13 else f"{identity[:4]}…{identity[-6:]}"
