"""The gateway, put together: virtual hosts from the store, workers over SSH, their links on this engine's broker."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from dts_core.brokers.link_server import LINKS_MAX
from dts_core.daemons.agents import Serve
from dts_core.daemons.base import Part
from dts_core.daemons.gateway import Gateway
from dts_core.errors import DtsError
from dts_core.model import Change, VirtualHost
from dts_core.remote import Remotes
from dts_core.remote.launching import KEYS, Launching
from dts_core.services.access import DTS, Caller, Role
from dts_core.services.container import Services
from dts_core.services.resources.listing import Wanted, find
from dts_core.services.vhosts import VHOSTS
from dts_core.settings import GatewaySettings, QueueNames, RemoteSettings
from dts_core.stores.base import Store
from dts_core.text import one_line

__all__ = ["Gateways", "pool_of_agents", "variables_of"]

CALLER: Final = Caller(user=DTS, role=Role.ADMIN, source="gateway")
PAGE: Final = 500
FORBIDDEN: Final = "dts_gateway_forbidden_total"
"""Counter: what launched workers tried and may not do."""
log = structlog.get_logger(__name__)


class Gateways:
    """Makes the gateway of this process, anew each time that it leads, and says how its workers are.

    Args:
        services: Where virtual hosts and their secrets are.
        store: Where the virtual hosts are looked up.
        remotes: Sessions of the gateway's own.
        serve: Serves a launched worker's link.
        settings: `[gateway]`.
        variables: What a worker finds in its environment.
        key: The public key that functions are signed with here.
    """

    def __init__(
        self,
        services: Services,
        store: Store,
        remotes: Remotes,
        serve: Serve,
        settings: GatewaySettings,
        variables: Mapping[str, str],
        key: str = "",
    ) -> None:
        self._services = services
        self._store = store
        self._serve = serve
        self._settings = settings
        self._launch = Launching(remotes, CALLER, settings, variables, key)
        self._current: Gateway | None = None
        services.bus.listen(self._hear)

    def words(self) -> Mapping[str, str]:
        """`agent HOST` -> how its worker is."""
        if self._current is None:
            return {}
        return {f"agent {host}": words for host, words in self._current.words.items()}

    @property
    def part(self) -> Part:
        """To be run."""
        return self._run

    async def _run(self) -> None:
        self._current = Gateway(
            self._vhosts, self._launch, self._serve, self._settings, self._forbidden
        )
        try:
            await self._current.run()
        finally:
            self._current = None

    async def _vhosts(self) -> list[VirtualHost]:
        found: list[VirtualHost] = []
        cursor = ""
        while True:
            wanted = Wanted(where={"mode": "agent"}, limit=PAGE, cursor=cursor)
            page, cursor = await find(self._store, VHOSTS, wanted, lambda _: True)
            found += page
            if not cursor:
                return found

    def _hear(self, changes: Sequence[Change]) -> None:
        if self._current is not None and any(each.topic == VHOSTS.name for each in changes):
            self._current.look_soon()

    def _forbidden(self, host: str, error: DtsError) -> None:
        self._services.counters.add(FORBIDDEN, 1)
        log.warning(
            "a launched worker tried what it may not", host=host, reason=one_line(str(error), 300)
        )


def pool_of_agents(settings: RemoteSettings) -> RemoteSettings:
    """`[ssh]` for connections of which none may give way, since each has a worker at its end."""
    most = max(settings.connections_max, LINKS_MAX)
    return msgspec.structs.replace(settings, connections_max=most)


def variables_of(settings: GatewaySettings, names: QueueNames) -> dict[str, str]:
    """What a launched worker finds in its environment: whose functions it runs, and what the queues are called.

    Args:
        settings: `[gateway]`.
        names: Where they are other than always.
    """
    keys = settings.public_keys
    found = {KEYS: ",".join(keys)} if keys else {}
    plain = QueueNames()
    for field in names.__struct_fields__:
        if getattr(names, field) != getattr(plain, field):
            found[f"DTS_BROKER_MQ_{field.upper()}"] = getattr(names, field)
    return found
