"""Hosts, their history, their alarms: read here, written by the stethoscope."""

from datetime import timedelta

from msgspec.structs import replace

from dts_core.clock import Clock
from dts_core.errors import NotFound
from dts_core.model import Host
from dts_core.services.access import Caller
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import AlarmList, HostList, SampleList, SamplePoint

POINTS_MAX = 2000


def seen_by(caller: Caller, host: Host) -> Host:
    """A host as this user sees it: without functions of namespaces that do not exist for them, and without job ids."""
    if caller.is_admin:
        return host
    beat = host.beat

    def sees(function: str) -> bool:
        return caller.sees_namespace(function.partition("/")[0])

    own = replace(
        beat,
        held=[],
        readied=[],
        counts=[each for each in beat.counts if sees(each[1])],
        functions={name: each for name, each in beat.functions.items() if sees(name)},
    )
    return replace(host, beat=own)


class Hosts:
    """What is known of the hosts: every user sees all of them, each as `seen_by` says."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def all(self, caller: Caller) -> HostList:
        """Every host by name, and the time on this side, for their age."""
        items = [seen_by(caller, host) for host in await self._store.hosts()]
        return HostList(items=items, at=self._clock.now())

    async def get(self, caller: Caller, name: str) -> Host:
        """One host.

        Raises:
            NotFound: It was never seen.
        """
        for host in await self._store.hosts():
            if host.name == name:
                return seen_by(caller, host)
        raise NotFound(f"there is no host {clean(name, 120)}.", advice="See `dts status`.")

    async def samples(self, name: str, *, seconds: float, by_minute: bool) -> SampleList:
        """The host's last `seconds`, by time, at most POINTS_MAX points; empty for one never seen."""
        since = self._clock.now() - timedelta(seconds=seconds)
        found = await self._store.samples(name, since, by_minute=by_minute, limit=POINTS_MAX)
        return SampleList(
            items=[
                SamplePoint(
                    **{field: getattr(each, field) for field in SamplePoint.__struct_fields__}
                )
                for each in found
            ]
        )

    async def alarms(self, *, open_only: bool, limit: int) -> AlarmList:
        """Open ones first, then the newest."""
        return AlarmList(items=await self._store.alarms(open_only=open_only, limit=limit))
