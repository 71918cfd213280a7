"""The gateway: keeps a worker alive on every virtual host in mode `agent`, over SSH, with no port open there."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from dts_core.daemons.agents import Agent, Launch, Serve
from dts_core.errors import DtsError
from dts_core.model import VirtualHost
from dts_core.settings import GatewaySettings

__all__ = ["Gateway", "way_of"]

_UNSEEN = ("labels", "description", "stray_keys", "created_at", "updated_at", "revision")
"""Fields of a virtual host that change nothing about its worker."""
log = logging.getLogger(__name__)


class Gateway:
    """Follows the virtual hosts and keeps an `Agent` for each in mode `agent`.

    Args:
        vhosts: Reads the virtual hosts in mode `agent`.
        launch: Starts a worker on one.
        serve: Serves its link.
        settings: `[gateway]`.
        on_forbidden: Told of what a worker tried and may not do.
    """

    def __init__(
        self,
        vhosts: Callable[[], Awaitable[Sequence[VirtualHost]]],
        launch: Launch,
        serve: Serve,
        settings: GatewaySettings,
        on_forbidden: Callable[[str, DtsError], None] = lambda host, error: None,
    ) -> None:
        self._vhosts = vhosts
        self._launch = launch
        self._serve = serve
        self._settings = settings
        self._on_forbidden = on_forbidden
        self._agents: dict[str, Agent] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def look_soon(self) -> None:
        """A virtual host has changed."""
        self._wake.set()

    @property
    def words(self) -> Mapping[str, str]:
        """Host -> how its worker is, as `Agent.words` has it."""
        return {host: agent.words for host, agent in sorted(self._agents.items())}

    async def run(self) -> None:
        """Work until cancelled; then all workers are let go at once, and what they hold goes back uncharged."""
        try:
            while True:
                try:
                    self.follow(await self._vhosts())
                except DtsError as error:
                    log.warning("the virtual hosts cannot be read, all stays as it is: %s", error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.look_seconds):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def follow(self, vhosts: Sequence[VirtualHost]) -> None:
        """Have a worker on each of these, and on no other."""
        wanted = {vhost.id: vhost for vhost in vhosts if _is_wanted(vhost)}
        for host, agent in list(self._agents.items()):
            if self._tasks[host].done():
                self._forget(host)
            elif host not in wanted or way_of(wanted[host]) != way_of(agent.vhost):
                agent.let_go()  # a changed one comes back once this one has ended
        for host, vhost in wanted.items():
            if host not in self._agents:
                self._begin(vhost)

    def _begin(self, vhost: VirtualHost) -> None:
        agent = Agent(vhost, self._launch, self._serve, self._settings, self._on_forbidden)
        self._agents[vhost.id] = agent
        self._tasks[vhost.id] = asyncio.create_task(agent.run(), name=f"agent-{vhost.id}")
        self._tasks[vhost.id].add_done_callback(lambda _: self.look_soon())

    def _forget(self, host: str) -> None:
        del self._agents[host]
        task = self._tasks.pop(host)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the keeper of host %s failed", host, exc_info=error)


def _is_wanted(vhost: VirtualHost) -> bool:
    """Whether a worker is to be there; not where what it would run was taken away."""
    return vhost.mode == "agent" and not vhost.disabled and not vhost.taken_away_by


def way_of(vhost: VirtualHost) -> Mapping[str, Any]:
    """What of a virtual host its worker depends on."""
    fields = msgspec.structs.asdict(vhost)
    return {name: value for name, value in fields.items() if name not in _UNSEEN}
