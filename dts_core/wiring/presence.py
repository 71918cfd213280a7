"""What the parts of this process say of themselves in the store, every few seconds, for whoever asks any server."""

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from dts_core import __version__
from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.model import PartState
from dts_core.names import new_id
from dts_core.stores.base import RoleStore
from dts_core.text import one_line

__all__ = ["Presence"]

BEAT_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


class Presence:
    """Says it, until `run` is cancelled.

    Args:
        store: Where.
        clock: For the time of the start.
        names: Of the parts.
        broker: The line to the broker, in words.
        signing: Id of the key that functions are signed with here.
        sealing: The keys that secret arguments are sealed to here.
    """

    def __init__(
        self,
        store: RoleStore,
        clock: Clock,
        names: Sequence[str],
        broker: Callable[[], str],
        *,
        signing: str = "",
        sealing: Sequence[str] = (),
    ) -> None:
        self._signing = signing
        self._sealing = list(sealing)
        self._store = store
        self._clock = clock
        self._broker = broker
        self._started_at = clock.now()
        self._ids = {name: new_id() for name in names}
        self._standing_by: set[str] = set()
        self.others: Callable[[], Mapping[str, str]] = dict
        """What else there is to say: name -> its state in words."""
        self._changed = asyncio.Event()
        self._others: dict[str, str] = {}

    def leads(self, name: str, on: bool) -> None:
        """A part leads, or stands by while another of its kind does; it is said at once."""
        self._changed.set()
        if on:
            self._standing_by.discard(name)
        else:
            self._standing_by.add(name)

    async def run(self) -> None:
        """Say it again and again."""
        while True:
            self._changed.clear()
            try:
                for state in self._states():
                    await self._store.save_part(state)
            except DtsError as error:
                _log.debug("the parts cannot say how they are: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._changed.wait()

    def _states(self) -> list[PartState]:
        now, host = self._clock.now(), one_line(platform.node()) or "?"
        others = self.others()
        for name in others:
            self._others.setdefault(name, new_id())
        return [
            *(
                PartState(
                    id=self._others[name],
                    name=name,
                    host=host,
                    pid=os.getpid(),
                    version=__version__,
                    started_at=self._started_at,
                    seen_at=now,
                    words=words,
                )
                for name, words in others.items()
            ),
            *self._own(now, host),
        ]

    def _own(self, now: datetime, host: str) -> list[PartState]:
        return [
            PartState(
                id=part_id,
                name=name,
                host=host,
                pid=os.getpid(),
                version=__version__,
                started_at=self._started_at,
                seen_at=now,
                broker=self._broker(),
                store="up",
                leads=name not in self._standing_by,
                signing=self._signing,
                sealing=self._sealing,
            )
            for name, part_id in self._ids.items()
        ]
