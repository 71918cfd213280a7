"""Every part that runs, with its connections, in words."""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.model import PartState
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import PartView

PROBE_SECONDS: Final = 2.0
"""How long the store and the broker may take to answer a probe."""
QUIET_SECONDS: Final = 15.0
"""A part that said nothing for so long is said to be quiet."""
WITHIN_SECONDS: Final = 120.0
LINK: Final = "link "
"""Prefix of the components that are links of workers."""
UP: Final = "up"
Components = Callable[[], Mapping[str, str]]


class Parts:
    """Puts together what this process knows of its own parts and what others say of themselves in the store.

    Args:
        store: Where parts of other processes say how they are.
        ask_broker: A real question to the broker.
        clock: For ages.
        components: part of this process -> its state in words; asked anew each time.
    """

    def __init__(
        self,
        store: Store,
        ask_broker: Callable[[], Awaitable[object]],
        clock: Clock,
        components: Components,
    ) -> None:
        self._store = store
        self._ask_broker = ask_broker
        self._clock = clock
        self._components = components

    def own(self) -> dict[str, str]:
        """Part of this process -> its state in words."""
        return {"server": UP, **self._components()}

    async def all(self) -> list[PartView]:
        """Store and broker first, then the parts of this process, then those of others."""
        ends, said = await asyncio.gather(self._ends(), self._said())
        here = (platform.node(), os.getpid())
        twice = {part.name for part in said if (part.host, part.pid) == here}
        own = [
            _own_view(name, clean(words, 300))
            for name, words in self.own().items()
            if name not in twice
        ]
        now = self._clock.now()
        return [*ends, *own, *(_view(part, now) for part in said)]

    async def probe(self) -> dict[str, str]:
        """store, broker -> "up", or what is wrong: a real read of the one, a real question to the other."""
        return {end.name: UP if end.state == UP else end.words for end in await self._ends()}

    async def _ends(self) -> list[PartView]:
        return list(
            await asyncio.gather(
                _probed("store", self._store.ping), _probed("broker", self._ask_broker)
            )
        )

    async def _said(self) -> list[PartState]:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self._store.parts(within_seconds=WITHIN_SECONDS)
        except (DtsError, TimeoutError):
            return []  # what is wrong with the store stands in its own line


async def _probed(name: str, ask: Callable[[], Awaitable[object]]) -> PartView:
    begun = time.monotonic()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await ask()
    except TimeoutError:
        return PartView(name=name, state="away", words=f"no answer within {PROBE_SECONDS:g} s")
    except DtsError as error:
        return PartView(name=name, state="away", words=clean(str(error), 300))
    took = (time.monotonic() - begun) * 1000
    return PartView(name=name, state=UP, words=f"up, answers in {took:.1f} ms")


def _launched_view(part: PartState) -> PartView:
    words = clean(part.words, 300)
    return PartView(
        name=part.name,
        state=UP if _is_up(words) else "away",
        words=words,
        host=part.host,
        pid=part.pid,
        version=part.version,
        started_at=part.started_at,
        seen_at=part.seen_at,
    )


def _own_view(name: str, words: str) -> PartView:
    if name.startswith(LINK):
        return PartView(name=name, state=UP, words=f"up, {words}")
    return PartView(name=name, state=UP if _is_up(words) else "away", words=words)


def _is_up(words: str) -> bool:
    return words.split(" ", maxsplit=1)[0].rstrip(",:;") == UP


def _view(part: PartState, now: datetime) -> PartView:
    silent = (now - part.seen_at).total_seconds()
    if part.words and silent <= QUIET_SECONDS:
        return _launched_view(part)
    ends = {"broker": part.broker, "store": part.store}
    said = [f"{name} {clean(words, 200)}" for name, words in ends.items() if words]
    if silent > QUIET_SECONDS:
        state, first = "quiet", f"not heard for {silent:.0f} s"
    elif not all(_is_up(words) for words in ends.values() if words):
        state, first = "away", "runs"
    elif not part.leads:
        state, first = "standby", "stands by, another one leads"
    else:
        state, first = UP, UP
    return PartView(
        name=part.name,
        state=state,
        words=", ".join([first, *said]),
        host=part.host,
        pid=part.pid,
        version=part.version,
        started_at=part.started_at,
        seen_at=part.seen_at,
    )
