"""Every part that runs, with its connections, in words."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from dts_core.brokers.base import Broker
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
        broker: Probed.
        clock: For ages.
        components: part of this process -> its state in words; asked anew each time.
    """

    def __init__(self, store: Store, broker: Broker, clock: Clock, components: Components) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._components = components

    def own(self) -> dict[str, str]:
        """Part of this process -> its state in words."""
        return {"server": UP, **self._components()}

    async def all(self) -> list[PartView]:
        """Store and broker first, then the parts of this process, then those of others."""
        ends, others = await asyncio.gather(self._ends(), self._others())
        own = [_own_view(name, clean(words, 300)) for name, words in self.own().items()]
        return [*ends, *own, *others]

    async def probe(self) -> dict[str, str]:
        """store, broker -> "up", or what is wrong: a real read of the one, a real question to the other."""
        return {end.name: UP if end.state == UP else end.words for end in await self._ends()}

    async def _ends(self) -> list[PartView]:
        return list(
            await asyncio.gather(
                _probed("store", self._store.ping), _probed("broker", self._broker.stats)
            )
        )

    async def _others(self) -> list[PartView]:
        found: list[PartState] = []
        return [_view(part, self._clock.now()) for part in found]


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


def _own_view(name: str, words: str) -> PartView:
    if name.startswith(LINK):
        return PartView(name=name, state=UP, words=f"up, worker {words}")
    return PartView(name=name, state=UP if _is_up(words) else "away", words=words)


def _is_up(words: str) -> bool:
    return words.split(" ", maxsplit=1)[0].rstrip(",:;") == UP


def _view(part: PartState, now: datetime) -> PartView:
    silent = (now - part.seen_at).total_seconds()
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
