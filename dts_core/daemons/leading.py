"""Parts of which one works at a time: the others stand by, and one of them takes over when it falls silent.

A role is held in the store, for a few seconds at a time and by the store's own clock. Whoever holds it steps down well
before its hold may have ended: its store is away, or it stood still. That keeps two from working side by side; that two
of them do no harm when they meet all the same is the guarded writes' business.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from dts_core.clock import Clock, SystemClock
from dts_core.daemons.base import Part
from dts_core.errors import DtsError
from dts_core.stores.base import RoleStore

__all__ = ["Leader", "leading"]

HOLD_SECONDS: Final = 10.0
"""For so long is a role held; a holder that is killed is followed by another one as late."""
RENEW_SECONDS: Final = 2.0
DEADLINE_SHARE: Final = 0.5
"""Of a hold: not renewed for so long, the part is told to end, and has the rest for it."""
log = logging.getLogger(__name__)


class Leader:
    """Holds one role for one process.

    Args:
        store: Where roles are held.
        role: Which.
        owner: Who; unique for each start.
        clock: Measures the hold.
        hold_seconds: Length of a hold.
        renew_seconds: How often it is renewed, or tried for.
        on_change: Told when it leads (True) and when it no longer does.
    """

    def __init__(
        self,
        store: RoleStore,
        role: str,
        owner: str,
        *,
        clock: Clock | None = None,
        hold_seconds: float = HOLD_SECONDS,
        renew_seconds: float = RENEW_SECONDS,
        on_change: Callable[[bool], None] = lambda leads: None,
    ) -> None:
        self._store = store
        self._role = role
        self._owner = owner
        self._clock = clock or SystemClock()
        self._hold_seconds = hold_seconds
        self._renew_seconds = renew_seconds
        self._on_change = on_change
        self._held_at = 0.0
        self.leads = False

    async def run(self, part: Part) -> None:
        """Run the part whenever this process leads, until cancelled.

        Raises:
            Exception: What the part raised; RuntimeError when it ended by itself.
        """
        while True:
            if await self._hold():
                await self._lead(part)
            else:
                await asyncio.sleep(self._renew_seconds)

    async def _hold(self) -> bool | None:
        """Become, or stay, the one that leads: False when it is another one, None when nobody can say."""
        asked = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._hold_seconds * DEADLINE_SHARE):
                held = await self._store.hold_role(self._role, self._owner, self._hold_seconds)
        except (DtsError, TimeoutError) as error:
            log.warning("nobody can say who leads as %s: %s", self._role, error)
            return None
        if held:
            self._held_at = asked
        return held

    async def _lead(self, part: Part) -> None:
        self._set(True)
        work = asyncio.get_running_loop().create_task(part(), name=f"lead-{self._role}")
        try:
            await self._while_held(work)
            ended_by_itself = work.done()
        finally:
            await _end(work)
            self._set(False)
            await self._release()
        if ended_by_itself:
            work.result()
            raise RuntimeError(f"{self._role} ended by itself")

    async def _while_held(self, work: "asyncio.Task[None]") -> None:
        """Renew the hold until the part has ended or must."""
        while True:
            await asyncio.wait((work,), timeout=self._renew_seconds)
            if work.done():
                return
            held = await self._hold()
            silent = self._clock.monotonic() - self._held_at
            if held is False or silent >= self._hold_seconds * DEADLINE_SHARE:
                return

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(self._renew_seconds):
                await self._store.release_role(self._role, self._owner)
        except (DtsError, TimeoutError) as error:
            log.info("the role of %s ends by itself: %s", self._role, error)

    def _set(self, leads: bool) -> None:
        self.leads = leads
        log.info("%s as %s", "leading" if leads else "standing by", self._role)
        self._on_change(leads)


async def _end(work: "asyncio.Task[None]") -> None:
    if not work.done():
        work.cancel()
        await asyncio.wait((work,))


def leading(part: Part, leader: Leader) -> Part:
    """The same part, which works only while `leader` leads.

    Args:
        part: Called each time it begins to lead. It should make its daemon anew then, so that nothing of a former time
            is left: `lambda: Stethoscope(...).run()`.
        leader: Says when.
    """

    async def run() -> None:
        await leader.run(part)

    return run
