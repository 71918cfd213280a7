"""What a submission calls: a version of a function with its argument check, kept ready in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import InvalidInput
from dts_core.model import Change
from dts_core.names import split_function
from dts_core.services.access import DTS
from dts_core.services.arguments import ArgumentCheck
from dts_core.services.builtins import Builtins
from dts_core.services.canaries import Tried, tried_by
from dts_core.services.events import EventBus
from dts_core.services.functions import FUNCTIONS, no_function
from dts_core.stores.base import Store
from dts_core.text import clean

FRESH_SECONDS: Final = 2.0
"""Age at which an entry is read again: an announcement may be lost."""
ENTRIES_MAX: Final = 2000


class Target(msgspec.Struct, frozen=True):
    """One version of one function."""

    function: str
    namespace: str
    version: str
    is_async: bool
    arguments: ArgumentCheck
    tried: Tried | None = None
    """The canary beside it, for a call that names no version."""


class _Entry(msgspec.Struct):
    target: Target
    read_at: float


class Targets:
    """Finds targets; the same one again without a read of the store."""

    def __init__(self, store: Store, clock: Clock, bus: EventBus, builtins: Builtins) -> None:
        self._store = store
        self._clock = clock
        self._builtins = builtins
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._generation = 0
        bus.listen(self._hear)

    async def find(self, function: str, version: str = "") -> Target:
        """The target of a call; `version` empty is the default one.

        Raises:
            InvalidInput: Not namespace/name, or no such version.
            NotFound: No such function.
        """
        entry = self._entries.get((function, version))
        if entry is not None and self._clock.monotonic() - entry.read_at < FRESH_SECONDS:
            return entry.target
        generation, started = self._generation, self._clock.monotonic()
        former = entry.target if entry is not None else None
        target = await self._read(function, version, former)
        # A change that was heard of during the read may be missing from it: read again next time.
        read_at = started if generation == self._generation else float("-inf")
        self._entries[function, version] = _Entry(target, read_at)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)
        return target

    async def _read(self, function: str, version: str, former: Target | None) -> Target:
        namespace, name = split_function(function)
        if namespace == DTS:
            return await self._builtin(function, name)
        found = await FUNCTIONS.find(self._store, function)
        if found is None:
            raise no_function(function)
        digest = version or found.default
        tried = None if version else tried_by(found, None if former is None else former.tried)
        if former is not None and former.version == digest:
            return msgspec.structs.replace(former, tried=tried)
        chosen = next((each for each in found.versions if each.hash == digest), None)
        if chosen is None:
            raise InvalidInput(
                f"function {function} has no version {clean(digest, 64)!r}.",
                fields={"version": "no such version"},
                advice="Leave it out to take the default one.",
            )
        check = ArgumentCheck(function, chosen.parameters)
        return Target(function, namespace, digest, chosen.is_async, check, tried)

    async def _builtin(self, function: str, name: str) -> Target:
        reading = await self._builtins.read(name)
        if reading is None:
            raise no_function(function)
        check = ArgumentCheck(function, reading.parameters)
        return Target(function, DTS, reading.hash, reading.is_async, check)

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.topic == FUNCTIONS.name:
                self._generation += 1
                for key in [key for key in self._entries if key[0] == change.id]:
                    del self._entries[key]
