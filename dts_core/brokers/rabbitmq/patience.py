"""Trying again while the broker is only just coming back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from dts_core.deadline import time_left
from dts_core.errors import BrokerUnavailable

PAUSE_FIRST_SECONDS: Final = 0.05
PAUSE_MAX_SECONDS: Final = 1.0

T = TypeVar("T")


async def patiently(act: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `act` returns, tried for on while it raises BrokerUnavailable and `seconds` have not passed.

    No longer than whoever asked waits.

    A node that has just started answers, but its quorum queues may still elect who leads them: a question about one
    ends its connection meanwhile (INTERNAL_ERROR), or finds no answer.

    Raises:
        BrokerUnavailable: That of the last attempt.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + time_left(seconds)
    pause = PAUSE_FIRST_SECONDS
    while True:
        try:
            return await act()
        except BrokerUnavailable:
            if loop.time() + pause >= until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, PAUSE_MAX_SECONDS)
