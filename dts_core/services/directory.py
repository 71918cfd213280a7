"""Namespaces and their members, kept in memory as of at most a second ago."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from dts_core.clock import Clock
from dts_core.model import Change, Namespace
from dts_core.services.access import EVERYBODY
from dts_core.services.documents import Collection, declared
from dts_core.services.events import EventBus
from dts_core.stores.base import Store
from dts_core.views.declared import NamespaceDocument, NamespaceFields

FRESH_SECONDS: Final = 1.0
NAMESPACES: Final = Collection[Namespace](
    name="namespaces",
    one="namespace",
    kind=Namespace,
    fields=declared(NamespaceFields),
    document=NamespaceDocument,
    filters={"members": str},
    texts=("description",),
)


class Directory:
    """Answers who is a member of what without a read of the store for each request."""

    def __init__(self, store: Store, clock: Clock, bus: EventBus) -> None:
        self._store = store
        self._clock = clock
        self._namespaces: Mapping[str, Namespace] = {}
        self._memberships: dict[str, Mapping[str, str]] = {}
        self._read_at = float("-inf")
        self._generation = 0
        bus.listen(self._hear)

    async def namespaces(self) -> Mapping[str, Namespace]:
        """Every namespace by its id."""
        if self._clock.monotonic() - self._read_at >= FRESH_SECONDS:
            await self._read()
        return self._namespaces

    async def memberships(self, user: str) -> Mapping[str, str]:
        """Namespace -> role there, of every namespace that has the user (or everybody) as a member."""
        namespaces = await self.namespaces()
        found = self._memberships.get(user)
        if found is None:
            found = MappingProxyType(
                {
                    namespace.id: role
                    for namespace in namespaces.values()
                    if (role := namespace.members.get(user) or namespace.members.get(EVERYBODY))
                }
            )
            self._memberships[user] = found
        return found

    async def _read(self) -> None:
        generation, started = self._generation, self._clock.monotonic()
        found: dict[str, Namespace] = {}
        cursor = ""
        while True:
            page, cursor = await NAMESPACES.page(self._store, after=cursor, limit=500)
            found.update((namespace.id, namespace) for namespace in page)
            if not cursor:
                break
        self._namespaces, self._memberships = found, {}
        # A write that was heard of during the read may be missing from it: read again next time.
        self._read_at = started if generation == self._generation else float("-inf")

    def _hear(self, changes: Sequence[Change]) -> None:
        if any(change.topic == NAMESPACES.name for change in changes):
            self._generation += 1
            self._read_at = float("-inf")
