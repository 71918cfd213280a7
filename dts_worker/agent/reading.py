"""What a line of a log says about itself: how bad, and when. Only forms that are plain; otherwise None."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL = 5, 10, 20, 30, 40, 50
_HEAD: Final = 200
"""Characters of a line in which its level is looked for."""
_FUTURE: Final = timedelta(days=1)
_OLDEST_YEAR: Final = 1990

NAMES: Final = {
    "trace": DEBUG,
    "debug": DEBUG,
    "dbg": DEBUG,
    "fine": DEBUG,
    "info": INFO,
    "information": INFO,
    "notice": INFO,
    "log": INFO,
    "warn": WARNING,
    "warning": WARNING,
    "err": ERROR,
    "error": ERROR,
    "severe": ERROR,
    "critical": CRITICAL,
    "crit": CRITICAL,
    "fatal": CRITICAL,
    "alert": CRITICAL,
    "emerg": CRITICAL,
    "emergency": CRITICAL,
    "panic": CRITICAL,
}
_KLOG = {"I": INFO, "W": WARNING, "E": ERROR, "F": CRITICAL}
_SYSLOG = (CRITICAL, CRITICAL, CRITICAL, ERROR, WARNING, INFO, INFO, DEBUG)

_WORDS = "|".join(sorted((name.upper() for name in NAMES if name != "fine"), key=len, reverse=True))
_PRIORITY = re.compile(r"<(\d{1,3})>")
_GLOG = re.compile(r"([IWEF])(\d{2})(\d{2}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?\s")
_JSON = re.compile(
    r'"(?:level|severity|lvl|levelname|log\.level|severity_text|PRIORITY)"\s*:\s*"?(\w+)', re.ASCII
)
_PAIR = re.compile(r"\b(?:level|lvl|severity)=[\"']?(\w+)", re.ASCII)
_BRACKET = re.compile(r"\[\s*([A-Za-z]{3,11})\s*\]")
_WORD = re.compile(rf"(?<![\w/.-])({_WORDS})(?![\w/.-]|\s*=)", re.ASCII)
_PREFIX = re.compile(
    r"(?:[\w./-]{1,60}: )?(warning|error|fatal error|fatal|panic|critical)\b:", re.ASCII
)
_RAISED = re.compile(
    r"Traceback \(most recent call last\)|(?:Unhandled|Uncaught) exception|Exception (?:in thread|ignored in)",
    re.IGNORECASE,
)


def level_of(text: str) -> int | None:
    """The line's level as a number of `logging`, or None where it names none.

    Understands JSON lines, level=…, <priority> of syslog, E1012 of klog, [error], and level words in capitals.
    """
    head = text[:_HEAD]
    if head.startswith("{"):
        found = _JSON.search(text)
        return None if found is None else _json_level(found.group(1))
    if head.startswith("<"):
        found = _PRIORITY.match(head)
        if found is not None and int(found.group(1)) <= 191:
            return _SYSLOG[int(found.group(1)) & 7]
    found = _GLOG.match(head)
    if found is not None:
        return _KLOG[found.group(1)]
    return _named_level(head)


def _named_level(head: str) -> int | None:
    found = _PAIR.search(head)
    if found is not None and found.group(1).lower() in NAMES:
        return NAMES[found.group(1).lower()]
    for bracket in _BRACKET.finditer(head):
        level = NAMES.get(bracket.group(1).lower())
        if level is not None:
            return level
    found = _WORD.search(head)
    if found is not None:
        return NAMES[found.group(1).lower()]
    found = _PREFIX.match(head)
    if found is not None:
        return NAMES[found.group(1).split()[0]]
    return ERROR if _RAISED.search(head) else None


def _json_level(word: str) -> int | None:
    if not word.isdigit():
        return NAMES.get(word.lower())
    number = int(word)
    if number < 8:  # as syslog and the journal count
        return _SYSLOG[number]
    # As pino and bunyan count, ten above Python's own: of the loggers that write numbers they are by far the most.
    return min(CRITICAL, max(DEBUG, number // 10 * 10 - 10))


_ISO = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s?(Z|[+-]\d{2}:?\d{2})?"
)
_BSD = re.compile(r"(?:<\d{1,3}>)?([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2})\b")
_ACCESS = re.compile(
    r"\[(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-]\d{2}:?\d{2})\]"
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


def starts_with_time(text: str) -> bool:
    """Whether the line begins as log lines do: with an instant, perhaps in a bracket."""
    head = text[:40].lstrip("[")
    return bool(_ISO.match(head) or _BSD.match(head) or _GLOG.match(head))


def time_of(text: str, now: datetime) -> datetime | None:
    """The instant that the line names, in UTC, or None where it names none that can be true.

    Understands ISO 8601, syslog, klog, and both forms of nginx. Without a zone it is this machine's local time.
    """
    head = text[:120]
    try:
        at = _iso_time(head) or _access_time(head) or _yearless_time(head, now)
        if at is None:
            return None
        at = at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at.year >= _OLDEST_YEAR and at <= now + _FUTURE else None


def _iso_time(head: str) -> datetime | None:
    found = _ISO.search(head)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction = int((found.group(7) or "").ljust(6, "0")[:6])
    return datetime(
        year, month, day, hour, minute, min(second, 59), fraction, _zone(found.group(8))
    )


def _access_time(head: str) -> datetime | None:
    found = _ACCESS.search(head)
    if found is None or found.group(2) not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found.group(index)) for index in (1, 3, 4, 5, 6))
    month = _MONTHS[found.group(2)]
    return datetime(year, month, day, hour, minute, min(second, 59), 0, _zone(found.group(7)))


def _yearless_time(head: str, now: datetime) -> datetime | None:
    """Syslog and klog leave the year out: the newest one that is not in the future."""
    found = _BSD.match(head)
    if found is not None and found.group(1) in _MONTHS:
        parts = (_MONTHS[found.group(1)], *(int(found.group(index)) for index in (2, 3, 4, 5)))
    else:
        found = _GLOG.match(head)
        if found is None:
            return None
        parts = tuple(int(found.group(index)) for index in (2, 3, 4, 5, 6))
    month, day, hour, minute, second = parts
    for year in (now.year + 1, now.year, now.year - 1):
        try:
            at = datetime(year, month, day, hour, minute, min(second, 59)).astimezone()
        except ValueError:  # 29 February of another year
            continue
        if at <= now + _FUTURE:
            return at
    return None


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
