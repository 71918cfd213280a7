"""What a look found: good, doubtful or wrong, each with what to do."""

from enum import StrEnum

import msgspec

__all__ = ["Finding", "Level", "ok", "problem", "warning"]


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One line."""

    level: Level
    area: str
    """broker, store, host"""
    what: str
    advice: str = ""


def ok(area: str, what: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, area, what)


def warning(area: str, what: str, advice: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(Level.WARNING, area, what, advice)


def problem(area: str, what: str, advice: str) -> Finding:
    """A promise is not kept until it is mended."""
    return Finding(Level.PROBLEM, area, what, advice)
