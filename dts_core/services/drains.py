"""Draining a host: its workers take nothing new until they are told otherwise, whatever is started anew meanwhile."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from dts_core.brokers.base import Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError, NotFound
from dts_core.model import Drain, Host, HostDrain
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection
from dts_core.services.messages import send_order
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import DrainChange

DRAINS: Final = Collection[HostDrain](name="drains", one="drain", kind=HostDrain, fields={})
LOOK_SECONDS: Final = 5.0
UNDRAIN_SECONDS: Final = 60.0
"""How long a host that still drains is told to take jobs again; later it may drain because it stops."""
PAGE: Final = 500
_log = logging.getLogger(__name__)


class Drains:
    """What operators wish of hosts, and whether they do it."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, writer: AdminWriter) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._writer = writer

    async def drain(self, caller: Caller, name: str) -> DrainChange:
        """Have a host's workers take nothing new and finish what runs; it stands until `undrain`.

        Raises:
            NotFound: The host was never seen.
        """
        return await self._wish(caller, name, on=True)

    async def undrain(self, caller: Caller, name: str) -> DrainChange:
        """Have them take jobs again.

        Raises:
            NotFound: The host was never seen.
        """
        return await self._wish(caller, name, on=False)

    async def _wish(self, caller: Caller, name: str, *, on: bool) -> DrainChange:
        before = await DRAINS.find(self._store, name[:260])
        if before is None and name not in {host.name for host in await self._store.hosts()}:
            raise NotFound(f"there is no host {clean(name, 120)}.", advice="See `dts status`.")
        changed = on != (before is not None and before.on)
        if changed:
            after = HostDrain(id=name, on=on, by=caller.user, at=self._clock.now())
            op_type = "drain" if on else "undrain"
            await self._writer.write(caller, DRAINS, before, after, op_type=op_type)
        try:
            await send_order(self._broker, Drain(name, on))
        except DtsError as error:
            _log.warning("host %s is told later: %s", clean(name, 120), error)
        return DrainChange(host=name, draining=on, changed=changed)

    async def keep(self) -> None:
        """Tell hosts again that do something else than was wished: an order was lost, or a worker started anew."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except DtsError as error:
                _log.info("drained hosts are looked at later: %s", error)

    async def look(self) -> None:
        """Compare once, and tell those that differ.

        Raises:
            DtsError: Store or broker are away.
        """
        wishes, after = await DRAINS.page(self._store, limit=PAGE)
        while after:
            more, after = await DRAINS.page(self._store, after=after, limit=PAGE)
            wishes += more
        if not wishes:
            return
        hosts = {host.name: host for host in await self._store.hosts()}
        for wish in wishes:
            if (host := hosts.get(wish.id)) is not None and self._differs(wish, host):
                await send_order(self._broker, Drain(wish.id, wish.on))

    def _differs(self, wish: HostDrain, host: Host) -> bool:
        if wish.on or not host.beat.draining:
            return wish.on and not host.beat.draining
        return self._clock.now() - wish.at < timedelta(seconds=UNDRAIN_SECONDS)
