"""The broker's talk with the claim desk: it insists through short outages of the store and owns its tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import structlog

from dts_core.brokers.base import ClaimAnswer, ClaimDesk, ClaimRequest
from dts_core.errors import BrokerUnavailable, DtsError

T = TypeVar("T")
PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds between tries while the store cannot answer."""

log = structlog.get_logger(__name__)


class Tasks:
    """Side tasks with an owner: their failures are logged, and `close` ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` beside the caller."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self, *, grace_seconds: float = 0.0) -> None:
        """Let what runs end by itself for a while, then cancel it and wait for its end."""
        if self._tasks and grace_seconds:
            await asyncio.wait(set(self._tasks), timeout=grace_seconds)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a broker task failed", task=task.get_name(), exc_info=error)


class Desk:
    """The claim desk as the broker sees it: it may come late, and it may be out of reach for a while."""

    def __init__(self) -> None:
        self.desk: ClaimDesk | None = None

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer] | None:
        """The answers, or None when there are none now: hand the messages back and ask later."""
        if self.desk is None:
            return None
        try:
            answers = await self.desk.grant(requests)
        except DtsError as error:
            log.warning("claims cannot be granted now", reason=str(error))
            return None
        except (
            Exception
        ):  # a mistake in the desk must not lose the messages that it was asked about
            log.exception("the claim desk failed")
            return None
        return answers if len(answers) == len(requests) else None

    async def give_back(self, claims: Sequence[tuple[str, int]], reason: str) -> None:
        """Return claims uncharged; when the store stays away, their leases lapse."""
        desk = self.desk
        if desk is not None and claims:
            await _insist(lambda: desk.give_back(claims, reason), None, "give claims back")

    async def lose(self, claims: Sequence[tuple[str, int]], reason: str) -> list[str]:
        """Charge losses; returns the buried jobs. When the store stays away, their leases lapse."""
        desk = self.desk
        if desk is None or not claims:
            return []
        none: list[str] = []
        return await _insist(lambda: desk.lose(claims, reason), none, "charge lost claims")

    async def bury(self, jobs: Sequence[str], reason: str) -> None:
        """Have the jobs of dead messages be dead."""
        desk = self.desk
        if desk is not None and jobs:
            await _insist(lambda: desk.bury(jobs, reason), None, "bury jobs")

    async def held(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[bool]:
        """Whether each claim is still the worker's own.

        Raises:
            BrokerUnavailable: It is not known yet.
            StoreUnavailable: The store cannot answer now.
        """
        if not claims:
            return []
        if self.desk is None:
            raise BrokerUnavailable("claims cannot be looked up yet.")
        return await self.desk.held(worker, claims)

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """What was granted to the worker and is not among its claims.

        Raises:
            StoreUnavailable: The store cannot answer now.
        """
        return [] if self.desk is None else await self.desk.unheld(worker, claims)


async def _insist(call: Callable[[], Awaitable[T]], otherwise: T, what: str) -> T:
    for pause in PAUSES:
        try:
            return await call()
        except DtsError as error:
            log.warning("the claim desk does not answer", wanted=what, reason=str(error))
        except Exception:  # a mistake in the desk must not lose the messages that it was told about
            log.exception("the claim desk failed", wanted=what)
            return otherwise
        await asyncio.sleep(pause)
    return otherwise
