"""Figures of several repetitions brought together."""

import statistics
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def medians(repetitions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure, nested ones alike; what is no number is taken from the first repetition.

    A figure that is missing in some repetitions is the median of the others.
    """
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in repetitions for name in each):
        values = [each[name] for each in repetitions if name in each]
        if isinstance(values[0], dict):
            merged[name] = medians(values)
        elif isinstance(values[0], int | float) and not isinstance(values[0], bool):
            merged[name] = statistics.median(values)
        else:
            merged[name] = values[0]
    return merged


def spread(repetitions: Sequence[dict[str, Any]], *path: str) -> list[float]:
    """The lowest and the highest value of one figure over the repetitions that have it; empty when none has."""
    values = []
    for each in repetitions:
        value: Any = each
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            values.append(float(value))
    return [min(values), max(values)] if values else []


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second value grows for one of the first, by least squares; 0.0 for fewer than two points."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    upper = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return upper / sum((x - mean_x) ** 2 for x, _ in points)
