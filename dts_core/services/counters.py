"""Figures that parts of one process count, for `/metrics`."""

from collections.abc import Iterator

Labels = tuple[tuple[str, str], ...]


class Counters:
    """Named numbers with labels. Names are of a fixed set of code places, labels of bounded sets: it cannot grow.

    Not safe against concurrent threads: call it from the loop's thread.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count `amount` more."""
        key = (name, tuple(labels.items()))
        self._values[key] = self._values.get(key, 0.0) + amount

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a figure that goes up and down."""
        self._values[name, tuple(labels.items())] = value

    def value(self, name: str, **labels: str) -> float:
        """The figure; 0 when nothing was counted yet."""
        return self._values.get((name, tuple(labels.items())), 0.0)

    def __iter__(self) -> Iterator[tuple[str, Labels, float]]:
        for (name, labels), value in sorted(self._values.items()):
            yield name, labels, value
