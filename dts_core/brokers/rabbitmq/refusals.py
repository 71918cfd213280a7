"""What follows when the broker refuses a message (basic.nack): its channel is given up a moment later.

A channel whose first message went to a quorum queue while nobody led it keeps asking a node that is gone: it refuses
every message for that queue until the node is back, though another one leads by then (seen on 3.10). A new channel
finds that one. Nothing else of ours is refused for long: no queue is bounded with reject-publish.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from dts_core.errors import BrokerUnavailable

ELECTION_SECONDS: Final = 1.0
"""So long is a new leader waited for before the channel is given up."""


class Refused(BrokerUnavailable):
    """The broker took a message and would not keep it."""


def doubt_soon(is_in_use: Callable[[], bool], in_doubt: Callable[[str], None]) -> None:
    """Doubt a connection after a refusal, if what refused is still in use then."""

    def look() -> None:
        if is_in_use():
            in_doubt("the broker refused a message")

    asyncio.get_running_loop().call_later(ELECTION_SECONDS, look)
