"""The first heartbeat of a host that was set up: waited for, and what is known when it does not come."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from dts_core.builtin import Calling
from dts_core.builtin.vhost.hosts import caller_of
from dts_core.errors import SetupFailed
from dts_core.model import VirtualHost

if TYPE_CHECKING:
    from dts_core.ssh.setup.farend import Sudo
    from dts_core.ssh.setup.setup import Setup
    from dts_core.ssh.setup.wish import Wish
    from dts_core.ssh.target import Target

__all__ = ["Heard", "first_heartbeat"]

LOOK_SECONDS: Final = 0.2
FRESH: Final = timedelta(seconds=10)
"""A heartbeat is one of a worker that lives when it is no older."""


class Heard:
    """Whether the worker lives that a set-up was for.

    Of mode service it is the one that was started; of mode agent the one that the gateway launches once it hears of the
    set-up, which its name tells; of what runs as it did, any heartbeat counts that is not old.
    """

    def __init__(self, calling: Calling, vhost: VirtualHost) -> None:
        self._calling = calling
        self._vhost = vhost
        self._is_agent = vhost.mode == "agent"
        self._since = calling.services.clock.now()

    async def apply(self, *, is_changed: bool) -> None:
        """Everything is in place: the worker that is waited for is the one that comes of it."""
        if not is_changed:
            self._since -= FRESH
        if not self._is_agent:
            return
        if not (is_changed or self._vhost.taken_away_by) and await self.is_so():
            return
        vhosts, caller = self._calling.services.vhosts, caller_of(self._calling)
        self._vhost = await vhosts.note(
            caller, self._vhost.id, "set up", set_up_by=self._calling.job, taken_away_by=""
        )

    async def is_so(self) -> bool:
        """Whether it was heard."""
        known = {each.name: each for each in await self._calling.services.store.hosts()}
        host = known.get(self._vhost.id)
        if host is None or host.last_beat <= self._since:
            return False
        return not self._is_agent or host.beat.worker.startswith(self._vhost.worker_prefix)

    async def why_not(self) -> tuple[str, str]:
        """What is known of a worker that does not come, and what to do."""
        if not self._is_agent:
            return "", "See that the host reaches the broker."
        words = await self._calling.services.status.words_of(f"agent {self._vhost.id}")
        if not words:
            return " No gateway is there that would launch it.", "Start `dts daemon gateway`."
        return f" Of its agent the gateway says: {words}.", "`dts status` shows how it goes on."


async def first_heartbeat(
    setup: "Setup",
    target: "Target",
    wish: "Wish",
    heard: Heard,
    sudo: "Sudo | None",
    seconds: float,
) -> None:
    """Wait for the first heartbeat.

    Raises:
        SetupFailed: It did not come in time; says what is known of that.
    """
    try:
        async with asyncio.timeout(seconds):
            await _until(heard)
    except TimeoutError:
        told, advice = await heard.why_not()
        said = await setup.last_words(target, wish, sudo=sudo) if wish.mode == "service" else ""
        last = f" Its worker's last words: {said}" if said else ""
        raise SetupFailed(
            f"everything is in place, and no heartbeat came within {seconds:g} s.{told}{last}",
            host=target.id,
            stage="heartbeat",
            advice=advice,
        ) from None


async def _until(heard: Heard) -> None:
    while True:
        if await heard.is_so():
            return
        await asyncio.sleep(LOOK_SECONDS)
