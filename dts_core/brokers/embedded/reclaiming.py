"""Claims that were granted and never reached their worker go back to their jobs."""

import asyncio
from typing import Final

from dts_core.brokers.embedded.claiming import Desk
from dts_core.brokers.embedded.dispatch import Dispatcher
from dts_core.brokers.embedded.queues import Queue

LOOK_SECONDS: Final = 0.1
LOOKS_MAX: Final = 100
"""So often it is looked whether the results that wait are recorded."""


async def reclaim(
    claims: list[tuple[str, int]], *, results: Queue | None, desk: Desk, dispatcher: Dispatcher
) -> None:
    """Give claims back uncharged, once what waits in the queue `results` is recorded: it may be of these claims.

    When that takes too long their leases decide.
    """
    if results is not None and not await _is_recorded(results):
        return
    await desk.give_back(claims, "it never reached its worker")
    dispatcher.unpark({job for job, _ in claims})


async def _is_recorded(results: Queue) -> bool:
    """Whether, in time, as many results have ended as stood here."""
    figures = results.figures
    wanted = figures.acked + figures.dead + results.ready + figures.unacked
    for _ in range(LOOKS_MAX):
        if figures.acked + figures.dead >= wanted:
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False
