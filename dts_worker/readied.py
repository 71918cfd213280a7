"""What became of versions that a deploy told this worker to have ready: said with every heartbeat for a while."""

import time
from collections.abc import Callable
from typing import Final

from dts_core.model import Readied

__all__ = ["KEPT_MAX", "KEPT_SECONDS", "ReadiedVersions"]

KEPT_MAX: Final = 16
"""Most that are said; the oldest goes."""
KEPT_SECONDS: Final = 600.0
"""How long each is said: longer than a deploy waits, unless it was told to."""


class ReadiedVersions:
    """The answers to deploys, by their ids.

    Args:
        monotonic: The time.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, Readied]] = {}

    def __contains__(self, order: str) -> bool:
        return order in self._kept

    def add(self, readied: Readied) -> None:
        """Say this from now on."""
        self._kept.pop(readied.order, None)
        self._kept[readied.order] = (self._monotonic(), readied)
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    def said(self) -> list[Readied]:
        """What is to be said now, the newest last."""
        now = self._monotonic()
        for order, (since, _) in list(self._kept.items()):
            if now - since > KEPT_SECONDS:
                del self._kept[order]
        return [readied for _, readied in self._kept.values()]
